"""
The conservation law: nothing that an execution waits for is lost, and nothing else exists.

Pure: what is stored of one execution goes in, what is wrong with it comes out. A provider gathers the facts.

Rule 1: a history by itself: ids from 1 without a gap, one answer to each question, and an ending comes last.

Rule 2: of a running execution that is the current one, every open activity is *either* a row of the worker queue
*or* a completion that waits; every open timer has its message; every open child runs, and knows whose it is, or is about
to be started, or its answer waits.

Rule 3: of any other execution there is no work left. Messages may be: the next turn throws them away.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from .._nouns import frozen
from . import events as e
from .commit import STATUS_OF, ExecutionStatus


@frozen
class Violation:
    """One thing that must not be. *rule* is its name; *detail* says what was found."""

    rule: str
    instance_id: str
    execution_id: int | None
    event_id: int | None
    detail: str


@frozen(kw_only=True)
class ExecutionFacts:
    """What is stored of one execution, and of what it waits for."""

    instance_id: str
    execution_id: int
    status: ExecutionStatus
    #: The instance's view; None for an execution that is not the current one.
    instance_status: ExecutionStatus | None
    last_event_id: int | None
    events: Sequence[e.Event]
    #: Ids of activities in the worker queue.
    queued_activities: Sequence[int] = ()
    #: What waits in the orchestrator queue for this execution.
    waiting: Sequence[e.Event] = ()
    #: Instances that run, with whom they report to; and those of which a start waits: that begins them, or is answered.
    running: frozenset[tuple[str, e.Parent]] = frozenset()
    starting: frozenset[str] = frozenset()

    @property
    def is_running(self) -> bool:
        """Whether work of this execution is wanted."""
        return self.instance_status is not None and self.status is ExecutionStatus.RUNNING


_ACTIVITY_ANSWERS = (e.ActivityCompleted, e.ActivityFailed)
_CHILD_ANSWERS = (e.SubOrchestrationCompleted, e.SubOrchestrationFailed)


def check_execution(facts: ExecutionFacts) -> Iterator[Violation]:
    """Yield everything that is wrong with one execution."""
    for rule, event_id, detail in (*_history(facts), *_statuses(facts), *_activities(facts), *_timers(facts)):
        yield Violation(rule, facts.instance_id, facts.execution_id, event_id, detail)
    for rule, event_id, detail in _children(facts):
        yield Violation(rule, facts.instance_id, facts.execution_id, event_id, detail)


_Finding = tuple[str, int | None, str]


def _history(facts: ExecutionFacts) -> Iterator[_Finding]:
    """Rule 1."""
    if not facts.events:
        yield "empty_execution", None, "the execution has no history"
        return
    for expected, event in enumerate(facts.events, start=1):
        if event.event_id != expected:
            yield "history_gap", event.event_id, f"event {expected} is missing: the next one is {event.event_id}"
            break
    answers = Counter(event.source_event_id for event in facts.events if isinstance(event, e.CompletionEvent))
    for source, count in sorted(answers.items()):
        if count > 1:
            yield "double_completion", source, f"{count} completions of event {source}"
    for event in facts.events[:-1]:
        if isinstance(event, e.TERMINAL_EVENTS):
            yield "terminal_not_last", event.event_id, f"{type(event).__name__} is followed by other events"


def _statuses(facts: ExecutionFacts) -> Iterator[_Finding]:
    """What the tables say of the execution is what its history says."""
    if not facts.events:
        return
    last = facts.events[-1]
    status = STATUS_OF.get(type(last), ExecutionStatus.RUNNING)
    if facts.status is not status:
        yield "status_differs", last.event_id, f"the execution is {facts.status}, its history is {status}"
    if facts.instance_status is None:
        if status is ExecutionStatus.RUNNING:
            yield "status_differs", last.event_id, "the execution is not the current one and has not ended"
        return
    if facts.instance_status is not status:
        yield "status_differs", last.event_id, f"the instance is {facts.instance_status}, its history is {status}"
    if facts.last_event_id != last.event_id:
        yield "last_event_id", last.event_id, f"the instance's last event is {facts.last_event_id}"


def _activities(facts: ExecutionFacts) -> Iterator[_Finding]:
    open_activities = _open(facts.events, e.ActivityScheduled, _ACTIVITY_ANSWERS) - {
        event.source_event_id for event in facts.events if isinstance(event, e.ActivityCancelRequested)
    }
    queued = set(facts.queued_activities)
    wanted = open_activities if facts.is_running else set()
    for activity_id in sorted(queued - wanted):
        yield "activity_unwanted", activity_id, "in the worker queue, and nobody waits for it"
    answered = _waiting(facts, _ACTIVITY_ANSWERS)
    for activity_id in sorted(wanted):
        if activity_id not in queued and activity_id not in answered:
            yield "activity_lost", activity_id, "neither in the worker queue nor completed"
        if activity_id in queued and activity_id in answered:
            yield "activity_doubled", activity_id, "in the worker queue although its completion waits"
        elif answered[activity_id] > 1:
            yield "activity_doubled", activity_id, f"{answered[activity_id]} completions wait"


def _timers(facts: ExecutionFacts) -> Iterator[_Finding]:
    waiting = _waiting(facts, (e.TimerFired,))
    wanted = _open(facts.events, e.TimerCreated, (e.TimerFired,)) if facts.is_running else set()
    for event_id, count in sorted(waiting.items()):
        if event_id not in wanted:
            yield "timer_unwanted", event_id, "a timer's message, and nobody waits for it"
        elif count > 1:
            yield "timer_doubled", event_id, f"{count} messages of one timer"
    for event_id in sorted(wanted - waiting.keys()):
        yield "timer_lost", event_id, "the timer's message is missing: it will never fire"


def _children(facts: ExecutionFacts) -> Iterator[_Finding]:
    if not facts.is_running:
        return
    # One that was given up in the turn that asked for it was never started.
    wanted = _open(facts.events, e.SubOrchestrationScheduled, _CHILD_ANSWERS) - {
        event.source_event_id for event in facts.events if isinstance(event, e.SubOrchestrationCancelRequested)
    }
    wanted -= _waiting(facts, _CHILD_ANSWERS).keys()
    for event in facts.events:
        if isinstance(event, e.SubOrchestrationScheduled) and event.event_id in wanted:
            parent = e.Parent(facts.instance_id, facts.execution_id, event.event_id)
            child = event.instance_id
            if (child, parent) not in facts.running and child not in facts.starting:
                yield "child_lost", event.event_id, f"child {child!r} neither runs for it nor is about to start"


def _open(
    history: Iterable[e.Event], scheduled: type[e.ScheduleEvent], answers: tuple[type[e.CompletionEvent], ...]
) -> set[int]:
    """Return the ids of the *scheduled* events without one of *answers*."""
    asked = set()
    answered = set()
    for event in history:
        if isinstance(event, scheduled):
            asked.add(event.event_id)
        elif isinstance(event, answers):
            answered.add(event.source_event_id)
    return asked - answered


def _waiting(facts: ExecutionFacts, answers: tuple[type[e.CompletionEvent], ...]) -> Counter[int]:
    """Return how many of *answers* wait, by what they answer."""
    return Counter(
        event.source_event_id
        for event in facts.waiting
        if isinstance(event, answers) and isinstance(event, e.CompletionEvent)
    )
