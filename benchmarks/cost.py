"""
Where the time of one sequential activity goes, as the table in README.md.

    python benchmarks/cost.py [sqlite:///cost.db | postgresql://…] [--steps 1000] [--instances 1]

One run counts what each call of the provider asks of the database; the same run takes the time of calls of the
provider, of the core, of the activity function's side and of waiting. Instances are in flight together, so with more
than one of them a round serves several activities. The clocks of the measuring itself cost a few microseconds.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import threading
import time

from collections.abc import Callable
from typing import Any

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions
from duroxide.bench.counting import total, watch
from duroxide.bench.places import fresh_place


registry = Registry()


@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    return number + 1


@registry.orchestration
def chain(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
    number = 0
    for _ in range(steps):
        number = yield from ctx.schedule_activity(step, number)
    return number


class Layers:
    """Adds up how often, and how long, functions ran; those inside a layer are part of it."""

    def __init__(self) -> None:
        self.found: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def watch(self, owner: Any, name: str, layer: str) -> None:
        """Add up the calls of *owner*'s *name* as *layer*."""
        inner: Callable[..., Any] = getattr(owner, name)
        is_class_method = isinstance(owner.__dict__.get(name), classmethod)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            begun, cpu = time.perf_counter(), time.thread_time()
            try:
                return inner(*arguments, **keywords)
            finally:
                took, used = time.perf_counter() - begun, time.thread_time() - cpu
                with self._lock:
                    entry = self.found.setdefault(layer, [0, 0.0, 0.0])
                    entry[0] += 1
                    entry[1] += took
                    entry[2] += used

        setattr(owner, name, staticmethod(timed) if is_class_method else timed)


#: Module, owner and attribute, and how the row of the table is called; indented rows are part of the one above.
LAYERS = [
    ("duroxide._runtime.dispatcher", "Dispatcher._wait", "dispatcher: waiting for something to do"),
    ("duroxide._runtime.dispatcher", "Dispatcher._round", "dispatcher: a round"),
    ("duroxide._runtime.turns", "Turns.run", "· turns"),
    ("duroxide._core.execution", "Execution.advance", "· · a turn in the core"),
    ("duroxide._core.executor", "Executor.feed", "· · · user code, replay rule"),
    ("duroxide._runtime.commits", "Commits.write", "· committing, and handing out what it scheduled"),
    ("duroxide.providers.sql.turn_rows", "TurnRows.of", "· · rows from commits"),
    ("duroxide.providers.sql.turn_rows", "encode_event", "· · · events to JSON"),
    ("duroxide.providers.sql.database", "Database.write", "· · writing transaction"),
    ("duroxide.providers.sql.sqlite", "SqliteDialect.steps", "· · · statements"),
    ("duroxide.providers.sql.postgres", "PostgresDialect.steps", "· · · statements "),
    ("duroxide.providers.sql.database", "Database._commit", "· · · COMMIT"),
    ("duroxide._runtime.activities", "ActivityWorker._begin", "· · handing activities to threads"),
    ("duroxide._runtime.activities", "ActivityWorker._run", "activity thread: one activity"),
    ("duroxide._runtime.activities", "invoke", "· decode, call, encode"),
    ("duroxide._runtime.activities", "ActivityWorker._end", "· handing the outcome over"),
]


def watch_layers(layers: Layers) -> None:
    """Watch what is in LAYERS; what has moved is said, and left out."""
    for module, path, layer in LAYERS:
        *owners, name = path.split(".")
        owner: Any = importlib.import_module(module)
        try:
            for each in owners:
                owner = getattr(owner, each)
            layers.watch(owner, name, layer)
        except AttributeError:
            print(f"{module}.{path} is not there any more: correct LAYERS", file=sys.stderr)


def run(provider: Any, steps: int, instances: int) -> float:
    """Run chains, and return the seconds they took."""
    with Runtime(provider, registry, RuntimeOptions(poll_interval=3600)) as runtime:
        client = runtime.client
        client.start_orchestration("warm-up", chain, 20)
        client.wait_for_result("warm-up")
        begun = time.perf_counter()
        for number in range(instances):
            client.start_orchestration(f"chain-{number}", chain, steps)
        for number in range(instances):
            client.wait_for_result(f"chain-{number}", 600)
        return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", default="sqlite:///cost.db")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--instances", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    activities = asked.steps * asked.instances
    with fresh_place(asked.url) as place, place.open() as provider:
        plain = run(provider, asked.steps, asked.instances)
    with fresh_place(asked.url) as place, place.open() as provider:
        watched, calls = watch(provider)
        run(watched, asked.steps, asked.instances)
        counts = {name: (len(calls.of(name)), total(calls.of(name))) for name in calls.operations()}
    layers = Layers()
    watch_layers(layers)
    with fresh_place(asked.url) as place, place.open() as provider:
        layers.found.clear()
        timed = run(provider, asked.steps, asked.instances)
    if asked.json:
        print(json.dumps({"plain_us": plain / activities * 1e6, "layers": layers.found}))
        return
    print(f"\n{asked.instances} instance(s) of {asked.steps} activities on {asked.url.partition(':')[0]}:")
    print(f"{plain / activities * 1e6:.0f} µs an activity; {timed / activities * 1e6:.0f} while being timed.\n")
    print("| call of the provider | calls | transactions | statements | rows written | rows read | of history |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, (made, count) in counts.items():
        transactions = count.commits + count.reads + count.rollbacks
        values = (made, transactions, count.statements, count.rows_written, count.rows_read, count.history_rows_read)
        print(f"| {name} | " + " | ".join(f"{value / activities:.3f}" for value in values) + " |")
    print("\n(per activity)\n")
    print("| layer | times | µs | µs of CPU |")
    print("| --- | ---: | ---: | ---: |")
    for _, _, layer in LAYERS:
        times, wall, cpu = layers.found.get(layer, (0, 0.0, 0.0))
        if not times:
            continue
        per = 1e6 / activities
        print(f"| {layer} | {times / activities:.2f} | {wall * per:.0f} | {cpu * per:.0f} |")


if __name__ == "__main__":
    main()
