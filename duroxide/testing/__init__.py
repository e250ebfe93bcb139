"""
What others test with.

For authors of orchestrations: the `Simulator`, which runs them in virtual time, `explore`, which looks for a schedule
that breaks them, `check_deterministic`, the `guard`, and `replay` of exported instances. For authors of storage:
`duroxide.testing.conformance`, the promises of the storage contract as checks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import Divergence, NondeterministicCall, ReplayDiverged
from .determinism import check_deterministic
from .documents import read_document, read_folder, write_document
from .extra import needs_hypothesis
from .guarding import guard
from .replaying import ReplayReport, check_replay, replay
from .simulation.fakes import Call
from .simulation.inputs import ANY_TIME
from .simulation.simulator import Happened, Simulator, StillRunning, Waiting
from .simulation.steps import Arrive, Crash, Evict, Faults, Finish, Hang, Pass, Repeat, Step, Turn, Wake
from .simulation.store import Death, Outage


if TYPE_CHECKING:
    from .exploration.explorer import ExplorationFailed, Explored, explore


#: Names that need Hypothesis, and the modules that they are in; those are imported when they are asked for.
_NEED_HYPOTHESIS = {
    "ExplorationFailed": "exploration.explorer",
    "Explored": "exploration.explorer",
    "explore": "exploration.explorer",
}


def __getattr__(name: str) -> object:
    module = _NEED_HYPOTHESIS.get(name)
    if module is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    needs_hypothesis(f"{__name__}.{name}")
    return getattr(import_module(f".{module}", __name__), name)


__all__ = [
    "ANY_TIME",
    "Arrive",
    "Call",
    "Crash",
    "Death",
    "Divergence",
    "Evict",
    "ExplorationFailed",
    "Explored",
    "Faults",
    "Finish",
    "Hang",
    "Happened",
    "NondeterministicCall",
    "Outage",
    "Pass",
    "Repeat",
    "ReplayDiverged",
    "ReplayReport",
    "Simulator",
    "Step",
    "StillRunning",
    "Turn",
    "Waiting",
    "Wake",
    "check_deterministic",
    "check_replay",
    "explore",
    "guard",
    "read_document",
    "read_folder",
    "replay",
    "write_document",
]
