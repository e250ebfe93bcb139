"""
The turns of a round: what each fetched instance, and each outcome of an activity, makes its orchestration decide.

Live executions come from the cache, or from history. An instance that this runtime cannot run is passed on, and
one that trips the engine takes nobody else down.
"""

from __future__ import annotations

import logging

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from attrs import evolve, field

from .._clock import new_incarnation
from .._core.commit import ExecutionStatus, TurnCommit
from .._core.events import Event, OrchestrationStarted
from .._core.execution import Claim, Execution, begin
from .._core.executor import Executor
from .._core.functions import FunctionInfo
from .._core.messages import Deliver, StartOrchestration
from .._core.registry import Registry
from .._core.staging import Staged
from .._guard import executor_class
from .._nouns import define
from .._version import __version__
from ..errors import ProviderError, UnreadableHistory
from ..providers.contract import HistoryRequest, OrchestrationItem, Provider, Release
from ..providers.handover import Offered
from .activities import Finished
from .agenda import Agenda
from .cache import ExecutionCache
from .complaints import Complaints
from .intake import Batch, consume, poison, sort_messages
from .long_turns import LongTurns
from .options import RuntimeOptions
from .reasons import Reasons
from .returns import Returns
from .timers import DueTimer


_log = Complaints("duroxide.runtime")
_orchestration_log = logging.getLogger("duroxide.orchestrations")

#: How long to leave alone what cannot be read or run, in milliseconds.
UNREADABLE_DELAY_MS = 1000


@define
class Turned:
    """One turn of the round, on its way to the store."""

    commit: TurnCommit
    execution: Execution | None
    item: OrchestrationItem | None = None
    finished: list[Finished] = field(factory=list)
    #: What was handed over to it, by somebody who waits for its fate.
    offered: Offered | None = None
    #: Whether its fate is known and dealt with.
    is_over: bool = False


@define(eq=False)
class Resumed:
    """A turn whose code has run, and whose decisions are still to be asked for."""

    execution: Execution
    staged: Staged
    finished: list[Finished]
    timers: Sequence[DueTimer] = ()
    item: OrchestrationItem | None = None
    batch: Batch | None = None


@define
class Round:
    """What one round takes in, and what comes of it."""

    items: Sequence[OrchestrationItem]
    finished: list[Finished]
    #: Timers that have become due, and go the short way.
    timers: list[DueTimer]
    turns: list[Turned] = field(factory=list)
    #: Outcomes that go the general way: into the queue, for whoever takes the instance next.
    general: list[Finished] = field(factory=list)


class Turns:
    """Runs turns, in the thread of the round."""

    def __init__(
        self,
        provider: Provider,
        registry: Registry,
        options: RuntimeOptions,
        cache: ExecutionCache,
        returns: Returns,
        agenda: Agenda,
        *,
        worker_id: str,
    ) -> None:
        self._provider = provider
        self._registry = registry
        self._options = options
        self._cache = cache
        self._returns = returns
        self._agenda = agenda
        self._worker_id = worker_id
        self._now_ms = 0
        self._reasons = Reasons()
        #: Which code runs at the moment.
        self.watch = LongTurns()

    def run(self, round_: Round, claim: Claim) -> None:
        """
        Run a turn for every instance of *round_* that has something new.

        First all code runs, and only then is it asked what follows: code that waits for a timer, or for the first of
        several answers, is not to be late by the work for others.

        Args:
            claim: Decides which new activities this runtime runs itself at once.
        """
        # One time for all: when the round began, so that a crowd of timers is not late by its own length.
        self._now_ms = self._provider.now_ms()
        outcomes: dict[str, list[Finished]] = {}
        for each in round_.finished:
            outcomes.setdefault(each.lock.key.instance_id, []).append(each)
        due: dict[str, list[DueTimer]] = {}
        for timer in round_.timers:
            due.setdefault(timer.instance_id, []).append(timer)
        live = self._bring_up_to_date(round_.items)
        resumed: list[Resumed] = []
        for item in round_.items:
            turn = self._guarded_turn(item, live.pop(item.lock.instance_id, None), outcomes, round_)
            if isinstance(turn, Resumed):
                resumed.append(turn)
            elif turn is not None:
                round_.turns.append(turn)
        for instance_id in outcomes | due if due else outcomes:
            own = outcomes.get(instance_id, [])
            execution = self._cache.take(instance_id) if self._options.short_way_round else None
            if execution is None:
                round_.general.extend(own)
            else:
                turn = self._short_turn(execution, own, due.get(instance_id, ()), round_)
                if turn is not None:
                    resumed.append(turn)
        for turn in resumed:
            self._decide(turn, round_, claim)

    def _short_turn(
        self, execution: Execution, outcomes: list[Finished], timers: Sequence[DueTimer], round_: Round
    ) -> Resumed | None:
        """Begin a turn on what has come up in this runtime; what is not for *execution* goes the general way."""
        own, others = _split(outcomes, execution)
        round_.general.extend(others)
        open_timers = [each for each in timers if each.is_of(execution)]
        if not (own or open_timers):
            self._cache.keep(execution)
            return None
        try:
            return self._resume(execution, (), own, timers=open_timers)
        except Exception as error:  # noqa: BLE001  # one instance that trips the engine must not hold up the others
            _log.exception("the turn of instance %r failed", execution.started.instance_id)
            self._tripped(error, execution, None, own, round_)
            return None

    def _guarded_turn(
        self, item: OrchestrationItem, execution: Execution | None, outcomes: dict[str, list[Finished]], round_: Round
    ) -> Turned | Resumed | None:
        try:
            return self._turn_of(item, execution, outcomes)
        except ProviderError:
            raise
        except Exception as error:  # noqa: BLE001  # likewise; it becomes poison
            _log.exception("the turn of instance %r failed", item.lock.instance_id)
            self._tripped(error, execution, item, [], round_)
            return None

    def _turn_of(
        self, item: OrchestrationItem, execution: Execution | None, outcomes: dict[str, list[Finished]]
    ) -> Turned | Resumed | None:
        batch = sort_messages(item)
        if batch.is_over:
            return Turned(consume(item, batch), None, item)
        if item.attempt_count > self._options.max_attempts:
            return self._poisoned(item, batch)
        if item.unreadable_reason is not None:
            self._pass_on(item, UNREADABLE_DELAY_MS, item.unreadable_reason)
            return None
        if batch.start is not None:
            execution = self._begin(item, batch)
        elif item.status is ExecutionStatus.CONTINUED_AS_NEW:
            self._pass_on(item, UNREADABLE_DELAY_MS, "what begins its next execution is missing")
        if execution is None:
            return None
        own: list[Finished] = []
        if self._options.short_way_round:
            own, others = _split(outcomes.pop(item.lock.instance_id, []), execution)
            if others:
                outcomes[item.lock.instance_id] = others
        return self._resume(execution, batch.deliveries, own, item=item, batch=batch)

    def _resume(
        self,
        execution: Execution,
        deliveries: Iterable[Deliver],
        own: list[Finished],
        *,
        timers: Sequence[DueTimer] = (),
        item: OrchestrationItem | None = None,
        batch: Batch | None = None,
    ) -> Resumed:
        """Run the code of *execution* on all that is new."""
        started = execution.started
        instance_id, execution_id = started.instance_id, started.execution_id
        messages = [*deliveries]
        if timers:
            messages += [each.message for each in timers]
        if own:
            messages += [Deliver(instance_id, execution_id, each.outcome) for each in own]
        staged = self.watch.run(started, execution.resume, messages, now_ms=self._now_ms)
        return Resumed(execution, staged, own, timers, item, batch)

    def _decide(self, resumed: Resumed, round_: Round, claim: Claim) -> None:
        """Add to *round_* what is to be written of a turn whose code has run."""
        execution, item, batch, own = resumed.execution, resumed.item, resumed.batch, resumed.finished
        try:
            commit = execution.decide(
                resumed.staged,
                lock=None if item is None else item.lock,
                consumed_messages=() if batch is None else batch.message_ids,
                finished_activities=tuple([each.lock for each in own]),
                fired_timers=tuple([each.event_id for each in resumed.timers]) if resumed.timers else (),
                claim=claim,
            )
        except Exception as error:  # noqa: BLE001  # likewise
            _log.exception("the turn of instance %r failed", execution.started.instance_id)
            self._tripped(error, execution, item, own, round_)
            return
        if batch is not None and batch.refusals:
            commit = evolve(commit, messages=(*commit.messages, *batch.refusals))
        _log_dropped(commit, resumed.staged)
        round_.turns.append(Turned(commit, execution, item, own))

    def _tripped(
        self,
        error: Exception,
        execution: Execution | None,
        item: OrchestrationItem | None,
        own: list[Finished],
        round_: Round,
    ) -> None:
        """The engine failed at one instance: forget what is in memory of it, and let others try, and count."""
        if execution is not None:
            execution.close()
        round_.general.extend(own)
        if item is not None:
            self._pass_on(item, UNREADABLE_DELAY_MS, f"its turn failed: {type(error).__name__}: {error}")

    def _begin(self, item: OrchestrationItem, batch: Batch) -> Execution | None:
        """Begin the execution that a start message asks for, if its orchestration is registered here."""
        message = batch.start
        assert message is not None, "there is something to begin"
        execution = self.begin(message, item.incarnation or new_incarnation())
        if execution is None:
            version = "" if message.version is None else f" {message.version}"
            self._not_registered(item, f"{message.name!r}{version}")
        return execution

    def begin(self, message: StartOrchestration, incarnation: int) -> Execution | None:
        """Return the execution that *message* asks for, or None if its orchestration is not registered here."""
        resolved = self._registry.orchestrations.resolve(message.name, message.version)
        if resolved is None:
            return None
        version, info = resolved
        started = begin(message, version, timestamp_ms=self._now_ms, duroxide_version=__version__)
        return Execution(self._executor(info, started), incarnation=incarnation, is_new=True)

    def hand_over(self, execution: Execution, deliveries: Sequence[Deliver], claim: Claim) -> Turned:
        """Return the turn of *execution* with its start, or with messages that never were in the queue."""
        staged = self.watch.run(execution.started, execution.resume, deliveries, now_ms=self._now_ms)
        commit = execution.decide(staged, handed_over=True, claim=claim)
        _log_dropped(commit, staged)
        return Turned(commit, execution)

    def _executor(self, info: FunctionInfo, started: OrchestrationStarted) -> Executor:
        def log(level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
            extra = {
                "instance_id": started.instance_id,
                "execution_id": started.execution_id,
                "orchestration_name": started.name,
                "orchestration_version": started.version,
                "worker_id": self._worker_id,
                **(keywords.pop("extra", None) or {}),
            }
            keywords["stacklevel"] += 1
            # Of a handler of the application's: what the code does next must not depend on it, since it is silent in replay.
            with suppress(Exception):
                _orchestration_log.log(level, message, *args, extra=extra, **keywords)

        make = executor_class(self._options.guard)
        return make(info, started, exceptions=self._registry.exceptions, log=log, limits=self._options.limits)

    # Reading what is not in memory

    def _bring_up_to_date(self, items: Sequence[OrchestrationItem]) -> dict[str, Execution]:
        """Return the live execution of every running instance, reading only what is not in memory."""
        live: dict[str, Execution] = {}
        wanted: list[tuple[OrchestrationItem, HistoryRequest]] = []
        for item in items:
            if item.execution_id == 0 or item.status is not ExecutionStatus.RUNNING:
                self._cache.evict(item.lock.instance_id)
                continue
            known = self._known(item)
            if known is not None:
                live[item.lock.instance_id] = known
            after = 0 if known is None else known.last_event_id
            if after < item.last_event_id and item.attempt_count <= self._options.max_attempts:
                wanted.append((item, HistoryRequest(item.lock.instance_id, item.execution_id, after)))
        if wanted:
            histories = self._provider.read_histories([request for _, request in wanted])
            for (item, _), history in zip(wanted, histories, strict=True):
                execution = self._revived(item, live.pop(item.lock.instance_id, None), history)
                if execution is not None:
                    live[item.lock.instance_id] = execution
        return live

    def _known(self, item: OrchestrationItem) -> Execution | None:
        """Return the cached execution of *item*, if it is of the same life and not ahead of the store."""
        known = self._cache.take(item.lock.instance_id)
        if known is None:
            return None
        is_same = known.incarnation == item.incarnation and known.started.execution_id == item.execution_id
        if is_same and known.last_event_id <= item.last_event_id:
            return known
        known.close()
        return None

    def _revived(
        self, item: OrchestrationItem, known: Execution | None, history: Sequence[Event] | UnreadableHistory
    ) -> Execution | None:
        """Return the execution with what was read replayed, or None after passing the instance on."""
        if isinstance(history, UnreadableHistory):
            self._pass_on(item, UNREADABLE_DELAY_MS, str(history))
            return None
        if known is not None:
            self.watch.run(known.started, known.catch_up, history)
            return known
        started = history[0] if history else None
        if not isinstance(started, OrchestrationStarted):
            damaged = "its history does not begin with a start event"
            reason = damaged if history else "it has no history: it was deleted a moment ago, or is damaged"
            self._pass_on(item, UNREADABLE_DELAY_MS, reason)
            return None
        resolved = self._registry.orchestrations.resolve(started.name, started.version)
        if resolved is None:
            self._not_registered(item, f"{started.name!r} {started.version}")
            return None
        execution = Execution(self._executor(resolved[1], started), incarnation=item.incarnation, is_new=False)
        self.watch.run(started, execution.catch_up, history[1:])
        return execution

    def _poisoned(self, item: OrchestrationItem, batch: Batch) -> Turned:
        history: Sequence[Event] | None = None
        reason: str | None = None
        if item.execution_id:
            answer = self._provider.read_histories([HistoryRequest(item.lock.instance_id, item.execution_id)])[0]
            if isinstance(answer, UnreadableHistory):
                reason = str(answer)
            else:
                history = answer
        reason = (
            reason or self._not_resolved(batch.start or (history[0] if history else None)) or self._reasons.of(item)
        )
        _log.error(
            "instance %r is poison: its messages were delivered %d times%s",
            item.lock.instance_id,
            item.attempt_count,
            "" if reason is None else f": {reason}",
            extra={"action": "poison", "instance_id": item.lock.instance_id},
        )
        commit = poison(
            item,
            batch,
            history,
            max_attempts=self._options.max_attempts,
            now_ms=self._now_ms,
            duroxide_version=__version__,
            incarnation=item.incarnation or new_incarnation(),
            reason=reason,
        )
        return Turned(commit, None, item)

    def is_suspicious(self, item: OrchestrationItem) -> bool:
        """Whether *item* may be what ends its runtimes: it was delivered often, and was not passed on for a reason."""
        return item.attempt_count > self._options.suspicious_attempts and not self._reasons.explains(item)

    def _not_resolved(self, start: StartOrchestration | Event | None) -> str | None:
        """Return what is to be said of the orchestration that *start* names, if it is not registered here."""
        if not isinstance(start, StartOrchestration | OrchestrationStarted):
            return None
        if self._registry.orchestrations.resolve(start.name, start.version) is not None:
            return None
        version = "" if start.version is None else f" {start.version}"
        return f"orchestration {start.name!r}{version} is not registered here"

    def _not_registered(self, item: OrchestrationItem, what: str) -> None:
        delay_ms = self._options.unregistered_delay_ms(item.attempt_count)
        self._pass_on(item, delay_ms, f"orchestration {what} is not registered here")

    def _pass_on(self, item: OrchestrationItem, delay_ms: int, reason: str) -> None:
        """Give an instance back for others to try, before this runtime does again; the attempt counts."""
        _log.warning(
            "passing on instance %r for %d ms: %s (delivery %d of %d)",
            item.lock.instance_id,
            delay_ms,
            reason,
            item.attempt_count,
            self._options.max_attempts,
            extra={"action": "passed_on", "instance_id": item.lock.instance_id},
        )
        self._reasons.note(item, reason)
        self._agenda.lateness.pass_on(self._provider.now_ms(), delay_ms, self._options.passing_on_seconds)
        self._returns.instances([Release(item.lock, delay_ms)])


def _split(outcomes: list[Finished], execution: Execution) -> tuple[list[Finished], list[Finished]]:
    """Return the outcomes that are for *execution*, and those that are for another one of its instance."""
    execution_id = execution.started.execution_id
    own = [each for each in outcomes if each.lock.key.execution_id == execution_id]
    if len(own) == len(outcomes):
        return own, []
    return own, [each for each in outcomes if each.lock.key.execution_id != execution_id]


def _log_dropped(commit: TurnCommit, staged: Staged) -> None:
    for warning in staged.warnings:
        _log.warning("instance %r: %s", commit.instance_id, warning, extra={"instance_id": commit.instance_id})
    for reason in staged.dropped:
        _log.debug("instance %r: dropped %s", commit.instance_id, reason)
