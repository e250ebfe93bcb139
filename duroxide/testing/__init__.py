"""
What users test with.

`Simulator` runs orchestrations in virtual time; `duroxide.testing.conformance` has the promises of the storage
contract as checks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from .extra import needs_hypothesis
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
    "Evict",
    "ExplorationFailed",
    "Explored",
    "Faults",
    "Finish",
    "Hang",
    "Happened",
    "Outage",
    "Pass",
    "Repeat",
    "Simulator",
    "Step",
    "StillRunning",
    "Turn",
    "Waiting",
    "Wake",
    "explore",
]
