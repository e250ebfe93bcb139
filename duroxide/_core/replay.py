"""
The engine: a live orchestration that is fed its history, event by event.

The whole replay rule: completions are applied one at a time, in history order, and the code is run
after each. What the code asks for is matched with the recorded schedule events first in, first out.
What is asked for and not recorded yet is the turn's decision.

The law this rests on: cutting a history anywhere and feeding the pieces gives the same decisions as
feeding it whole. Hence:

Rule 1: whatever code can see depends on applied events only, never on decisions that are not in
history yet. A positional wait is open from its recorded subscription on. (A dequeue may take a
message before it is recorded, as soon as the code that asked for it waits: which message it gets
depends on the order of dequeues and arrivals alone.)

Rule 2: the ids of decisions are provisional until the events come back through `feed`.
"""

# ruff: noqa: SLF001  # the table at the end names methods of the class above it

from __future__ import annotations

import json

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..errors import ErrorDetails, ErrorKind, OrchestrationMisuse
from . import events as e
from .actions import AnyGenerator, Error, Scheduled, Value
from .endings import add_breadcrumbs, left_open
from .failures import NO_EXCEPTIONS, ExceptionTypes, exception_for
from .ledger import ANSWERED_BY, Ledger
from .mailbox import Mailbox
from .nondeterminism import (
    Disagreement,
    cancellation_mismatch,
    closed_schedule,
    early_completion,
    extra_event,
    mismatch,
    repeated_id,
    wrong_kind,
)
from .requests import (
    OPTIONAL_EVENTS,
    CallActivity,
    ContinueAsNew,
    DequeueEvent,
    Request,
    SetKeyValue,
    StartSubOrchestration,
    WaitExternal,
    agrees,
    record,
)
from .scheduler import Scheduler
from .verdicts import Cancelled, Completed, Continue, ContinuesAsNew, Failed, Turn, Verdict


_CONTINUE = Turn(Continue())
_NONE = Value(None)

#: Answers that bring a value.
_RESULTS = (e.ActivityCompleted, e.SubOrchestrationCompleted)

#: Requests whose end is recorded when code gives them up. A timer just fires unheard.
_LEAVE_BREADCRUMBS = (CallActivity, StartSubOrchestration, WaitExternal, DequeueEvent)


class Replay:
    """
    A live generator and what its history has told it so far.

    Args:
        started: Event 1 of the execution.

        begin: Makes the generator of the orchestration function, when the first turn begins.

        encode_output: What the function returns → JSON text.

        exceptions: Recorded type name → exception class, for failures that come back as themselves.
    """

    def __init__(
        self,
        started: e.OrchestrationStarted,
        *,
        begin: Callable[[], AnyGenerator],
        encode_output: Callable[[Any], str],
        exceptions: ExceptionTypes = NO_EXCEPTIONS,
    ) -> None:
        self.started = started
        self.exceptions = exceptions
        self.now_ms = started.timestamp_ms
        self.is_replaying = False
        #: Live key-values and status, as the code sees them.
        self.kv: dict[str, e.KvEntry] = dict(started.kv)
        self.custom_status = started.custom_status
        #: Whether clients may have seen a custom status of the instance; what earlier executions have shown is not known.
        self.has_shown_status = started.execution_id > 1
        #: Where code and history part, if they do.
        self.disagreement: Disagreement | None = None
        self.ledger = Ledger()
        self.last_event_id = started.event_id
        self._begin = begin
        self._encode_output = encode_output
        self._scheduler = Scheduler(self._given_up)
        self._is_started = False
        #: Asked for and not yet found in history.
        self._unmatched: deque[Scheduled[Any]] = deque()
        #: Recorded and not yet answered, by schedule id.
        self._waiting: dict[int, Scheduled[Any]] = {}
        #: Given up and without a breadcrumb.
        self._dropped: dict[Scheduled[Any], None] = {}
        self._mailbox = Mailbox(started.queued)
        self._continuation: ContinueAsNew | None = None
        self._cancel_reason: str | None = None
        self._failure: ErrorDetails | None = None
        #: Whether history has a terminal event.
        self.has_ended = False
        self._leftovers_given_up = False

    # Feeding

    def feed(self, events: Sequence[e.Event] = (), *, persisted: int = 0) -> Turn:
        """
        Apply *events*, which follow those fed before, and return what the code decides then.

        The first *persisted* of them (counting the start event before the very first) were in history
        before this turn: the code that reacts to them is replaying, and logs nothing. Never raises for
        anything that code or history may do: that becomes a `Failed` verdict.
        """
        self.absorb(events, persisted=persisted)
        return self.decide()

    def absorb(self, events: Sequence[e.Event], *, persisted: int = 0) -> None:
        """Apply *events* as `feed` does, without asking what the code decides then: half the cost."""
        #: How many of *events* are followed by another one that was in history, so that the code is replaying.
        replayed = persisted - 1
        if not self._is_started:
            # The start event was given to the constructor; the code's first steps react to it.
            self._is_started = True
            self.is_replaying = persisted > 0
            replayed -= 1
            try:
                self._scheduler.start(self._begin())
                self._serve()
                self._settle()
            except RecursionError as error:
                self._scheduler.nests_too_deeply(error)
        for position, event in enumerate(events):
            self.is_replaying = position < replayed
            self._apply(event)
        self.is_replaying = False

    def close(self) -> None:
        """Forget the code. Nothing it does from now on has an effect; what would have gone on logs nothing either. Idempotent."""
        self.is_replaying = not (self.has_ended or self._is_over or self.is_cancel_requested or self._failure)
        self._scheduler.close()

    @property
    def is_cancel_requested(self) -> bool:
        """Whether history has a cancel request."""
        return self._cancel_reason is not None

    @property
    def _is_over(self) -> bool:
        """Whether the code goes no further: it has ended, or continues as new."""
        return self._continuation is not None or self._scheduler.is_finished

    def unread_messages(self) -> tuple[e.QueuedMessage, ...]:
        """Return the queue messages that no dequeue has taken, in order of arrival."""
        return self._mailbox.unread()

    # What the context asks for

    def emit(self, request: Request, decode: Callable[[str], Any] = json.loads) -> Scheduled[Any]:
        """Take note that the code asks for *request*."""
        scheduler = self._scheduler
        action = scheduler.request(request, decode)
        if scheduler.is_over:
            return action
        if isinstance(request, ContinueAsNew):
            # The end of the turn records it, after all that is asked for in the turn, also later.
            self._continuation = self._continuation or request
            return action
        self._unmatched.append(action)
        if isinstance(request, DequeueEvent):
            self._mailbox.asked.append((request.name, action))
        return action

    def note(self, request: Request) -> bool:
        """Take note of a change of state, which nobody waits for; return whether it counts: the code has not ended."""
        action = self.emit(request)
        if self._scheduler.is_over:
            return False
        self._scheduler.resolve(action, Value(None))
        return True

    @property
    def scheduler(self) -> Scheduler:
        """What combines and cancels actions."""
        return self._scheduler

    # Applying events

    def _apply(self, event: e.Event) -> None:
        event_id, timestamp_ms = event.event_id, event.timestamp_ms
        if event_id > self.last_event_id:  # noqa: PLR1730  # max() takes longer, and this is done for every event there is
            self.last_event_id = event_id
        if timestamp_ms > self.now_ms:  # noqa: PLR1730  # likewise
            self.now_ms = timestamp_ms
        if self._failure is not None or self.has_ended:
            self.ledger.apply(event)
            return
        apply = _APPLY.get(type(event))
        try:
            if apply is not None:
                apply(self, event)
            if self._scheduler.ready:
                self._scheduler.run()
                if self._mailbox.asked:
                    self._serve()
                self._settle()
        except RecursionError as error:
            self._scheduler.nests_too_deeply(error)

    def _serve(self) -> None:
        """The code waits: give it the messages that it has asked for and that are there, and let it go on after each."""
        mailbox, scheduler = self._mailbox, self._scheduler
        while mailbox.asked and not self._is_over:
            delivery = mailbox.hand_out()
            if delivery is not None:
                self._receive(*delivery)
                scheduler.run()

    def _settle(self) -> None:
        """When the code has ended by itself: give up what it leaves open, at once, so that it counts from here on."""
        if self._scheduler.outcome is None or self._leftovers_given_up or self._continuation is not None:
            return
        self._leftovers_given_up = True
        for action in self._scheduler.give_up_everything():
            # Open subscriptions get their breadcrumb from the end of the execution.
            if not isinstance(action.request, (WaitExternal, DequeueEvent)):
                action.is_cancelled = True
                self._given_up(action)

    def _match(self, event: e.ScheduleEvent) -> None:
        """Match a recorded schedule with the oldest request that has not been matched."""
        action = self._unmatched[0] if self._unmatched else None
        if action is not None and agrees(action.request, event):
            self._unmatched.popleft()
            self._bind(action, event)
            return
        # Whatever becomes of the code, this was started and may have to be ended, or was seen by clients.
        self.ledger.apply(event)
        self.has_shown_status |= type(event) is e.CustomStatusUpdated
        if self._scheduler.is_finished:
            return
        if action is not None:
            self._fail(mismatch(event, action.request, self._scheduler.where(action.owner)))
        elif self._continuation is not None:
            self._fail(mismatch(event, self._continuation, self._scheduler.where()))
        elif type(event) not in OPTIONAL_EVENTS:
            self._fail(extra_event(event, self._scheduler.where()))

    def _bind(self, action: Scheduled[Any], event: e.ScheduleEvent) -> None:
        action.event_id = event.event_id
        action.is_recorded = True
        if type(event) not in ANSWERED_BY:
            if isinstance(event, e.KeyValueSet):
                _keep_recorded_time(self.kv, event, action.request)
            return
        if not self.ledger.add(event):
            self._fail(repeated_id(event, self._scheduler.where(action.owner)))
            return
        if action.outcome is not None and not action.is_cancelled:
            # A dequeue that found its message before it was recorded.
            self.ledger.close(event.event_id)
            return
        self._waiting[event.event_id] = action
        if isinstance(event, e.ExternalSubscribed) and not action.is_cancelled:
            self._mailbox.wait(event.name, action)

    def _complete(self, event: e.CompletionEvent) -> None:
        """Give the answer to the code that waits for it, if it still does."""
        source = event.source_event_id
        scheduled = self.ledger.open.get(source)
        if scheduled is None or type(event) not in ANSWERED_BY[type(scheduled)] or self._is_over:
            self._complete_in_vain(event, scheduled)
            return
        self.ledger.close(source)
        action = self._waiting.pop(source)
        if self._dropped:
            self._dropped.pop(action, None)
        if isinstance(event, _RESULTS):
            self._answer(action, event.result)
        elif isinstance(event, e.TimerFired):
            self._scheduler.resolve(action, _NONE)
        elif isinstance(event, (e.ActivityFailed, e.SubOrchestrationFailed)):
            if event.details.is_system_error and not action.is_cancelled:
                self._failure = event.details
            else:
                self._scheduler.resolve(action, _error(event, self.exceptions))

    def _complete_in_vain(self, event: e.CompletionEvent, scheduled: e.ScheduleEvent | None) -> None:
        """Take an answer that nobody can wait for: the code has ended, or it is another code."""
        source = event.source_event_id
        if self._is_over:
            self.ledger.close(source)
            action = self._waiting.pop(source, None)
            if action is not None:
                self._dropped.pop(action, None)
        else:
            self._fail(_unfit(event, scheduled, self.ledger, self._scheduler.where()))

    def _answer(self, action: Scheduled[Any], text: str) -> None:
        if action.outcome is not None or self._is_over:
            return  # it was given up
        try:
            value = Value(action.decode(text))
        except Exception as error:  # noqa: BLE001  # a user's structure hook may raise anything; code may catch it
            undecodable = error
            self._scheduler.resolve(action, Error(lambda: undecodable))
        else:
            self._scheduler.resolve(action, value)

    def _raise_event(self, event: e.ExternalEvent) -> None:
        """Give the event to the oldest open wait for its name, or to nobody, ever."""
        action = self._mailbox.next_wait(event.name)
        if action is not None:
            self._receive(action, event.data)

    def _deliver(self, event: e.QueueEventDelivered) -> None:
        """Give the message to the oldest dequeue that waits; when the code continues as new, the next execution has it."""
        action = None if self._continuation is not None else self._mailbox.next_dequeue(event.name)
        if action is None:
            self._mailbox.keep(event.name, event.data)
        else:
            self._receive(action, event.data)

    def _receive(self, action: Scheduled[Any], data: str) -> None:
        """Answer a subscription, which closes it."""
        if action.is_recorded:
            self._waiting.pop(action.event_id, None)
            self.ledger.close(action.event_id)
        self._answer(action, data)

    def _request_cancel(self, event: e.OrchestrationCancelRequested) -> None:
        if self._cancel_reason is None:
            self._cancel_reason = event.reason

    def _note_breadcrumb(self, event: e.Breadcrumb) -> None:
        """What history says was given up, must have been given up by the code, too."""
        self.ledger.apply(event)
        action = self._waiting.get(event.source_event_id)
        if action is None:
            return
        if event.reason == e.DROPPED and not action.is_cancelled and not self._scheduler.is_finished:
            self._fail(cancellation_mismatch(event, action.request, self._scheduler.where(action.owner)))
            return
        self._dropped.pop(action, None)
        if event.source_event_id not in self.ledger.open:
            del self._waiting[event.source_event_id]

    def _end(self, _: e.Event) -> None:
        self.has_ended = True

    def _fail(self, disagreement: Disagreement) -> None:
        self.disagreement = disagreement
        self._failure = ErrorDetails.nondeterminism(disagreement.text)

    def _given_up(self, action: Scheduled[Any]) -> None:
        if isinstance(action.request, _LEAVE_BREADCRUMBS):
            self._dropped[action] = None

    # Deciding

    def decide(self) -> Turn:
        """Return what the code decides after the events so far: what it has asked for and is not in history yet."""
        verdict = self._verdict()
        if verdict is None:
            return _CONTINUE
        if isinstance(verdict, Cancelled) or self._failure is not None or self._scheduler.misuse is not None:
            # What the code decided in this turn does not count; what it had asked for before is to be ended.
            return Turn(verdict, left_open=tuple(self.ledger.wanted()))
        return self._decisions(verdict)

    def _verdict(self) -> Verdict | None:
        """Return how the execution stands, by precedence. None: it has ended before."""
        if self.has_ended:
            return None
        if self._failure is not None:
            return Failed(self._failure)
        if self._cancel_reason is not None:
            return Cancelled(self._cancel_reason)
        if self._scheduler.misuse is not None:
            return Failed(ErrorDetails.from_exception(self._scheduler.misuse, kind=ErrorKind.PANICKED))
        if self._continuation is not None:
            return ContinuesAsNew(self._continuation.input, self._continuation.version)
        match self._scheduler.outcome:
            case Value(value):
                return _completed(value, self._encode_output)
            case Error(make):
                return _failed(make())
            case None:
                return _CONTINUE.verdict

    def _decisions(self, verdict: Verdict) -> Turn:
        """Number what is not in history yet: requests in order, then breadcrumbs by schedule."""
        goes_on = verdict is _CONTINUE.verdict
        if goes_on and not self._unmatched and not self._dropped:
            return _CONTINUE
        events: list[e.Event] = []
        event_id, now_ms, started = self.last_event_id, self.now_ms, self.started
        for action in self._unmatched:
            event_id += 1
            action.event_id = event_id
            events.append(record(action.request, event_id, now_ms, started))
        if goes_on and not self._dropped:
            return Turn(verdict, tuple(events))
        fresh = {
            action.event_id: event
            for action, event in zip(self._unmatched, events, strict=True)
            if isinstance(event, e.ScheduleEvent) and (action.outcome is None or action.is_cancelled)
        }
        activities, children = add_breadcrumbs(
            events, self._dropped, fresh, self.ledger, after=event_id, timestamp_ms=now_ms
        )
        still_open = () if goes_on else left_open(self._dropped, fresh, self.ledger)
        return Turn(verdict, tuple(events), activities, children, still_open)


_APPLY: Mapping[type[e.Event], Callable[[Replay, Any], None]] = {
    e.ActivityScheduled: Replay._match,
    e.TimerCreated: Replay._match,
    e.ExternalSubscribed: Replay._match,
    e.QueueSubscribed: Replay._match,
    e.SubOrchestrationScheduled: Replay._match,
    e.OrchestrationChained: Replay._match,
    e.CustomStatusUpdated: Replay._match,
    e.KeyValueSet: Replay._match,
    e.KeyValueCleared: Replay._match,
    e.KeyValuesCleared: Replay._match,
    e.ActivityCompleted: Replay._complete,
    e.ActivityFailed: Replay._complete,
    e.TimerFired: Replay._complete,
    e.SubOrchestrationCompleted: Replay._complete,
    e.SubOrchestrationFailed: Replay._complete,
    e.ExternalEvent: Replay._raise_event,
    e.QueueEventDelivered: Replay._deliver,
    e.ActivityCancelRequested: Replay._note_breadcrumb,
    e.ExternalSubscribedCancelled: Replay._note_breadcrumb,
    e.QueueSubscriptionCancelled: Replay._note_breadcrumb,
    e.SubOrchestrationCancelRequested: Replay._note_breadcrumb,
    e.OrchestrationCancelRequested: Replay._request_cancel,
    e.OrchestrationCompleted: Replay._end,
    e.OrchestrationFailed: Replay._end,
    e.OrchestrationContinuedAsNew: Replay._end,
}


def _error(event: e.ActivityFailed | e.SubOrchestrationFailed, exceptions: ExceptionTypes) -> Error:
    is_activity = isinstance(event, e.ActivityFailed)
    return Error(partial(exception_for, event.details, exceptions, is_activity=is_activity))


def _unfit(event: e.CompletionEvent, scheduled: e.ScheduleEvent | None, ledger: Ledger, place: str) -> Disagreement:
    """Say what is wrong with an answer to *scheduled*; None: nothing that waits for one."""
    if scheduled is not None:
        return wrong_kind(event, scheduled, place)
    known = ledger.kind_of(event.source_event_id)
    return (closed_schedule if known else early_completion)(event, place)


def _keep_recorded_time(kv: dict[str, e.KvEntry], event: e.KeyValueSet, request: Request) -> None:
    """A key's age is what was recorded, also where that is not the time of the code (another release's, or a hand's)."""
    if isinstance(request, SetKeyValue) and kv.get(event.key) == e.KvEntry(request.value, request.updated_at_ms):
        kv[event.key] = e.KvEntry(event.value, event.updated_at_ms)


def _completed(value: Any, encode_output: Callable[[Any], str]) -> Verdict:
    try:
        return Completed(encode_output(value))
    except Exception as error:  # noqa: BLE001  # a user's unstructure hook may raise anything
        return _failed(error)


def _failed(error: BaseException) -> Failed:
    kind = ErrorKind.PANICKED if isinstance(error, OrchestrationMisuse) else ErrorKind.ORCHESTRATION_FAILED
    return Failed(ErrorDetails.from_exception(error, kind=kind))
