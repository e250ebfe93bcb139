"""
What users test with.

`Simulator` runs orchestrations in virtual time; `duroxide.testing.conformance` has the promises of the storage
contract as checks.
"""

from __future__ import annotations

from .simulation.fakes import Call
from .simulation.inputs import ANY_TIME
from .simulation.simulator import Happened, Simulator, StillRunning, Waiting
from .simulation.steps import Arrive, Crash, Evict, Faults, Finish, Hang, Pass, Repeat, Step, Turn, Wake
from .simulation.store import Death


__all__ = [
    "ANY_TIME",
    "Arrive",
    "Call",
    "Crash",
    "Death",
    "Evict",
    "Faults",
    "Finish",
    "Hang",
    "Happened",
    "Pass",
    "Repeat",
    "Simulator",
    "Step",
    "StillRunning",
    "Turn",
    "Waiting",
    "Wake",
]
