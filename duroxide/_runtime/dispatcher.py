"""
The orchestration side: rounds of fetch, turn and commit.

A round takes whatever has come up since the last one — fetched instances, and outcomes of this
runtime's own activities — runs a turn for each instance concerned, and commits all of them in one
transaction. While it commits, the next round's work piles up: the busier it gets, the larger the batches.

Rule 1: an execution that has advanced without its commit being accepted is thrown away. It is a cache.

Rule 2: a commit that is refused, or a store that fails, costs time, never an instance: the messages
are put back and do not count as tried.
"""

from __future__ import annotations

import logging
import threading

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import define, evolve, field

from .._clock import monotonic, new_incarnation
from .._core.commit import CommitResult, ExecutionStatus, TurnCommit
from .._core.events import Event, OrchestrationStarted
from .._core.execution import Execution, begin
from .._core.executor import Executor
from .._core.messages import ActivityKey, Deliver
from .._core.registry import Registry
from .._core.staging import Staged
from .._core.versions import Version, VersionRange
from .._version import __version__
from ..errors import ProviderError
from ..providers.contract import (
    ActivityAck,
    HistoryRequest,
    OrchestrationItem,
    Provider,
    Release,
    UnreadableHistory,
)
from .activities import ActivityWorker, Finished
from .cache import ExecutionCache
from .intake import Batch, consume, poison, sort_messages
from .options import RuntimeOptions, milliseconds
from .returns import Returns


_log = logging.getLogger("duroxide.runtime")
_orchestration_log = logging.getLogger("duroxide.orchestrations")

#: How long to leave alone what cannot be read, run or written, in milliseconds.
_UNREADABLE_DELAY_MS = 1000

#: How long the thread may take to end after the time-out of a shutdown, in seconds.
_LAST_WORDS = 1.0

#: After a failure of the store that its own retries did not get over, in seconds.
_PAUSE_AFTER_FAILURE = 0.05


@define
class Turned:
    """One turn of the round, on its way to the store."""

    commit: TurnCommit
    execution: Execution | None
    item: OrchestrationItem | None = None
    finished: list[Finished] = field(factory=list)
    #: Whether its fate is known and dealt with.
    is_over: bool = False


class Dispatcher:
    """Runs the turns of one runtime, in one thread."""

    def __init__(self, provider: Provider, registry: Registry, options: RuntimeOptions, *, runtime_id: str) -> None:
        self._provider = provider
        self._registry = registry
        self._options = options
        self._lock_ms = milliseconds(options.orchestrator_lock_timeout)
        self._activity_lock_ms = milliseconds(options.worker_lock_timeout)
        self._replayable = options.supported_replay_versions or VersionRange(
            Version.parse("0.0.0"), Version.parse(__version__)
        )
        self._cache = ExecutionCache(options.cache_size)
        self._inbox: deque[Finished] = deque()
        self._returns = Returns(provider)
        self._wake = threading.Event()
        #: Whether this runtime runs orchestrations, or just stores the outcomes of activities.
        self._takes_messages = options.orchestration_concurrency > 0
        self._has_messages = self._takes_messages
        #: When the earliest message becomes visible, in milliseconds since the epoch.
        self._due_ms: int | None = None
        self._is_due_known = False
        self._due_lock = threading.Lock()
        self._next_poll = 0.0
        self._is_stopping = False
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._held: tuple[OrchestrationItem, ...] = ()
        self.worker: ActivityWorker
        self._thread = threading.Thread(target=self._loop, name=f"duroxide-dispatch-{runtime_id[-6:]}", daemon=True)

    # Life

    def start(self, worker: ActivityWorker) -> None:
        """Begin, with *worker* to run eager activities."""
        self.worker = worker
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """
        End after the round that is under way, and after what is in the inbox; return whether it has.

        What cannot be stored within *timeout* seconds is given back.
        """
        self._stop_by = monotonic() + timeout
        self._is_stopping = True
        self._stopping.set()
        self._wake.set()
        self._thread.join(timeout + _LAST_WORDS)
        return not self._thread.is_alive()

    def take(self, finished: Finished) -> None:
        """Take the outcome of an activity. Called from any thread."""
        self._inbox.append(finished)
        if not self._wake.is_set():
            self._wake.set()

    def notice_messages(self, due_ms: int | None) -> None:
        """Take note that there are messages, now or (*due_ms*, milliseconds since the epoch) later."""
        if due_ms is None:
            self._has_messages = True
        else:
            with self._due_lock:
                if self._due_ms is not None and self._due_ms <= due_ms:
                    return
                self._due_ms = due_ms
        if not self._wake.is_set():
            self._wake.set()

    @property
    def held(self) -> tuple[OrchestrationItem, ...]:
        """The instances of the round under way, whose locks are to be renewed if it takes long."""
        return self._held

    # The loop

    def _loop(self) -> None:
        failures = 0
        while not (self._is_stopping and (not self._inbox or monotonic() >= self._stop_by)):
            try:
                self._wait()
                self._round()
                failures = 0
            except Exception:  # this loop must not die: whatever the store or a bug raises, the next round may work
                failures += 1
                pause = min(0.05 * 2 ** min(failures, 6), 3.0)
                _log.warning("a round failed, next try in %.2f s", pause, exc_info=True)
                self._has_messages = True
                if self._is_stopping:
                    threading.Event().wait(_PAUSE_AFTER_FAILURE)
                else:
                    self._stopping.wait(pause)
        self._cache.clear()
        self._returns.activities(Release(each.lock) for each in self._inbox)

    def _wait(self) -> None:
        """Wait for work: an outcome, a message, a due timer, or the slow poll."""
        while not (self._inbox or self._has_messages or self._is_stopping):
            self._wake.clear()
            if self._inbox or self._has_messages or self._is_stopping:
                return
            pause = self._pause()
            if pause <= 0 or not self._wake.wait(pause):
                # A timer is due, or it is time for the slow poll.
                self._has_messages = self._pause() <= 0

    def _pause(self) -> float:
        """Return how many seconds there is nothing to do, as far as is known."""
        if not self._takes_messages:
            return self._options.poll_interval.total_seconds()
        if not self._is_due_known:
            due_ms = self._provider.next_due_ms()
            self._is_due_known = True
            if due_ms is not None:
                with self._due_lock:
                    self._due_ms = due_ms if self._due_ms is None else min(due_ms, self._due_ms)
        pause = self._next_poll - monotonic()
        due_ms = self._due_ms
        return pause if due_ms is None else min(pause, (due_ms - self._provider.now_ms()) / 1000)

    def _round(self) -> None:
        self._returns.settle()
        items = self._fetch()
        finished = self._drain()
        self._held = tuple(items)
        turns: list[Turned] = []
        try:
            self._turn(items, finished, turns)
            if turns:
                self._commit(turns)
        except Exception as error:
            self._inbox.extend(finished)  # still locked by this runtime, so still worth something
            for turned in turns:
                self._take_back(turned)
            is_our_fault = not isinstance(error, ProviderError)
            self._returns.instances(Release(item.lock, 0, ignore_attempt=not is_our_fault) for item in items)
            raise
        finally:
            self._held = ()

    def _fetch(self) -> Sequence[OrchestrationItem]:
        if not self._has_messages or self._is_stopping:
            return ()
        self._has_messages = False
        if not self._takes_messages:
            return ()
        with self._due_lock:
            self._due_ms, self._is_due_known = None, False
        items = self._provider.fetch_orchestration_items(
            self._options.batch_size, self._lock_ms, replayable=self._replayable
        )
        self._next_poll = monotonic() + self._options.poll_interval.total_seconds()
        if len(items) == self._options.batch_size:
            self._has_messages = True
        return items

    def _drain(self) -> list[Finished]:
        finished: list[Finished] = []
        while self._inbox and len(finished) < self._options.batch_size:
            finished.append(self._inbox.popleft())
        return finished

    # Turns

    def _turn(self, items: Sequence[OrchestrationItem], finished: list[Finished], turns: list[Turned]) -> None:
        """Run a turn for every instance that has something new; send other outcomes the general way."""
        outcomes: dict[str, list[Finished]] = {}
        for each in finished:
            outcomes.setdefault(each.lock.key.instance_id, []).append(each)
        live = self._bring_up_to_date(items)
        for item in items:
            execution = live.pop(item.lock.instance_id, None)
            try:
                turned = self._turn_of(item, execution, outcomes)
            except ProviderError:
                raise
            except Exception:  # one instance that trips the engine must not hold up the others; it becomes poison
                _log.exception("the turn of instance %r failed", item.lock.instance_id)
                if execution is not None:
                    execution.close()
                self._pass_on(item, _UNREADABLE_DELAY_MS, "its turn failed")
                turned = None
            if turned is not None:
                turns.append(turned)
        general: list[Finished] = []
        for instance_id, own in outcomes.items():
            execution = self._cache.take(instance_id) if self._options.short_way_round else None
            if execution is None:
                general.extend(own)
            else:
                turns.extend(self._short_turn(execution, own, general))
        self._acknowledge(general)

    def _short_turn(self, execution: Execution, outcomes: list[Finished], general: list[Finished]) -> list[Turned]:
        """The short way round: outcomes go straight into the next turn of a live execution."""
        own, others = _split(outcomes, execution)
        general.extend(others)
        if not own:
            self._cache.keep(execution)
            return []
        try:
            return [self._advance(execution, (), own, None, None)]
        except Exception:  # as above: the general way will try it again, and count
            _log.exception("the turn of instance %r failed", execution.started.instance_id)
            execution.close()
            general.extend(own)
            return []

    def _advance(
        self,
        execution: Execution,
        deliveries: Iterable[Deliver],
        own: list[Finished],
        item: OrchestrationItem | None,
        batch: Batch | None,
    ) -> Turned:
        instance_id, execution_id = execution.started.instance_id, execution.started.execution_id
        commit, staged = execution.advance(
            (*deliveries, *(Deliver(instance_id, execution_id, each.outcome) for each in own)),
            now_ms=self._provider.now_ms(),
            lock=None if item is None else item.lock,
            consumed_messages=() if batch is None else batch.message_ids,
            finished_activities=tuple(each.lock for each in own),
            claim=self.worker.claim,
        )
        if batch is not None and batch.refusals:
            commit = evolve(commit, messages=(*commit.messages, *batch.refusals))
        _log_dropped(commit, staged)
        return Turned(commit, execution, item, own)

    def _turn_of(
        self, item: OrchestrationItem, execution: Execution | None, outcomes: dict[str, list[Finished]]
    ) -> Turned | None:
        batch = sort_messages(item)
        if batch.is_over:
            return Turned(consume(item, batch), None, item)
        if item.attempt_count > self._options.max_attempts:
            return self._poisoned(item, batch)
        if item.unreadable_reason is not None:
            self._pass_on(item, _UNREADABLE_DELAY_MS, item.unreadable_reason)
            return None
        if batch.start is not None:
            execution = self._begin(item, batch)
        if execution is None:
            return None
        own: list[Finished] = []
        if self._options.short_way_round:
            own, others = _split(outcomes.pop(item.lock.instance_id, []), execution)
            if others:
                outcomes[item.lock.instance_id] = others
        return self._advance(execution, batch.deliveries, own, item, batch)

    def _begin(self, item: OrchestrationItem, batch: Batch) -> Execution | None:
        """Begin the execution that a start message asks for, if its orchestration is registered here."""
        message = batch.start
        assert message is not None, "there is something to begin"
        resolved = self._registry.orchestrations.resolve(message.name, message.version)
        if resolved is None:
            version = "" if message.version is None else f" {message.version}"
            self._not_registered(item, f"{message.name!r}{version}")
            return None
        version, info = resolved
        started = begin(message, version, timestamp_ms=self._provider.now_ms(), duroxide_version=__version__)
        incarnation = item.incarnation or new_incarnation()
        return Execution(self._executor(info.fn, started), incarnation=incarnation, is_new=True)

    def _executor(self, fn: Callable[..., Any], started: OrchestrationStarted) -> Executor:
        def log(level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
            extra = {
                "instance_id": started.instance_id,
                "execution_id": started.execution_id,
                "orchestration_name": started.name,
                "orchestration_version": started.version,
                **(keywords.pop("extra", None) or {}),
            }
            _orchestration_log.log(level, message, *args, extra=extra, **keywords)

        return Executor(fn, started, exceptions=self._registry.exceptions, log=log, limits=self._options.limits)

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
            self._pass_on(item, _UNREADABLE_DELAY_MS, str(history))
            return None
        if known is not None:
            known.catch_up(history)
            return known
        started = history[0] if history else None
        if not isinstance(started, OrchestrationStarted):
            self._pass_on(item, _UNREADABLE_DELAY_MS, "its history does not begin with a start event")
            return None
        resolved = self._registry.orchestrations.resolve(started.name, started.version)
        if resolved is None:
            self._not_registered(item, f"{started.name!r} {started.version}")
            return None
        execution = Execution(self._executor(resolved[1].fn, started), incarnation=item.incarnation, is_new=False)
        execution.catch_up(history[1:])
        return execution

    def _poisoned(self, item: OrchestrationItem, batch: Batch) -> Turned:
        history: Sequence[Event] | None = None
        if item.execution_id:
            answer = self._provider.read_histories([HistoryRequest(item.lock.instance_id, item.execution_id)])[0]
            history = None if isinstance(answer, UnreadableHistory) else answer
        _log.error(
            "instance %r is poison: its messages were delivered %d times",
            item.lock.instance_id,
            item.attempt_count,
            extra={"action": "poison", "instance_id": item.lock.instance_id},
        )
        commit = poison(
            item,
            batch,
            history,
            max_attempts=self._options.max_attempts,
            now_ms=self._provider.now_ms(),
            duroxide_version=__version__,
            incarnation=item.incarnation or new_incarnation(),
        )
        return Turned(commit, None, item)

    def _not_registered(self, item: OrchestrationItem, what: str) -> None:
        delay_ms = self._options.unregistered_delay_ms(item.attempt_count)
        self._pass_on(item, delay_ms, f"orchestration {what} is not registered here")

    def _pass_on(self, item: OrchestrationItem, delay_ms: int, reason: str) -> None:
        """Give an instance back for others to try; the attempt counts."""
        _log.warning(
            "passing on instance %r for %d ms: %s (delivery %d of %d)",
            item.lock.instance_id,
            delay_ms,
            reason,
            item.attempt_count,
            self._options.max_attempts,
            extra={"action": "passed_on", "instance_id": item.lock.instance_id},
        )
        self._returns.instances([Release(item.lock, delay_ms)])

    # Committing

    def _commit(self, turns: list[Turned]) -> None:
        try:
            results = self._provider.commit_turns([each.commit for each in turns], lock_ms=self._activity_lock_ms)
        except ProviderError as error:
            self._not_committed(turns, error)
            return
        claimed = []
        refused: list[Turned] = []
        for turned, result in zip(turns, results, strict=True):
            if result is CommitResult.COMMITTED:
                self._settle(turned)
                if turned.commit.eager:
                    claimed.extend(_claimed(turned.commit))
            else:
                _log.debug("commit of %r refused: %s", turned.commit.instance_id, result.value)
                self._take_back(turned)
                refused.append(turned)
        if claimed:
            self.worker.run_claimed(claimed)
        if refused:
            self._put_back(refused)
            self._acknowledge([outcome for each in refused for outcome in each.finished])

    def _not_committed(self, turns: list[Turned], error: ProviderError) -> None:
        """The store failed, and the commits may or may not be in it: everything starts again from the store."""
        if not error.retryable and len(turns) > 1:
            # One of them cannot be written; the others must not suffer.
            for turned in turns:
                self._commit([turned])
            return
        _log.warning("a commit of %d turns failed and will be done again: %s", len(turns), error)
        for turned in turns:
            self._take_back(turned)
            self._inbox.extend(turned.finished)
        threading.Event().wait(_PAUSE_AFTER_FAILURE)
        # If it is in the store after all, these are locked by us, and nobody runs them.
        self._returns.activities(Release(lock, 0, ignore_attempt=True) for each in turns for lock in each.commit.eager)
        if error.retryable:
            self._put_back(turns)
        else:
            self._returns.instances(Release(each.item.lock, _UNREADABLE_DELAY_MS) for each in turns if each.item)

    def _settle(self, turned: Turned) -> None:
        """The commit is in the store: the execution is what it says, and cancelled activities are told."""
        commit, execution = turned.commit, turned.execution
        turned.is_over = True
        if commit.cancelled_activities:
            self.worker.cancel(
                ActivityKey(commit.instance_id, commit.execution_id, activity_id)
                for activity_id in commit.cancelled_activities
            )
        if execution is None:
            return
        if commit.status is ExecutionStatus.RUNNING:
            execution.confirm(commit)
            self._cache.keep(execution)
        else:
            execution.close()

    def _take_back(self, turned: Turned) -> None:
        """The commit is not in the store: what is in memory is not true any more."""
        if turned.is_over:
            return
        turned.is_over = True
        self.worker.unclaim(len(turned.commit.eager))
        if turned.execution is not None:
            turned.execution.close()

    def _put_back(self, turns: Iterable[Turned]) -> None:
        """Give instances back at once, without counting the attempt: nothing was wrong with their messages."""
        releases = [Release(each.item.lock, 0, ignore_attempt=True) for each in turns if each.item is not None]
        if releases:
            self._returns.instances(releases)
            self._has_messages = True

    def _acknowledge(self, outcomes: list[Finished]) -> None:
        """The general way: the outcome becomes a message, for whoever takes the instance next."""
        if not outcomes:
            return
        try:
            held = self._provider.ack_activities([ActivityAck(each.lock, each.outcome) for each in outcomes])
        except ProviderError as error:
            _log.warning("storing %d outcomes failed and will be done again: %s", len(outcomes), error)
            for each in outcomes:
                self._cache.evict(each.lock.key.instance_id)
            self._inbox.extend(outcomes)
            threading.Event().wait(_PAUSE_AFTER_FAILURE)
            return
        for each, was_held in zip(outcomes, held, strict=True):
            if not was_held:
                _log.info(
                    "the result of activity %d of %r is not wanted any more, and dropped",
                    each.lock.key.activity_id,
                    each.lock.key.instance_id,
                    extra={"action": "result_dropped", "instance_id": each.lock.key.instance_id},
                )


def _split(outcomes: list[Finished], execution: Execution) -> tuple[list[Finished], list[Finished]]:
    """Return the outcomes that are for *execution*, and those that are for another one of its instance."""
    execution_id = execution.started.execution_id
    own = [each for each in outcomes if each.lock.key.execution_id == execution_id]
    others = [each for each in outcomes if each.lock.key.execution_id != execution_id]
    return own, others


def _claimed(commit: TurnCommit) -> list[tuple[Any, Any]]:
    """Return the eager activities of *commit* with their locks."""
    locks = {lock.key: lock for lock in commit.eager}
    return [(work, locks[work.key]) for work in commit.activities if work.key in locks]


def _log_dropped(commit: TurnCommit, staged: Staged) -> None:
    for warning in staged.warnings:
        _log.warning("instance %r: %s", commit.instance_id, warning, extra={"instance_id": commit.instance_id})
    for reason in staged.dropped:
        _log.debug("instance %r: dropped %s", commit.instance_id, reason)
