"""
The scenarios of the comparison, and what an engine must be able to do to run them. Engine-neutral, standard library only.

A driver (`drive_*.py`) runs in the virtual environment of its engine: it makes an `Engine` and calls `main`.

usage of a driver: drive_X.py SCENARIO URL SIZES SETTINGS   (the last two as JSON; prints the figures as JSON)
"""

from __future__ import annotations

import json
import math
import sys
import threading
import time

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol


try:
    import resource
except ImportError:  # Windows has none
    resource = None  # type: ignore[assignment]

WORK_SECONDS = 0.010

#: ``ru_maxrss`` counts kilobytes, but on macOS bytes.
_RSS_PER_MB = 1_000_000 if sys.platform == "darwin" else 1000


class Engine(Protocol):
    """
    One durable-execution engine, running.

    Programs: ``nothing`` ends at once; ``chain`` runs *argument* sequential activities; ``fan_out`` runs
    *argument* activities of 10 ms at the same time; ``await_signal`` waits for one event.
    """

    def start(self, instance_id: str, program: str, argument: int) -> None:
        """Start an instance of *program*."""

    def start_all(self, ids: Sequence[str], program: str, argument: int) -> None:
        """Start instances the quickest way that the engine has for many: a bulk call, or several threads."""

    def wait(self, instance_id: str) -> None:
        """Return when the instance has completed; raise if it failed."""

    def until_waiting(self, instance_id: str) -> None:
        """Return when an instance of ``await_signal`` waits, durably."""

    def signal(self, instance_id: str) -> None:
        """Raise the event that the instance waits for."""

    def close(self) -> None:
        """Stop."""


def many(engine: Engine, program: str, argument: int, count: int, *, one_by_one: bool) -> dict[str, float]:
    """Start instances, then wait for each."""
    ids = [f"{program}-{number}" for number in range(count)]
    begun = time.perf_counter()
    if one_by_one:
        for instance_id in ids:
            engine.start(instance_id, program, argument)
    else:
        engine.start_all(ids, program, argument)
    started = time.perf_counter() - begun
    for instance_id in ids:
        engine.wait(instance_id)
    seconds = time.perf_counter() - begun
    return {"per_s": count / seconds, "activities_per_s": count * argument / seconds, "starts_per_s": count / started}


def no_activities(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """Orchestrations that end at once, started the best way."""
    return many(engine, "nothing", 0, sizes["orchestrations"], one_by_one=False)


def no_activities_one_by_one(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """Orchestrations that end at once, started one after the other from one thread."""
    return many(engine, "nothing", 0, sizes["orchestrations"], one_by_one=True)


def sequential(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """Orchestrations of some sequential activities, all in flight, started the best way."""
    return many(engine, "chain", sizes["activities"], sizes["orchestrations"], one_by_one=False)


def sequential_one_by_one(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """Orchestrations of some sequential activities, started one after the other from one thread."""
    return many(engine, "chain", sizes["activities"], sizes["orchestrations"], one_by_one=True)


def chain(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """One instance of many sequential activities."""
    found = many(engine, "chain", sizes["steps"], 1, one_by_one=True)
    return {"per_s": found["activities_per_s"]}


def idle_latency(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """From start to result of one activity."""

    def once(number: int) -> float:
        begun = time.perf_counter()
        engine.start(f"idle-{number}", "chain", 1)
        engine.wait(f"idle-{number}")
        return time.perf_counter() - begun

    return one_at_a_time(once, sizes["times"])


def signal_latency(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """From raising an event to the result of who waited for it."""

    def once(number: int) -> float:
        engine.start(f"signal-{number}", "await_signal", 0)
        engine.until_waiting(f"signal-{number}")
        time.sleep(0.02)
        begun = time.perf_counter()
        engine.signal(f"signal-{number}")
        engine.wait(f"signal-{number}")
        return time.perf_counter() - begun

    return one_at_a_time(once, sizes["times"])


def stress(engine: Engine, sizes: Mapping[str, int]) -> dict[str, float]:
    """Some instances always in flight, each fanning out activities of 10 ms."""
    begun = time.perf_counter()
    until = begun + sizes["milliseconds"] / 1000

    def keep_going(lane: int) -> int:
        done = 0
        while time.perf_counter() < until:
            engine.start(f"stress-{lane}-{done}", "fan_out", sizes["activities"])
            engine.wait(f"stress-{lane}-{done}")
            done += 1
        return done

    with ThreadPoolExecutor(sizes["in_flight"]) as pool:
        done = sum(pool.map(keep_going, range(sizes["in_flight"])))
    seconds = time.perf_counter() - begun
    return {"per_s": done / seconds, "activities_per_s": done * sizes["activities"] / seconds}


def one_at_a_time(once: Callable[[int], float], times: int) -> dict[str, float]:
    taken = []
    for number in range(times):
        time.sleep(0.02)
        taken.append(once(number))
    taken.sort()
    return {f"p{percent}_ms": taken[max(math.ceil(times * percent / 100) - 1, 0)] * 1000 for percent in (50, 95, 99)}


SCENARIOS = {
    each.__name__: each
    for each in (
        sequential,
        sequential_one_by_one,
        chain,
        idle_latency,
        signal_latency,
        stress,
        no_activities,
        no_activities_one_by_one,
    )
}


def on_threads(count: int, start: Callable[[str], None], ids: Sequence[str]) -> None:
    """Call *start* for all *ids*, from *count* threads."""
    with ThreadPoolExecutor(count) as pool:
        for _ in pool.map(start, ids):
            pass


def main(make_engine: Callable[[str, Mapping[str, Any]], Engine]) -> None:
    """Run what the command line asks for."""
    scenario, url, sizes, settings = sys.argv[1:]
    engine = make_engine(url, json.loads(settings))
    try:
        engine.start("warm-up", "chain", 3)
        engine.wait("warm-up")
        before = time.process_time()
        figures = SCENARIOS[scenario](engine, json.loads(sizes))
        figures["cpu_s"] = time.process_time() - before
        if resource is not None:
            figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _RSS_PER_MB
    finally:
        threading.Thread(target=engine.close, daemon=True).start()
    print(json.dumps(figures), flush=True)
