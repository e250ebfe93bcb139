"""
When the timers of live executions are due: the short way round for timers.

What is due here goes straight into the next turn of an execution that is in memory, without being fetched; the commit
proves that the timer's message was still there (`TurnCommit.fired_timers`). This is a cache: a timer that is not in
here fires all the same, by way of its message.
"""

from __future__ import annotations

import heapq

from typing import NamedTuple

from .._core.commit import TurnCommit
from .._core.events import TimerFired
from .._core.execution import Execution
from .._core.messages import Deliver


#: Timers remembered at most. A timer that was given up stays until it is due, so there may be many.
MOST_TIMERS = 20_000


class DueTimer(NamedTuple):
    """One timer of one execution. A tuple, because a crowd of them is put in order."""

    fire_at_ms: int
    instance_id: str
    execution_id: int
    event_id: int
    #: Of the instance: another one may have the id by the time that this is due.
    incarnation: int

    def is_of(self, execution: Execution) -> bool:
        """Whether *execution* has set it, and it has not fired yet."""
        is_same = (execution.started.execution_id, execution.incarnation) == (self.execution_id, self.incarnation)
        return is_same and self.event_id in execution.executor.ledger.open

    @property
    def message(self) -> Deliver:
        """What its message in the queue delivers."""
        fired = TimerFired(0, 0, self.event_id, self.fire_at_ms)
        return Deliver(self.instance_id, self.execution_id, fired)


class Timers:
    """Timers by time. Used by one thread."""

    def __init__(self) -> None:
        self._heap: list[DueTimer] = []

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self._heap)

    @property
    def next_ms(self) -> float:
        """When the earliest is due; never, if there is none. It may have been given up."""
        return self._heap[0].fire_at_ms if self._heap else float("inf")

    def add(self, commit: TurnCommit) -> None:
        """Remember the timers that *commit*, which was accepted, has set."""
        for outgoing in commit.messages:
            message = outgoing.message
            if not isinstance(message, Deliver) or not isinstance(message.event, TimerFired):
                continue
            if len(self._heap) >= MOST_TIMERS:
                # Those that are due in a month, most of which somebody will have given up, are not to keep others out.
                self._heap = sorted(self._heap)[: MOST_TIMERS // 2]  # which is a heap
            fired = message.event
            place = (commit.instance_id, commit.execution_id, fired.source_event_id, commit.incarnation)
            heapq.heappush(self._heap, DueTimer(fired.fire_at_ms, *place))

    def take_due(self, now_ms: int, most: int) -> list[DueTimer]:
        """Take out up to *most* timers that are due, earliest first."""
        due: list[DueTimer] = []
        while self._heap and len(due) < most and self._heap[0].fire_at_ms <= now_ms:
            due.append(heapq.heappop(self._heap))
        return due
