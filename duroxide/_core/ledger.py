"""
Which schedules of an execution are open, answered, or not wanted any more.

One place knows it: the live executor, the staging of messages, the end of an execution, poisoned
instances and the audit all read it here. It takes events one by one and never looks back, and it
costs one byte for each event of the past.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from . import events as e


#: What may answer what. A new kind of work is a new row.
ANSWERED_BY: Mapping[type[e.Event], tuple[type[e.Event], ...]] = {
    e.ActivityScheduled: (e.ActivityCompleted, e.ActivityFailed),
    e.TimerCreated: (e.TimerFired,),
    e.SubOrchestrationScheduled: (e.SubOrchestrationCompleted, e.SubOrchestrationFailed),
    e.ExternalSubscribed: (),
    e.QueueSubscribed: (),
}

#: What is written when a schedule of this kind is not wanted any more. A timer just fires unheard.
CANCELLED_BY: Mapping[type[e.Event], type[e.Breadcrumb]] = {
    e.ActivityScheduled: e.ActivityCancelRequested,
    e.SubOrchestrationScheduled: e.SubOrchestrationCancelRequested,
    e.ExternalSubscribed: e.ExternalSubscribedCancelled,
    e.QueueSubscribed: e.QueueSubscriptionCancelled,
}

_OPENS = frozenset(ANSWERED_BY)
#: Codes of `Ledger._kinds`: the position of the schedule's type here, plus one. 0: no schedule.
_KINDS: tuple[type[e.Event], ...] = tuple(ANSWERED_BY)
_CODES: Mapping[type[e.Event], int] = {kind: code for code, kind in enumerate(_KINDS, start=1)}


class Ledger:
    """The schedules of one execution, as far as its events have been applied."""

    __slots__ = ("_kinds", "cancelled", "open")

    def __init__(self, events: Iterable[e.Event] = ()) -> None:
        #: Schedules without an answer, by event id, oldest first.
        self.open: dict[int, e.ScheduleEvent] = {}
        #: Those of *open* that have a breadcrumb.
        self.cancelled: set[int] = set()
        self._kinds = bytearray()
        for event in events:
            self.apply(event)

    def apply(self, event: e.Event) -> None:
        """Take note of the next event of the history."""
        if isinstance(event, e.ScheduleEvent):
            if type(event) in _OPENS:
                self.add(event)
        elif isinstance(event, e.CompletionEvent):
            self.close(event.source_event_id)
        elif isinstance(event, e.Breadcrumb):
            self._cancel(event.source_event_id)

    def add(self, event: e.ScheduleEvent) -> bool:
        """Take note of a schedule that waits for an answer. False: there is an open one of its id, and that stays."""
        event_id = event.event_id
        kinds = self._kinds
        missing = event_id - len(kinds)
        if missing >= 0:
            kinds += bytes(missing + 1)
        elif event_id in self.open:
            return False
        self.open[event_id] = event
        if event_id >= 0:
            kinds[event_id] = _CODES[type(event)]
        return True

    def close(self, event_id: int) -> None:
        """The schedule *event_id* has got its answer."""
        self.open.pop(event_id, None)
        if self.cancelled:
            self.cancelled.discard(event_id)

    def kind_of(self, event_id: int) -> type[e.Event] | None:
        """Return the type of the schedule event *event_id*, open or not; None if it never was one."""
        if event_id in self.open:
            return type(self.open[event_id])
        code = self._kinds[event_id] if 0 <= event_id < len(self._kinds) else 0
        return _KINDS[code - 1] if code else None

    def wanted(self) -> Iterable[e.ScheduleEvent]:
        """Return the open schedules that nobody has given up, oldest first; timers aside."""
        return [
            event
            for event_id, event in self.open.items()
            if event_id not in self.cancelled and type(event) in CANCELLED_BY
        ]

    def timers(self) -> Iterable[int]:
        """Return the ids of the timers that have not fired, oldest first, whether wanted or not."""
        return [event_id for event_id, event in self.open.items() if isinstance(event, e.TimerCreated)]

    def _cancel(self, event_id: int) -> None:
        scheduled = self.open.get(event_id)
        if scheduled is None:
            return
        if ANSWERED_BY[type(scheduled)]:
            self.cancelled.add(event_id)  # an answer that is under way may still come
        else:
            self.close(event_id)
