"""Scenarios that ask what it costs when nothing happens: idle runtimes, and the memory of sleeping instances."""

from __future__ import annotations

import gc
import tracemalloc

from .._clock import new_incarnation
from .._core import events as e
from .._core.commit import NewExecution, Outgoing, TurnCommit
from .._core.execution import begin
from .._core.messages import Deliver, StartOrchestration
from .._runtime.runtime import Runtime
from .._version import __version__
from ..providers.contract import Provider
from ..providers.sql import SqlProvider
from . import programs
from .counting import statement_counting_engine
from .measuring import Figures, Stopwatch, cpu_seconds
from .scenario import PATIENCE, Bench, pause, start_many


_DAY_MS = 86_400_000
_BATCH = 1000


def idle_cost(bench: Bench) -> Figures:
    """Statements and CPU seconds per minute of a runtime whose instances all sleep."""
    sleepers, seconds = bench.size("sleepers"), bench.size("milliseconds") / 1000
    engine, statements = statement_counting_engine(bench.place)
    with SqlProvider(engine, schema=bench.place.schema, synchronous=bench.place.synchronous) as provider:
        watch = Stopwatch()
        for first in range(0, sleepers, _BATCH):
            insert_sleepers(provider, range(first, min(first + _BATCH, sleepers)))
        inserting = watch.seconds()
        with Runtime(provider, programs.registry, bench.runtime_options()):
            pause(bench.size("settle_ms") / 1000)
            before, cpu_before, watch = statements.count, cpu_seconds(), Stopwatch()
            pause(seconds)
            minutes = watch.seconds() / 60
            asked, used = statements.count - before, cpu_seconds() - cpu_before
    engine.dispose()
    return {
        "statements_per_min": asked / minutes,
        "cpu_s_per_min": used / minutes,
        "inserted_per_s": sleepers / inserting,
    }


def insert_sleepers(provider: Provider, numbers: range) -> None:
    """Store instances of ``sleep_until`` that are to sleep for a day, as their first turns would have."""
    now_ms = provider.now_ms()
    commits = []
    for number in numbers:
        instance_id, due_ms = f"sleeper-{number}", now_ms + _DAY_MS + number
        message = StartOrchestration(instance_id, "sleep_until", str(due_ms))
        started = begin(message, "1.0.0", timestamp_ms=now_ms, duroxide_version=__version__)
        timer = Deliver(instance_id, 1, e.TimerFired(0, 0, 2, due_ms))
        commits.append(
            TurnCommit(
                instance_id=instance_id,
                execution_id=1,
                incarnation=new_incarnation(),
                last_event_id=0,
                events=(started, e.TimerCreated(2, now_ms, due_ms)),
                started=NewExecution(started.name, started.version, None, __version__),
                messages=(Outgoing(timer, due_ms),),
            )
        )
    provider.commit_turns(commits, lock_ms=0)


def memory(bench: Bench) -> Figures:
    """Memory of an instance that waits for an event: kept in the cache, and evicted from it."""
    count = bench.size("instances")
    return {
        "cached_kb": _memory_of(bench, count, cache_size=count + 1),
        "evicted_kb": _memory_of(bench, count, cache_size=0),
    }


def _memory_of(bench: Bench, count: int, *, cache_size: int) -> float:
    """Return how many kilobytes each of *count* more waiting instances takes in this process."""
    with bench.runtime(cache_size=cache_size) as runtime:
        _start_waiting(runtime, f"first-{cache_size}", max(count // 10, 1))
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            _start_waiting(runtime, f"more-{cache_size}", count)
            gc.collect()
            after = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
    return (after - before) / count / 1000


def _start_waiting(runtime: Runtime, name: str, count: int) -> None:
    ids = [f"{name}-{number}" for number in range(count)]
    start_many(runtime.provider, ids, "await_signal", None)
    for instance_id in ids:
        runtime.client.wait_for_status_change(instance_id, 0, PATIENCE)
