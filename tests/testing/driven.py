"""
A real runtime that does what a simulation would: its clock, its activities and what it is sent are driven by hand.

It has its threads, its locks, its wake-ups and its short ways. What is taken away is chance: an activity runs when
nothing else is left to do, and time passes when no activity is left to run, as in a simulation without faults.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Self

from attrs import define, frozen

from duroxide import Client, Registry, Runtime, RuntimeOptions
from duroxide._core.messages import ActivityExecute, ActivityKey
from duroxide.providers.contract import TagFilter
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.statements import Query
from duroxide.providers.sql.transaction import Transaction
from duroxide.providers.wrapping import WrappedProvider
from duroxide.testing.simulation.clock import BEGINNING_MS, VirtualClock


#: Seconds after which the runtime is stuck.
PATIENCE = 30.0

_MESSAGES = Query("SELECT COUNT(*) FROM {orchestrator_queue} WHERE visible_at_ms <= :now_ms")
_ACTIVITIES = Query("SELECT instance_id, execution_id, activity_id FROM {worker_queue}")
_IDS = Query("SELECT instance_id FROM {instances} ORDER BY instance_id")


class Watched(WrappedProvider):
    """Tells when something may have changed."""

    def __init__(self, provider: SqlProvider, changed: threading.Condition) -> None:
        self._changed = changed
        super().__init__(provider)

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        try:
            return operation(*args, **keywords)
        finally:
            with self._changed:
                self._changed.notify_all()


@define(eq=False)
class Held:
    """An activity that is to be run."""

    work: ActivityExecute
    context: Any
    run: Callable[[], Any]
    future: Future[Any]
    ends_at_ms: int

    @property
    def end_ms(self) -> int:
        """When it is over; one that was cancelled may notice at once."""
        return 0 if getattr(self.context, "is_cancelled", False) else self.ends_at_ms

    @property
    def rank(self) -> tuple[int, bool]:
        """What is first has less. Activities of a session are fetched, by a thread that may be quicker than the other."""
        return self.end_ms, self.work.session_id is not None


class ByHand(ThreadPoolExecutor):
    """Runs nothing by itself."""

    def __init__(self, clock: VirtualClock, takes_ms: Mapping[str, int], changed: threading.Condition) -> None:
        super().__init__(1)
        self.held: list[Held] = []
        self._clock = clock
        self._takes_ms = takes_ms
        self._changed = changed

    def submit(self, fn: Callable[..., Any], /, *args: Any, **keywords: Any) -> Future[Any]:
        _, work, context, *_ = args
        ends_at_ms = self._clock.ms + self._takes_ms.get(work.name, 0)
        with self._changed:
            self.held.append(Held(work, context, partial(fn, *args, **keywords), Future(), ends_at_ms))
            self._changed.notify_all()
            return self.held[-1].future

    def run(self, held: Held) -> None:
        """Run one of those that are held, in this thread, unless it was given up before it began."""
        self.held.remove(held)
        if held.future.set_running_or_notify_cancel():
            held.future.set_result(held.run())


@frozen
class Sent:
    """Something that a client does at a virtual time."""

    at_ms: int
    send: Callable[[Client], object]


class DrivenRuntime:
    """A runtime with *options* on a database of its own, in a world like that of `duroxide.testing.Simulator`."""

    def __init__(self, registry: Registry, *, takes_ms: Mapping[str, int], **options: Any) -> None:
        self._clock = VirtualClock()
        self._changed = threading.Condition()
        self._provider = SqlProvider.in_memory(clock=self._clock)
        self._executor = ByHand(self._clock, takes_ms, self._changed)
        driven = RuntimeOptions(executor=self._executor, worker_tag_filter=TagFilter(tags=None), **options)
        self._runtime = Runtime(Watched(self._provider, self._changed), registry, driven)

    def __enter__(self) -> Self:
        self._provider.initialize()
        self._runtime.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._runtime.shutdown(PATIENCE if exc[0] is None else 0)
        self._provider.close()
        self._executor.shutdown()

    @property
    def client(self) -> Client:
        """A client that shares the runtime's provider."""
        return self._runtime.client

    @property
    def instances(self) -> list[str]:
        """The ids of all instances."""
        return [row[0] for row in self._provider._database.read("ids", lambda found: found.query(_IDS))]

    def run(self, sent: list[Sent]) -> None:
        """Send what is to be *sent* when its time has come, and go on until nothing is left to do."""
        waiting = sorted(sent, key=lambda each: each.at_ms)
        while True:
            if waiting and BEGINNING_MS + waiting[0].at_ms <= self._clock.ms:
                waiting.pop(0).send(self.client)
                continue
            with self._changed:
                assert self._changed.wait_for(self._is_quiet, PATIENCE), "the runtime does not get on"
            held = min(self._executor.held, key=lambda each: each.rank, default=None)
            if held is not None and held.end_ms <= self._clock.ms:
                self._executor.run(held)
                continue
            times = [self._provider.next_due_ms(self._clock.ms), *(each.end_ms for each in self._executor.held)]
            times += [BEGINNING_MS + each.at_ms for each in waiting]
            due = [each for each in times if each is not None and each > self._clock.ms]
            if not due:
                return
            self._clock.ms = min(due)
            self._provider.wakeups.publish_everything()

    def _is_quiet(self) -> bool:
        """Whether only an activity that is run, something that is sent, or time can bring anything on."""

        def look(transaction: Transaction) -> tuple[int, set[ActivityKey]]:
            ((messages,),) = transaction.query(_MESSAGES, now_ms=self._clock.ms)
            return messages, {ActivityKey(*row) for row in transaction.query(_ACTIVITIES)}

        messages, activities = self._provider._database.read("look", look)
        return not messages and activities <= {each.work.key for each in self._executor.held}
