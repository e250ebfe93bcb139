"""
What a turn writes about that which ends unanswered: breadcrumbs of what was given up, and what is left open.

Rule 1: everything comes in the order of the schedules, in whatever order the code gave it up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from . import events as e
from .actions import Scheduled
from .ledger import CANCELLED_BY, Ledger


#: Schedules that the turn decides and that are not in history yet, by event id.
Fresh = Mapping[int, e.ScheduleEvent]


def add_breadcrumbs(
    events: list[e.Event],
    dropped: Iterable[Scheduled[Any]],
    fresh: Fresh,
    ledger: Ledger,
    *,
    after: int,
    timestamp_ms: int,
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Add the breadcrumbs of *dropped* to *events*, with ids *after* that; return the activities and children among it."""
    activities: list[int] = []
    children: list[str] = []
    event_id = after
    for source in sorted(action.event_id for action in dropped):
        scheduled = fresh.get(source) or ledger.open.get(source)
        if scheduled is None or source in ledger.cancelled:
            continue  # history has a breadcrumb of it already, for another reason
        event_id += 1
        events.append(CANCELLED_BY[type(scheduled)](event_id, timestamp_ms, source, e.DROPPED))
        if isinstance(scheduled, e.ActivityScheduled):
            activities.append(source)
        elif isinstance(scheduled, e.SubOrchestrationScheduled):
            children.append(scheduled.instance_id)
    return tuple(activities), tuple(children)


def left_open(dropped: Iterable[Scheduled[Any]], fresh: Fresh, ledger: Ledger) -> tuple[e.ScheduleEvent, ...]:
    """Return what is neither answered nor given up when the execution ends."""
    gone = {action.event_id for action in dropped}
    return tuple(
        event
        for event in (*ledger.wanted(), *fresh.values())
        if type(event) in CANCELLED_BY and event.event_id not in gone
    )
