"""
What can happen next in a simulation. Every step is a value: it can be listed, chosen, compared and printed.

`Turn`, `Finish`, `Arrive` and `Pass` happen in the life of a healthy process; the others are faults.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeAlias

from attrs import fields, frozen

from ..._core.events import CompletionEvent
from ..._core.messages import ActivityKey
from ...errors import InvalidInput
from .store import Death, Outage


@frozen
class Turn:
    """The process takes what has come in for an instance, runs its code on it, and commits."""

    instance_id: str
    #: Whether the process dies or the store fails, and when.
    trouble: Death | Outage | None = None


@frozen
class Finish:
    """An activity runs to its end."""

    name: str
    key: ActivityKey
    #: The process that holds it.
    process: int
    #: It fails with a ConnectionError instead of running.
    fails: bool = False


@frozen
class Arrive:
    """What the test sends (a start, an event, a message, a cancellation) arrives."""

    number: int
    what: str


@frozen
class Pass:
    """Nothing happens until something becomes due: time passes."""

    #: Milliseconds since the epoch.
    until_ms: int
    #: Although there is something to do: everything is slow.
    early: bool = False


@frozen
class Crash:
    """The process dies, and another one starts. What it had locked stays locked until the locks expire."""


@frozen
class Hang:
    """The process hangs, its locks are not renewed, and another one starts. It may wake up later."""


@frozen
class Wake:
    """A process that hung goes on where it was, with what it remembers, and the one that runs hangs."""

    process: int


@frozen
class Evict:
    """The process forgets its live executions: they are replayed when they are needed."""


@frozen
class Repeat:
    """The message that something has completed is delivered once more."""

    instance_id: str
    execution_id: int
    event: CompletionEvent


Step: TypeAlias = Turn | Finish | Arrive | Pass | Crash | Hang | Wake | Evict | Repeat


@frozen(kw_only=True)
class Faults:
    """What may go wrong."""

    #: The process dies: before a commit, right after it, or in between.
    crashes: bool = True
    #: The process hangs until its locks have expired and another one has taken over; then it wakes up.
    takeovers: bool = True
    #: The store fails in a commit, having written or not.
    outages: bool = True
    #: Live executions are thrown out of memory, and replayed.
    evictions: bool = True
    #: Messages are delivered twice.
    duplicates: bool = True
    #: Activities fail with a ConnectionError.
    failures: bool = True
    #: Timers fire although activities and messages wait.
    delays: bool = True

    @classmethod
    def none(cls) -> Faults:
        """Return the world in which nothing goes wrong; only the order of completions is open."""
        return cls(**{field.name: False for field in fields(cls)})


def checked_faults(faults: object) -> Faults:
    """
    Return *faults*.

    Raises:
        InvalidInput: If it is anything else than `Faults`: its class, say, or a dict.
    """
    if not isinstance(faults, Faults):
        msg = f"faults is {faults!r}: give Faults(…), or Faults.none()."
        raise InvalidInput(msg)
    return faults


def is_fault(step: Step) -> bool:
    """Whether *step* does not happen in the life of a healthy process."""
    match step:
        case Turn(trouble=trouble):
            return trouble is not None
        case Finish(fails=fails):
            return fails
        case Pass(early=early):
            return early
        case Arrive() | Wake():
            return False
        case _:
            return True


def in_words(duration: timedelta) -> str:
    """Return *duration* for people: ``1 d 3 h``, ``30 s``, ``0.2 s``."""
    minutes, seconds = divmod(duration.total_seconds(), 60)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds, "s")]
    return " ".join(f"{amount:g} {unit}" for amount, unit in parts if amount) or "0 s"
