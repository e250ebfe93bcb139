"""
One live execution, from the messages it gets to the commit it makes.

`Execution` is a cache of what is in the store, and nothing but a cache: its commits carry the last
event id it knows, and the store refuses them if the truth has moved on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ..errors import ErrorDetails, ErrorKind, LimitExceeded
from . import events as e
from .commit import (
    NOTHING,
    ActivityLock,
    CustomStatusChange,
    ExecutionStatus,
    InstanceLock,
    NewExecution,
    TurnCommit,
)
from .effects import Effects, Ending, Inheritance, effects_of
from .executor import Executor
from .ledger import Ledger
from .messages import ActivityExecute, Deliver, StartOrchestration
from .staging import Staged, stage
from .verdicts import Continue, ContinuesAsNew, Failed, Turn


#: Keys → what they are set to; None: removed.
KvChanges = Mapping[str, e.KvEntry | None]

#: Decides which new activities this runtime runs itself at once: returns the token to lock each with, or None.
Claim = Callable[[ActivityExecute], str | None]


def claim_nothing(_: ActivityExecute) -> str | None:
    """Leave every activity to whoever fetches it."""
    return None


class Execution:
    """
    A live executor, and where it stands in the store.

    Args:
        executor: Fed with everything that is in the store.

        incarnation: Of the instance.

        is_new: Whether the start event is still to be written.
    """

    __slots__ = ("_stored_kv", "executor", "incarnation", "is_new", "started")

    def __init__(self, executor: Executor, *, incarnation: int, is_new: bool) -> None:
        self.executor = executor
        #: Event 1.
        self.started = executor.started
        self.incarnation = incarnation
        self.is_new = is_new
        #: What clients see: what history says, which the code may be ahead of.
        self._stored_kv: dict[str, e.KvEntry] = dict(executor.started.kv)

    @property
    def last_event_id(self) -> int:
        """The last event id in the store, 0 before the first commit."""
        return 0 if self.is_new else self.executor.last_event_id

    def catch_up(self, events: Sequence[e.Event]) -> None:
        """Feed *events* that are in the store already."""
        # One more than there are: what the code does on the last of them it has done before, too, or they would not be stored.
        persisted = len(events) + 2 if self.executor.last_event_id == 1 else len(events) + 1
        self.executor.absorb(events, persisted=persisted)
        self._kv_is_stored(_kv_changes(events, self._stored_kv))

    def resume(self, messages: Iterable[Deliver], *, now_ms: int) -> Staged:
        """Begin a turn: run the code on what *messages* become. Whatever it asks for waits for `decide`."""
        executor = self.executor
        if executor.has_ended:
            return Staged(dropped=tuple(f"{type(each.event).__name__}: the execution has ended" for each in messages))
        staged = stage(
            messages,
            executor.ledger,
            execution_id=self.started.execution_id,
            first_event_id=executor.last_event_id + 1,
            timestamp_ms=max(executor.now_ms, now_ms),
            is_cancelled=executor.is_cancel_requested,
            parent=self.started.parent,
        )
        executor.absorb(staged.events)
        return staged

    def decide(
        self,
        staged: Staged,
        *,
        lock: InstanceLock | None = None,
        consumed_messages: tuple[int, ...] = (),
        finished_activities: tuple[ActivityLock, ...] = (),
        fired_timers: tuple[int, ...] = (),
        handed_over: bool = False,
        claim: Claim = claim_nothing,
    ) -> TurnCommit:
        """
        End the turn that `resume` began and returned *staged* of: return what to write.

        If the commit is refused, the execution is worthless and must be closed; if it is accepted,
        `confirm` it.
        """
        started = self.started
        before = 0 if self.is_new else self.executor.last_event_id - len(staged.events)
        if self.executor.has_ended:
            # Nothing follows a terminal event.
            return TurnCommit(
                instance_id=started.instance_id,
                execution_id=started.execution_id,
                incarnation=self.incarnation,
                last_event_id=before,
                lock=lock,
                consumed_messages=consumed_messages,
                handed_over=handed_over,
            )
        turn = self._turn(staged)
        effects = self._effects(turn, staged)
        changes_state = not _STATE_EVENTS.isdisjoint(map(type, turn.events))
        return TurnCommit(
            instance_id=started.instance_id,
            execution_id=started.execution_id,
            incarnation=self.incarnation,
            last_event_id=before,
            lock=lock,
            consumed_messages=consumed_messages,
            finished_activities=finished_activities,
            fired_timers=fired_timers,
            events=(*((started,) if self.is_new else ()), *staged.events, *turn.events, *effects.events),
            started=_new_execution(started) if self.is_new else None,
            status=effects.status,
            output=effects.output,
            custom_status=_status_change(turn) if changes_state else None,
            may_have_status=self.executor.has_shown_status,
            kv=self._news_of(_kv_changes(turn.events, self._stored_kv)) if changes_state else NOTHING,
            activities=effects.activities,
            eager=_claimed(effects.activities, claim) if effects.activities else (),
            messages=effects.messages,
            cancelled_activities=effects.cancelled_activities,
            cancelled_timers=effects.cancelled_timers,
            handed_over=handed_over,
        )

    def advance(self, messages: Iterable[Deliver], *, now_ms: int) -> tuple[TurnCommit, Staged]:
        """Run one turn with *messages*; return what to write, as `decide` does, and what became of the messages."""
        staged = self.resume(messages, now_ms=now_ms)
        return self.decide(staged), staged

    def _turn(self, staged: Staged) -> Turn:
        """Return what the code has decided, or that it must not go on."""
        executor = self.executor
        turn = executor.decide()
        if staged.impossible:
            failed = Failed(ErrorDetails.nondeterminism(staged.impossible[0]))
            turn = Turn(failed, left_open=tuple(executor.ledger.wanted()))
        if executor.limits.max_history_events is not None:
            turn = self._within_limits(turn, staged)
        return turn

    def confirm(self, commit: TurnCommit) -> None:
        """Take note that *commit*, the last one made, is in the store now."""
        executor = self.executor
        self.is_new = False
        self._kv_is_stored(commit.kv)
        if commit.status is ExecutionStatus.RUNNING:
            last_event_id = executor.last_event_id
            executor.absorb([event for event in commit.events if event.event_id > last_event_id])

    def close(self) -> None:
        """Forget the code."""
        self.executor.close()

    def _effects(self, turn: Turn, staged: Staged) -> Effects:
        if isinstance(turn.verdict, Continue):
            return effects_of(turn, self.started)
        executor = self.executor
        last_event_id = executor.last_event_id + len(turn.events)
        inheritance = self._inheritance(staged) if isinstance(turn.verdict, ContinuesAsNew) else None
        ending = Ending(executor.ledger.timers(), last_event_id + 1, executor.now_ms, inheritance)
        return effects_of(turn, self.started, ending)

    def _inheritance(self, staged: Staged) -> Inheritance:
        """Return what the next execution gets from this one."""
        executor = self.executor
        unread = executor.unread_messages()
        most = executor.limits.max_carried_messages
        if len(unread) > most:
            warning = (
                f"continue-as-new drops the newest {len(unread) - most} of {len(unread)} unread queue messages: at"
                f" most {most} are carried (max_carried_messages)"
            )
            staged.warnings += (warning,)
        return Inheritance(executor.custom_status, dict(executor.kv), unread[:most])

    def _within_limits(self, turn: Turn, staged: Staged) -> Turn:
        """Return *turn*, or the failure of an execution whose history would become too long."""
        executor = self.executor
        after = executor.last_event_id + len(turn.events)
        try:
            warning = executor.limits.check_history(executor.last_event_id - len(staged.events), after)
        except LimitExceeded as error:
            if not isinstance(turn.verdict, Continue):
                return turn
            details = ErrorDetails.from_exception(error, kind=ErrorKind.ORCHESTRATION_FAILED)
            return Turn(Failed(details), left_open=tuple(executor.ledger.wanted()))
        if warning is not None:
            staged.warnings += (warning,)
        return turn

    def _news_of(self, changes: KvChanges) -> KvChanges:
        """Return those of *changes* that change what is stored."""
        return {key: entry for key, entry in changes.items() if self._stored_kv.get(key) != entry}

    def _kv_is_stored(self, changes: KvChanges) -> None:
        for key, entry in changes.items():
            if entry is None:
                self._stored_kv.pop(key, None)
            else:
                self._stored_kv[key] = entry


#: What changes key-values or custom status.
_STATE_EVENTS = frozenset({e.KeyValueSet, e.KeyValueCleared, e.KeyValuesCleared, e.CustomStatusUpdated})


def _kv_changes(events: Iterable[e.Event], stored: Iterable[str]) -> KvChanges:
    """Return what *events* make of the *stored* keys."""
    changes: dict[str, e.KvEntry | None] = {}
    for event in events:
        if type(event) not in _STATE_EVENTS:
            continue  # nearly always
        if isinstance(event, e.KeyValueSet):
            changes[event.key] = e.KvEntry(event.value, event.updated_at_ms)
        elif isinstance(event, e.KeyValueCleared):
            changes[event.key] = None
        elif isinstance(event, e.KeyValuesCleared):
            changes = dict.fromkeys([*stored, *changes])
    return changes


def begin(
    message: StartOrchestration,
    version: str,
    *,
    timestamp_ms: int,
    duroxide_version: str,
) -> e.OrchestrationStarted:
    """Return the start event of the execution that *message* asks for."""
    return e.OrchestrationStarted(
        1,
        timestamp_ms,
        message.instance_id,
        message.execution_id,
        message.name,
        version,
        message.input,
        message.parent,
        duroxide_version,
        message.custom_status,
        message.kv,
        message.queued,
    )


def fail(
    history: Sequence[e.Event],
    details: ErrorDetails,
    *,
    is_new: bool,
    incarnation: int,
    now_ms: int,
    lock: InstanceLock,
    consumed_messages: tuple[int, ...],
) -> TurnCommit:
    """
    Return the commit that ends an execution without running its code: it is poisoned.

    Args:
        history: All its events; with *is_new* just the start event, which is still to be written.
    """
    started = history[0]
    assert isinstance(started, e.OrchestrationStarted), "a history begins with its start event"
    ledger = Ledger(history)
    turn = Turn(Failed(details), left_open=tuple(ledger.wanted()))
    last_event_id = max(event.event_id for event in history)
    now_ms = max(now_ms, *(event.timestamp_ms for event in history))
    effects = effects_of(turn, started, Ending(ledger.timers(), last_event_id + 1, now_ms))
    return TurnCommit(
        instance_id=started.instance_id,
        execution_id=started.execution_id,
        incarnation=incarnation,
        last_event_id=0 if is_new else last_event_id,
        lock=lock,
        consumed_messages=consumed_messages,
        events=(*([started] if is_new else ()), *effects.events),
        started=_new_execution(started) if is_new else None,
        status=effects.status,
        output=effects.output,
        messages=effects.messages,
        cancelled_activities=effects.cancelled_activities,
        cancelled_timers=effects.cancelled_timers,
    )


def _claimed(activities: Iterable[ActivityExecute], claim: Claim) -> tuple[ActivityLock, ...]:
    """Return the locks under which this runtime runs some of *activities* itself."""
    return tuple(
        [ActivityLock(activity.key, token) for activity in activities if (token := claim(activity)) is not None]
    )


def _new_execution(started: e.OrchestrationStarted) -> NewExecution:
    return NewExecution(started.name, started.version, started.parent, started.duroxide_version)


def _status_change(turn: Turn) -> CustomStatusChange | None:
    for event in reversed(turn.events):
        if isinstance(event, e.CustomStatusUpdated):
            return CustomStatusChange(event.status)
    return None
