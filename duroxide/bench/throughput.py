"""Scenarios that ask how much gets done."""

from __future__ import annotations

import statistics

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

from .._clock import monotonic
from ..client import Client
from . import programs
from .measuring import Figures, Stopwatch, distribution
from .scenario import PATIENCE, Bench, run


def no_activities(bench: Bench) -> Figures:
    """Orchestrations that end at once, started in one call (bulk=1) or one by one (0) from one thread."""
    return _many(bench, programs.nothing, lambda number: number, 0)


def sequential(bench: Bench) -> Figures:
    """Orchestrations of some sequential activities each, all in flight, started in one call (bulk=1) or one by one (0)."""
    steps = bench.size("activities")
    return _many(bench, programs.chain, lambda _: steps, steps)


def _many(
    bench: Bench, orchestration: Callable[..., Any], argument: Callable[[int], object], activities: int
) -> Figures:
    ids = [f"many-{number}" for number in range(bench.size("orchestrations"))]
    with bench.runtime() as runtime:
        client = runtime.client
        watch = Stopwatch()
        if bench.size("bulk"):
            client.start_orchestrations(orchestration, {name: argument(number) for number, name in enumerate(ids)})
        else:
            for number, instance_id in enumerate(ids):
                client.start_orchestration(instance_id, orchestration, argument(number))
        started = watch.seconds()
        for instance_id in ids:
            client.wait_for_result(instance_id, PATIENCE)
        seconds = watch.seconds()
    per_s = len(ids) / seconds
    figures = {"orchestrations_per_s": per_s}
    if activities:
        figures["activities_per_s"] = per_s * activities
    return {**figures, "starts_per_s": len(ids) / started, "wall_s": seconds}


def stress(bench: Bench) -> Figures:
    """Some instances always in flight, each fanning out activities of 10 ms (the reference's stress test)."""
    width = bench.size("activities")
    threads = bench.runtime_options(worker_concurrency=bench.size("threads")).worker_concurrency
    with bench.runtime(worker_concurrency=threads) as runtime:
        begun = monotonic()
        until = begun + bench.size("milliseconds") / 1000

        def keep_going(client: Client, lane: int) -> list[float]:
            taken: list[float] = []
            while not taken or monotonic() < until:
                watch = Stopwatch()
                run(client, f"stress-{lane}-{len(taken)}", programs.working_fan_out, width)
                taken.append(watch.seconds())
            return taken

        lanes = bench.size("in_flight")
        with ThreadPoolExecutor(lanes) as pool:
            taken = [each for found in pool.map(keep_going, [runtime.client] * lanes, range(lanes)) for each in found]
        seconds = monotonic() - begun
    per_s = len(taken) / seconds
    ceiling = min(threads, lanes * width) / programs.WORK_SECONDS
    return {
        "orchestrations_per_s": per_s,
        "activities_per_s": per_s * width,
        "ceiling_share": per_s * width / ceiling,
        **distribution(taken),
    }


def fan_out(bench: Bench) -> Figures:
    """One orchestration that runs many activities at the same time."""
    width = bench.size("activities")
    with bench.runtime() as runtime:
        watch = Stopwatch()
        run(runtime.client, "fan-out", programs.fan_out, width)
        seconds = watch.seconds()
    return {"activities_per_s": width / seconds, "wall_s": seconds}


def chain(bench: Bench) -> Figures:
    """One orchestration of many sequential activities; the median cost of a step at its beginning and at its end."""
    steps = bench.size("steps")
    window = min(1000, max(steps // 2, 1))
    with bench.runtime() as runtime:
        programs.step_times.clear()
        watch = Stopwatch()
        run(runtime.client, "chain", programs.timed_chain, steps)
        seconds = watch.seconds()
    took = [after - before for before, after in pairwise(programs.step_times)]
    first, last = statistics.median(took[:window]), statistics.median(took[-window:])
    return {
        "steps_per_s": steps / seconds,
        "first_steps_us": first * 1e6,
        "last_steps_us": last * 1e6,
        "last_to_first": last / first,
        "wall_s": seconds,
    }


def continue_as_new(bench: Bench) -> Figures:
    """One instance that continues as new again and again."""
    loops = bench.size("executions")
    with bench.runtime() as runtime:
        watch = Stopwatch()
        run(runtime.client, "loop", programs.count_down, loops)
        seconds = watch.seconds()
    return {"executions_per_s": loops / seconds, "wall_s": seconds}


def large_payloads(bench: Bench) -> Figures:
    """Orchestrations with a large input, which goes through one activity and comes back."""
    text = "0123456789abcdef" * (bench.size("kilobytes") * 1000 // 16)
    ids = [f"large-{number}" for number in range(bench.size("orchestrations"))]
    with bench.runtime() as runtime:
        client = runtime.client
        watch = Stopwatch()
        for instance_id in ids:
            client.start_orchestration(instance_id, programs.carry, text)
        for instance_id in ids:
            client.wait_for_result(instance_id, PATIENCE)
        seconds = watch.seconds()
    # In: the orchestration's input and the activity's; out: the activity's result and the orchestration's.
    return {
        "orchestrations_per_s": len(ids) / seconds,
        "payload_mb_per_s": 4 * len(ids) * len(text) / 1e6 / seconds,
        "wall_s": seconds,
    }
