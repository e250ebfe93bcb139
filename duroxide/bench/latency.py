"""Scenarios that ask how long one has to wait."""

from __future__ import annotations

import os
import subprocess
import sys

from collections.abc import Callable

from .._clock import SystemClock
from ..client import Client
from . import programs
from .measuring import Figures, Stopwatch, distribution, percentile
from .places import sibling
from .scenario import PATIENCE, Bench, pause, run, start_many


#: A program as users write them, up to its first result. It says how many seconds its imports took, and the rest.
_FIRST_RESULT = """
import sys, time
begun = time.perf_counter()
from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, SqlProvider
imported = time.perf_counter() - begun
url, schema, synchronous = sys.argv[1:]
registry = Registry()

@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    return number + 1

@registry.orchestration
def first(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    return (yield from ctx.schedule_activity(step, number))

provider = SqlProvider(url, schema=schema or None, synchronous=synchronous)
with provider, Runtime(provider, registry) as runtime:
    runtime.client.start_orchestration("first", first, 1)
    runtime.client.wait_for_result("first")
    print(imported, time.perf_counter() - begun - imported, flush=True)
"""


def idle_latency(bench: Bench) -> Figures:
    """From start to result of one activity, on a runtime that has nothing else to do."""

    def once(client: Client, number: int) -> float:
        watch = Stopwatch()
        run(client, f"idle-{number}", programs.chain, 1)
        return watch.seconds()

    return _one_at_a_time(bench, once)


def signal_latency(bench: Bench) -> Figures:
    """From `raise_event` to the result of the orchestration that waited for it."""

    def once(client: Client, number: int) -> float:
        instance_id = f"signal-{number}"
        client.start_orchestration(instance_id, programs.await_signal, None)
        client.wait_for_status_change(instance_id, 0, PATIENCE)
        pause(bench.size("gap_ms") / 1000)
        watch = Stopwatch()
        client.raise_event(instance_id, "go", number)
        client.wait_for_result(instance_id, PATIENCE)
        return watch.seconds()

    return _one_at_a_time(bench, once)


def _one_at_a_time(bench: Bench, once: Callable[[Client, int], float]) -> Figures:
    gap = bench.size("gap_ms") / 1000
    with bench.runtime() as runtime:
        taken = []
        for number in range(bench.size("times")):
            pause(gap)
            taken.append(once(runtime.client, number))
    return distribution(taken)


def timers(bench: Bench) -> Figures:
    """By how much orchestrations go on too late whose timers are due together, or within a second."""
    count, spread_ms = bench.size("timers"), bench.size("spread_ms")
    clock = SystemClock()
    programs.armed.clear()
    programs.lateness_ms.clear()
    with bench.runtime() as runtime:
        due_ms = clock.now_ms() + bench.size("before_ms")
        # A hundred moments in the second, so that starts can be stored together.
        moments = [due_ms + spread_ms * moment // 100 for moment in range(100)] if spread_ms else [due_ms]
        ids = [f"timer-{number}" for number in range(count)]
        for number, moment in enumerate(moments):
            start_many(runtime.provider, ids[number :: len(moments)], "sleep_until", moment)
        while len(programs.lateness_ms) < count:
            pause(0.05)  # asking the database for each would cost what is to be measured
        for instance_id in ids[-len(moments) :]:
            runtime.client.wait_for_result(instance_id, PATIENCE)
        ended_ms = clock.now_ms()
    late = [max(each, 0) / 1000 for each in programs.lateness_ms]
    set_too_late = sum(1 for each in programs.armed if each >= due_ms)
    return {
        **distribution(late, prefix="late_"),
        "all_ended_after_ms": ended_ms - moments[-1],
        "set_too_late": set_too_late,
    }


def start_up(bench: Bench) -> Figures:
    """From the start of a Python process to the first result on a database that does not exist yet."""
    totals, imports, rests, empty = [], [], [], []
    # The first one compiles what has not been imported on this machine before, and is not counted.
    for number in range(bench.size("times") + 1):
        place = sibling(bench.place)
        try:
            total, import_s, rest = _first_result([place.url, place.schema or "", place.synchronous])
        finally:
            place.remove()
        if not number:
            continue
        totals.append(total)
        imports.append(import_s)
        rests.append(rest)
        watch = Stopwatch()
        subprocess.run([sys.executable, "-c", "pass"], check=True)  # our own
        empty.append(watch.seconds())
    return {
        "total_p50_ms": percentile(totals, 50) * 1000,
        "total_max_ms": max(totals) * 1000,
        "import_p50_ms": percentile(imports, 50) * 1000,
        "after_import_p50_ms": percentile(rests, 50) * 1000,
        "bare_python_p50_ms": percentile(empty, 50) * 1000,
    }


def _first_result(arguments: list[str]) -> tuple[float, float, float]:
    """Return the seconds to the first result of a new process, those for importing, and those after that."""
    command = [sys.executable, "-c", _FIRST_RESULT, *arguments]
    watch = Stopwatch()
    # Installed packages are compiled; what keeps this checkout from being so is not what is measured.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:  # noqa: S603  # our own
        assert child.stdout is not None, "it was asked for"
        answer = child.stdout.readline()
        seconds = watch.seconds()
    import_s, rest_s = answer.split()
    return seconds, float(import_s), float(rest_s)
