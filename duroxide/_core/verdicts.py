"""What a turn decides: the new events, what is not wanted any more, and how the execution stands."""

from __future__ import annotations

from typing import TypeAlias

from .._nouns import noun
from ..errors import ErrorDetails
from .events import Event, ScheduleEvent


@noun
class Continue:
    """The orchestration waits for something, or has ended in an earlier turn."""


@noun
class Completed:
    """The function returned; *output* is JSON text."""

    output: str


@noun
class Failed:
    """The function raised, or history and code do not fit together."""

    details: ErrorDetails


@noun
class ContinuesAsNew:
    """The execution ends and the next one begins with *input* (JSON text)."""

    input: str
    version: str | None


@noun
class Cancelled:
    """The instance was cancelled. Beats whatever the function did in the same turn."""

    reason: str


Verdict: TypeAlias = Continue | Completed | Failed | ContinuesAsNew | Cancelled


@noun
class Turn:
    """
    What the code decides when it has seen all of a history.

    *events* are the decisions that are not in history yet, with the ids they will have there:
    schedules and state changes in the order in which the code asked for them, then the breadcrumbs
    of what it gave up, by schedule id.
    """

    verdict: Verdict
    events: tuple[Event, ...] = ()
    #: Activities given up in this turn, by schedule id: their rows are to be removed.
    cancelled_activities: tuple[int, ...] = ()
    #: Ids of children given up in this turn: they are to be cancelled.
    cancelled_children: tuple[str, ...] = ()
    #: If the turn ends the execution: schedules that are neither answered nor given up, timers aside.
    left_open: tuple[ScheduleEvent, ...] = ()
