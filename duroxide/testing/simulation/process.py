"""
One process of a simulation: the dispatcher and the activity worker of a runtime, without their threads.

They are the real ones. Here they only do what they are told to, one thing at a time: run a round, fetch, run one
activity. A process that dies is simply not used any more; its locks expire, as they do in life.
"""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from attrs import evolve

from ..._core.commit import ActivityLock
from ..._core.functions import FunctionInfo
from ..._core.messages import ActivityExecute
from ..._core.registry import Registry
from ..._runtime.activities import ActivityWorker
from ..._runtime.activity_context import Cancellation
from ..._runtime.dispatcher import Dispatcher
from ..._runtime.fetching import Next
from ..._runtime.invoking import ActivityOutcome, failed, invoke_whole
from ..._runtime.metrics import Metrics
from ..._runtime.options import RuntimeOptions, milliseconds
from ..._runtime.slots import RunningActivity
from ...client import Client
from ...errors import InvalidInput
from ...providers.contract import Provider
from .store import SimulatedStore


#: An activity that has waited so often for its cancellation would do so for ever.
_MOST_WAITS = 10_000

#: More activities than any simulation runs at the same time: how fast this machine is must not matter.
_ENOUGH = 1_000_000


class Stepped(Dispatcher):
    """A dispatcher that runs a round when it is told to."""

    def __init__(
        self, provider: Provider, registry: Registry, options: RuntimeOptions, *, runtime_id: str, metrics: Metrics
    ) -> None:
        super().__init__(provider, registry, options, runtime_id=runtime_id, metrics=metrics)
        self._commits.pause = 0.0  # nobody else is there who could mend the store meanwhile

    def round(self, *, fetch: bool) -> None:
        """Run a round with what is in the inbox and, with *fetch*, what is in the queue."""
        self._has_messages = fetch
        self._round()

    def forget(self) -> None:
        """Empty the cache: what is needed again is replayed."""
        self._cache.clear()

    @property
    def cached(self) -> list[str]:
        """The instances whose live executions are in memory."""
        return list(self._cache)

    @property
    def inbox(self) -> list[str]:
        """The instances of the outcomes that wait for a round, each once."""
        return list(dict.fromkeys(each.lock.key.instance_id for each in self._inbox))


class Held(ActivityWorker):
    """A worker that holds what it fetches, and runs each when it is told to."""

    def fetch(self) -> None:
        """Take all there is."""
        while self._fetch() is Next.FETCH:
            pass

    def run(self, running: RunningActivity, error: Exception | None = None) -> ActivityOutcome:
        """Run the activity to its end, and hand its outcome to the dispatcher. It may fail with *error* instead."""
        info = self._registered(running.work)  # a fake may have been put in its place meanwhile
        self._slots.begin(running)
        if error is not None:
            outcome: ActivityOutcome = failed(running.work, error)
        else:
            call = partial(invoke_whole, info, running.work, self._context(running), self._options.limits)
            outcome = _where_no_loop_runs(call)
        self._end(running, outcome)
        return outcome

    def _begin(self, ready: Sequence[tuple[ActivityExecute, ActivityLock]]) -> None:
        # All of them run, as far as anybody can tell, until `run` says what comes of them.
        self._slots.fill(
            [
                RunningActivity(self._registered(work), work, lock, 0.0, _Unwaiting(), started_at=0.0)
                for work, lock in ready
            ]
        )


def _where_no_loop_runs(call: Callable[[], ActivityOutcome]) -> ActivityOutcome:
    """Return what *call* does; in another thread if this one has an event loop, as that of a notebook or of an async test."""
    if not _has_loop():
        return call()
    with ThreadPoolExecutor(1) as another:
        return another.submit(call).result()


def _has_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Unwaiting(Cancellation):
    """A cancellation that nobody can wait for: everything happens in one thread, and nothing else meanwhile."""

    _waits = 0

    def wait(self, timeout: float | None) -> bool:
        self._waits += 1
        if not self.is_set and (timeout is None or self._waits > _MOST_WAITS):
            how = "without end" if timeout is None else f"for the {self._waits}th time"
            msg = (
                f"an activity waits {how} for its cancellation (ctx.wait_cancelled()), and nothing happens in a"
                " simulation while an activity runs: give it a fake that takes= its time, or an end of its own."
            )
            raise InvalidInput(msg)
        return self.is_set


class Process:
    """
    One process.

    Args:
        number: From 1; names it in the trace.
    """

    def __init__(
        self,
        number: int,
        store: SimulatedStore,
        registry: Registry,
        options: RuntimeOptions,
        *,
        find: Callable[[str], FunctionInfo | None],
        client: Client,
    ) -> None:
        self.number = number
        self._store = store
        self._options = options = evolve(
            options, orchestration_concurrency=1, worker_concurrency=_ENOUGH, worker_node_id=f"process-{number}"
        )
        metrics = Metrics()
        self.dispatcher = Stepped(store, registry, options, runtime_id=f"process-{number}", metrics=metrics)
        self.worker = Held(
            store,
            options,
            worker_id=f"process-{number}",
            find=find,
            outcomes=self.dispatcher,
            client=client,
            metrics=metrics,
        )
        self.dispatcher.worker = self.worker

    @property
    def held(self) -> list[RunningActivity]:
        """The activities that this process runs, in the order in which it took them."""
        return self.worker.running()

    @property
    def is_busy(self) -> bool:
        """Whether anything but a cache would be lost if this process died."""
        return bool(self.held or self.dispatcher.inbox)

    def keep_alive(self, ms: int) -> None:
        """Renew all locks so that they outlast *ms* milliseconds; activities whose lock is gone are told."""
        running = [each for each in self.held if each.cancelled_at is None]
        if running:
            lock_ms = ms + milliseconds(self._options.worker_lock_timeout)
            kept = self._store.renew_activity_locks([each.lock for each in running], lock_ms)
            self.worker.lose(each for each in running if each.lock not in kept)
        if self.worker.has_sessions:
            lease_ms = ms + milliseconds(self._options.session_lock_timeout)
            idle_ms = milliseconds(self._options.session_idle_timeout)
            self._store.renew_sessions(f"process-{self.number}", lease_ms, idle_ms)
