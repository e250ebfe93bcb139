"""
The worker side: fetches activities, runs them, and hands their outcome to the dispatcher.

Rule 1: the outcome of an activity is worth something only while its row is locked by this runtime.
Whoever writes it down proves that (`TurnCommit.finished_activities`, `Provider.ack_activities`).

Rule 2: nothing waits here for a slot while another worker is idle. What this runtime takes in advance is
bounded by its free slots, and by how much its threads get through while more is fetched (`Pace`).
"""

from __future__ import annotations

import logging

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import BrokenExecutor, Executor
from contextvars import Context
from itertools import count
from types import CoroutineType
from typing import Any, Protocol

from .._clock import monotonic, new_token
from .._core.commit import ActivityLock
from .._core.events import ActivityFailed
from .._core.functions import FunctionInfo
from .._core.messages import ActivityExecute, ActivityKey
from .._nouns import noun
from ..client import Client
from ..errors import ErrorCategory, ErrorDetails, ErrorKind, ProviderError
from ..providers.contract import ActivityItem, Provider, Release, SessionClaim
from .activity_context import ActivityContext
from .borrowed import Borrowed
from .event_loop import LoopThread
from .expiries import Expiries
from .fetching import Fetcher, Next
from .invoking import ActivityOutcome, failed, finish, invoke, invoke_async
from .metrics import Metrics
from .options import RuntimeOptions, milliseconds
from .pace import MOST_AHEAD
from .slots import RunningActivity, Slots
from .threads import WorkerThreads


_log = logging.getLogger("duroxide.runtime")

#: How long to leave an activity alone that the user's executor took and did not run to its end, in milliseconds.
_EXECUTOR_DELAY_MS = 1000


@noun
class Finished:
    """The outcome of one activity, and the lock that it is worth something under."""

    lock: ActivityLock
    outcome: ActivityOutcome


class Outcomes(Protocol):
    """Where outcomes go, and become turns. Thread-safe."""

    def take(self, finished: Finished, *, quietly: bool = False) -> None:
        """Take an outcome, and wake the dispatcher; not if *quietly*, for who then calls `lead`."""
        ...

    def lead(self) -> None:
        """Run the turns that are to be run, in the thread that calls."""
        ...


class ActivityWorker:
    """
    Runs activities on threads, an event loop, or an executor of the user's.

    Args:
        find: Name → function, or None if it is not registered here.

        outcomes: Takes what becomes of each activity, in any thread.
    """

    def __init__(
        self,
        provider: Provider,
        options: RuntimeOptions,
        *,
        worker_id: str,
        find: Callable[[str], FunctionInfo | None],
        outcomes: Outcomes,
        client: Client,
        metrics: Metrics,
    ) -> None:
        self._provider = provider
        self._metrics = metrics
        self._options = options
        self._worker_id = worker_id
        self._find = find
        self._outcomes = outcomes
        self._client = client
        self._lock_ms = milliseconds(options.worker_lock_timeout)
        # Unguessable by its beginning, unique by its end: a random number for each lock costs a system call.
        self._tokens = map(f"{new_token()}-{{}}".format, count())
        self._slots = Slots(options.worker_concurrency)
        #: When to call `end_expired`.
        self.expiries = Expiries(milliseconds(options.poll_interval))
        #: Whether this runtime may own sessions, which are then to be renewed.
        self.has_sessions = False
        self._threads = WorkerThreads(f"duroxide-activity-{worker_id[-6:]}", options.worker_concurrency, self._run)
        self._loop = LoopThread()
        self._borrowed = self._borrow(options.executor)
        poll = options.poll_interval.total_seconds()
        self._fetcher = Fetcher(f"duroxide-fetch-{worker_id[-6:]}", provider, poll, self._fetch)
        self._rest = self._fetcher.rest

    def _borrow(self, executor: Executor | Callable[[], Executor] | None) -> Borrowed | None:
        if executor is None:
            return None
        return Borrowed(
            executor,
            worker_id=self._worker_id,
            limits=self._options.limits,
            context=self._context,
            ended=self._end,
            not_run=self._give_back,
        )

    # Life

    def start(self) -> None:
        """Begin to fetch."""
        if self._options.worker_concurrency:
            self._fetcher.start()

    def notice(self) -> None:
        """Take note that there may be activities to fetch."""
        self._fetcher.bell.ring()

    @property
    def is_current(self) -> bool:
        """Whether it is an activity that asks."""
        is_borrowed = self._borrowed is not None and self._borrowed.is_current
        return is_borrowed or self._threads.has_current or self._loop.is_current

    def stop_taking(self, timeout: float) -> list[ActivityLock]:
        """
        Fetch and claim no more; return what is held but has not begun, to be given back.

        Waits up to *timeout* seconds for a fetch that is under way.
        """
        self._slots.close()
        self._fetcher.stop(timeout)
        self._threads.take_back()
        self._recall(self._slots.held)
        waiting = self.withdraw()
        self._threads.stop()
        return waiting

    def withdraw(self) -> list[ActivityLock]:
        """Take away what is held but has not begun, and return the locks."""
        return self._slots.withdraw()

    def wait_idle(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds until nothing runs; return whether nothing does."""
        return self._slots.wait_idle(timeout)

    def close(self, timeout: float) -> None:
        """End the threads, waiting up to *timeout* seconds for them."""
        self._threads.join(timeout)
        self._loop.close(timeout)
        if self._borrowed is not None:
            self._borrowed.close()

    # Claiming: activities that a turn schedules, for this runtime to run at once

    def claim(self, work: ActivityExecute) -> str | None:
        """Reserve a slot for *work* and return the token to lock it with, or None if it is for anybody."""
        if not self._options.eager_dispatch or work.session_id is not None or self._slots.is_closed:
            return None
        if self._rest.is_on or not self._options.worker_tag_filter.accepts(work.tag) or self._find(work.name) is None:
            return None
        return next(self._tokens) if self._slots.promise() else None

    def unclaim(self, how_many: int) -> None:
        """Give promised slots back: their commit was refused."""
        if self._slots.release(how_many):
            self.notice()

    def run_claimed(self, claimed: Sequence[tuple[ActivityExecute, ActivityLock]]) -> None:
        """Run what was claimed, now that it is committed."""
        self._slots.release(len(claimed))
        self._begin(claimed)

    # Fetching

    def _fetch(self) -> Next:
        """Fetch as many activities as there are free slots."""
        if self._options.worker_tag_filter.accepts_nothing:
            return Next.WAIT
        free, sessions = self._slots.room()
        if not free:
            return Next.WAIT_FOR_ROOM
        begun = monotonic()
        items = self._provider.fetch_activities(
            free,
            self._lock_ms,
            tags=self._options.worker_tag_filter,
            session=_session_claim(self._options, self._worker_id, sessions),
        )
        took = monotonic() - begun
        self._metrics.fetched(activities=len(items))
        self.has_sessions = self.has_sessions or any(item.work.session_id is not None for item in items)
        self._take(items)
        return self._slots.fetched(len(items), free, took)

    def end_expired(self) -> None:
        """Let activities fail that no worker has begun in their time to live."""
        items = self._provider.fetch_expired_activities(MOST_AHEAD, self._lock_ms)
        for item in items:
            self._outcomes.take(Finished(item.lock, _expired(item)))
        for item in items:
            _log.warning(
                "activity %r of %r was not begun in time",
                item.work.name,
                item.work.key.instance_id,
                extra={"action": "activity_expired", "instance_id": item.work.key.instance_id},
            )

    def _take(self, items: Sequence[ActivityItem]) -> None:
        """Run fetched activities; give back what cannot be run here, and end what is poison."""
        ready: list[tuple[ActivityExecute, ActivityLock]] = []
        poison: list[ActivityItem] = []
        unknown: list[ActivityItem] = []
        for item in items:
            if item.attempt_count > self._options.max_attempts:
                poison.append(item)
            elif self._find(item.work.name) is None:
                unknown.append(item)
            else:
                ready.append((item.work, item.lock))
        self._begin(ready)
        if poison or unknown:
            self._refuse(poison, unknown)

    def _refuse(self, poison: Sequence[ActivityItem], unknown: Sequence[ActivityItem]) -> None:
        """Do it before saying so: nothing is to stay locked because a logging handler raises."""
        delays = [self._options.unregistered_delay_ms(item.attempt_count) for item in unknown]
        for item in poison:
            is_known = self._find(item.work.name) is not None
            outcome = _poisoned(item, self._options.max_attempts, is_registered=is_known)
            self._outcomes.take(Finished(item.lock, outcome))
        if unknown:
            for delay_ms in delays:
                self._fetcher.lateness.pass_on(self._provider.now_ms(), delay_ms, self._options.passing_on_seconds)
            self._provider.release_activities(
                [Release(item.lock, delay_ms) for item, delay_ms in zip(unknown, delays, strict=True)]
            )
        for item in poison:
            _say_that_it_is_poison(item)
        for item, delay_ms in zip(unknown, delays, strict=True):
            _log.warning(
                "activity %r is not registered here; passing it on for %d ms (delivery %d of %d)",
                item.work.name,
                delay_ms,
                item.attempt_count,
                self._options.max_attempts,
                extra={"action": "unregistered_activity", "instance_id": item.work.key.instance_id},
            )

    # Running

    def _begin(self, ready: Sequence[tuple[ActivityExecute, ActivityLock]]) -> None:
        now = monotonic()
        begun = [RunningActivity(self._registered(work), work, lock, now) for work, lock in ready]
        if not self._slots.fill(begun):
            return
        try:
            self._hand_to_runners(begun)
        except BaseException as error:  # noqa: BLE001  # whatever it is, nobody else would give back what is held
            self._could_not_begin(begun, error)
        else:
            self._rest.not_needed()

    def _hand_to_runners(self, begun: Sequence[RunningActivity]) -> None:
        """Hand *begun* to whoever runs them. What has not begun if this raises is to be taken back."""
        if self._borrowed is not None:
            for running in begun:
                if self._slots.begin(running):
                    self._submit(self._borrowed, running)
            return
        for running in begun:
            if running.info.is_async:
                self._loop.run(self._run_async(running))
        self._threads.post([running for running in begun if not running.info.is_async], blocks=self._slots.blocks)

    def _could_not_begin(self, activities: Sequence[RunningActivity], error: BaseException) -> None:
        """Give back what has not begun, as not tried, and take nothing for a while: it would fare no better."""
        seconds = self._rest.begin()
        locks = self._slots.take_back(activities)
        self._release([Release(lock, 0, ignore_attempt=True) for lock in locks])
        self.notice()  # who fetches is to wait for the end of the rest
        if seconds is not None:
            _say_that_nothing_begins(error, seconds, is_borrowed=self._borrowed is not None)

    def _registered(self, work: ActivityExecute) -> FunctionInfo:
        info = self._find(work.name)
        assert info is not None, "only registered activities are claimed or kept"
        return info

    def _context(self, running: RunningActivity) -> ActivityContext:
        return ActivityContext(
            running.work, worker_id=self._worker_id, cancellation=running.cancellation, client=self._client
        )

    def _run(self, running: RunningActivity) -> None:
        if self._slots.begin(running):
            running.is_on_thread = True
            context = self._context(running)
            # What an activity sets for its thread (the precision of decimals, for example) is not for the next one.
            outcome = Context().run(invoke, running.info, running.work, context, self._options.limits)
            leads = False
            if isinstance(outcome, CoroutineType):
                self._slots.leave_thread(running)
                self._go_on(running, outcome)
            else:
                leads = self._end(running, outcome, may_lead=True)
            if running.is_replaced:
                self._threads.take_one_back()
            if leads:
                self._threads.come_back_after(self._outcomes.lead)

    def _go_on(self, running: RunningActivity, coroutine: CoroutineType[Any, Any, Any]) -> None:
        """Let the event loop finish an activity whose function is a plain one, and has returned a coroutine."""

        async def finish_it() -> None:
            self._end(running, await finish(running.info, running.work, coroutine, self._options.limits))

        try:
            self._loop.run(finish_it())
        except BaseException as error:  # noqa: BLE001  # the system gives no more threads; it has begun, so it has failed
            coroutine.close()
            self._end(running, failed(running.work, error))

    async def _run_async(self, running: RunningActivity) -> None:
        if self._slots.begin(running):
            context = self._context(running)
            self._end(running, await invoke_async(running.info, running.work, context, self._options.limits))

    def _submit(self, borrowed: Borrowed, running: RunningActivity) -> None:
        try:
            borrowed.submit(running)
        except BaseException:
            running.started_at = None
            raise

    def _give_back(self, running: RunningActivity, error: BaseException) -> None:
        """The executor did not run it to its end: others may. It counts if it may have been what broke the executor."""
        may_fetch = self._slots.drop(running)
        is_innocent = not isinstance(error, BrokenExecutor)
        self._release([Release(running.lock, _EXECUTOR_DELAY_MS, ignore_attempt=is_innocent)])
        if may_fetch:
            self.notice()
        _log.warning(
            "the executor did not run activity %r of %r: %r",
            running.work.name,
            running.work.key.instance_id,
            error,
            extra={"action": "executor_failed", "instance_id": running.work.key.instance_id},
        )

    def _release(self, releases: list[Release]) -> None:
        if not releases:
            return
        try:
            self._provider.release_activities(releases)
        except ProviderError as failure:
            _log.warning("%d locks could not be given back, and will expire: %s", len(releases), failure)

    def _end(self, running: RunningActivity, outcome: ActivityOutcome, *, may_lead: bool = False) -> bool:
        """Hand *outcome* over; return whether the thread is to lead, as it may and nothing else is going on here."""
        finished = Finished(running.lock, outcome)
        is_last, may_fetch = self._slots.end(
            running, lambda is_last: self._outcomes.take(finished, quietly=may_lead and is_last)
        )
        if may_fetch or running.work.session_id is not None:  # there may be room for another session
            self.notice()
        return may_lead and is_last

    # Leases and cancellation

    def running(self) -> list[RunningActivity]:
        """Return what this runtime holds at the moment."""
        return self._slots.held

    def cancel(self, keys: Iterable[ActivityKey]) -> None:
        """Let nobody want the results of the activities *keys* any more, as `tell`."""
        self.tell(self._slots.of(keys))

    def tell(self, activities: Iterable[RunningActivity]) -> None:
        """Tell *activities* that nobody wants their results any more; what has not begun never will."""
        told = self._slots.tell(activities)
        self._recall(told)
        if self._slots.take_back(told):
            self.notice()

    def _recall(self, activities: Iterable[RunningActivity]) -> None:
        """Take back what waits in an executor of the user's."""
        if self._borrowed is not None:
            for each in activities:
                self._borrowed.recall(each)

    def abandon(self, running: RunningActivity) -> None:
        """Give the slot of an activity that does not end to another one."""
        if not self._slots.abandon(running):
            return
        if running.is_replaced:
            self._threads.replace_one()
        self.notice()
        _log.warning(
            "activity %r of %r goes on although it was cancelled %.0f s ago; its slot is another's now, and what it runs on"
            " is lost until it ends. Let it look at ctx.is_cancelled, or wait with ctx.wait_cancelled().",
            running.work.name,
            running.work.key.instance_id,
            monotonic() - (running.cancelled_at or 0),
            extra={"action": "activity_abandoned", "instance_id": running.work.key.instance_id},
        )


def _say_that_it_is_poison(item: ActivityItem) -> None:
    _log.error(
        "activity %r of %r is poison: it was delivered %d times",
        item.work.name,
        item.work.key.instance_id,
        item.attempt_count,
        extra={"action": "poison", "instance_id": item.work.key.instance_id},
    )


def _say_that_nothing_begins(error: BaseException, seconds: float, *, is_borrowed: bool) -> None:
    if is_borrowed:
        _log.warning(
            "the executor takes no activities: %r. What it did not take is given back, and this runtime takes no"
            " activities for %.0f s. An executor that is broken or shut down stays so: start a runtime with a new one, or"
            " with a function that makes one, which is called again.",
            error,
            seconds,
            extra={"action": "executor_failed"},
        )
    else:
        _log.warning(
            "activities could not begin in this process: %r. They are given back, and this runtime takes no activities"
            " for %.0f s. See what the process lacks, threads or memory, or start it again.",
            error,
            seconds,
            extra={"action": "begin_failed"},
        )


def _session_claim(options: RuntimeOptions, worker_id: str, in_flight: frozenset[str]) -> SessionClaim | None:
    """Return what sessions this runtime has room for."""
    most = options.max_sessions_per_runtime
    if most == 0:
        return None
    lease_ms = milliseconds(options.session_lock_timeout)
    return SessionClaim(worker_id, lease_ms, max(most - len(in_flight), 0), in_flight)


def _expired(item: ActivityItem) -> ActivityOutcome:
    work = item.work
    where = "" if work.tag is None else f" with tag {work.tag!r}"
    details = ErrorDetails(
        category=ErrorCategory.APPLICATION,
        kind=ErrorKind.TIMED_OUT,
        message=(
            f"activity {work.name!r}{where} was not begun within its time to live. Check that a worker runs that has it"
            " registered, serves its tag, and has free slots."
        ),
        type="TimeoutError",
        attempt=work.attempt,
    )
    return ActivityFailed(0, 0, work.key.activity_id, details)


def _poisoned(item: ActivityItem, max_attempts: int, *, is_registered: bool) -> ActivityOutcome:
    kind = ErrorKind.POISONED_ACTIVITY
    reason = f"activity {item.work.name!r} is not registered here"
    return ActivityFailed(
        0,
        0,
        item.work.key.activity_id,
        ErrorDetails(
            category=ErrorCategory.POISON,
            kind=kind,
            message=f"input {item.work.input}",
            cause=None if is_registered else ErrorDetails.because(reason, kind=kind),
            subject=f"activity {item.work.name}#{item.work.key.activity_id} of {item.work.key.instance_id}",
            attempt_count=item.attempt_count,
            max_attempts=max_attempts,
        ),
    )
