"""
Where the time goes: of one sequential activity, and of the way from start to result on an idle runtime.

    python benchmarks/cost.py [--database sqlite] [--database postgres] [--url URL] [--steps 1000] [--in-flight 200]

Prints Markdown, as it stands in README.md. For each database: one chain by itself, many chains in flight, and the
idle way. Counts come from a run of their own and times from others, since clocks cost a few microseconds each.
"""

from __future__ import annotations

import argparse
import sys
import time

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from attrs import frozen
from databases import Databases, databases
from idle_way import idle_way
from layers import LAYERS, Layers, watch_layers

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions
from duroxide.bench.counting import Call, Counts, total, watch
from duroxide.bench.places import fresh_place
from duroxide.providers.sql import SqlProvider


registry = Registry()

#: Fewer than this per activity are once for the run, not for an activity.
_SELDOM = 0.0005


@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    return number + 1


@registry.orchestration
def chain(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
    number = 0
    for _ in range(steps):
        number = yield from ctx.schedule_activity(step, number)
    return number


@frozen
class Load:
    """What is run: chains of the same length, in flight together."""

    instances: int
    steps: int

    @property
    def activities(self) -> int:
        """All of them."""
        return self.instances * self.steps

    @property
    def title(self) -> str:
        """In words."""
        return f"one chain of {self.steps}" if self.instances == 1 else f"{self.instances} chains of {self.steps}"


@frozen
class Cost:
    """What was found about a load."""

    load: Load
    #: Microseconds of an activity, with nobody watching.
    plain_us: float
    calls: dict[str, list[Call]]
    layers: Layers


def measure(url: str, load: Load) -> Cost:
    """Run *load* three times: unwatched, counted and timed."""
    with provider_at(url) as provider:
        plain = run(provider, load)
    with provider_at(url) as provider:
        watched, calls = watch(provider)
        run(watched, load, warmed=calls.clear)
        counted = {name: calls.of(name) for name in calls.operations()}
    layers = Layers()
    with provider_at(url) as provider, watch_layers(layers):
        run(provider, load, warmed=layers.found.clear)
    return Cost(load, plain / load.activities * 1e6, counted, layers)


@contextmanager
def provider_at(url: str) -> Iterator[SqlProvider]:
    """Give a provider for an empty database beside *url*."""
    with fresh_place(url) as place, place.open() as provider:
        yield provider


def run(provider: Any, load: Load, *, warmed: Any = lambda: None) -> float:
    """Run chains that are started in one call; return the seconds they took."""
    with Runtime(provider, registry, RuntimeOptions(poll_interval=3600)) as runtime:
        client = runtime.client
        client.start_orchestration("warm-up", chain, 20)
        client.wait_for_result("warm-up")
        warmed()
        begun = time.perf_counter()
        ids = [f"chain-{number}" for number in range(load.instances)]
        client.start_orchestrations(chain, dict.fromkeys(ids, load.steps))
        for instance_id in ids:
            client.wait_for_result(instance_id, 600)
        return time.perf_counter() - begun


def calls_table(cost: Cost) -> Iterator[str]:
    """Yield what each call of the provider asks, for an activity."""
    yield "| call of the provider | calls | transactions | statements | rows written | rows read | of history |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    for name, calls in cost.calls.items():
        count: Counts = total(calls)
        transactions = count.commits + count.reads + count.rollbacks
        values = (len(calls), transactions, count.statements, count.rows_written, count.rows_read)
        per = [value / cost.load.activities for value in (*values, count.history_rows_read)]
        if max(per) >= _SELDOM:
            yield f"| `{name}` | " + " | ".join(f"{value:.3f}" for value in per) + " |"


def statements_table(cost: Cost) -> Iterator[str]:
    """Yield how often each statement is run, how many rows it has, and how long it takes, for an activity."""
    yield "| statement | in | times | rows | µs |"
    yield "| --- | --- | ---: | ---: | ---: |"
    found: dict[tuple[str, str], list[float]] = {}
    for name, calls in cost.calls.items():
        for call in calls:
            for asked in call.asked:
                entry = found.setdefault((asked.what, name), [0, 0, 0.0])
                entry[0] += 1
                entry[1] += asked.rows
                entry[2] += asked.seconds * 1e6
    for (what, name), entry in sorted(found.items(), key=lambda item: -item[1][2]):
        times, rows, microseconds = (value / cost.load.activities for value in entry)
        if microseconds >= 1:
            yield f"| {what} | `{name}` | {times:.3f} | {rows:.2f} | {microseconds:.0f} |"


def layers_table(costs: list[Cost]) -> Iterator[str]:
    """Yield how long each layer takes for an activity, for all loads beside each other."""
    yield "| layer | " + " | ".join(f"times ({each.load.title}) | µs | µs of CPU" for each in costs) + " |"
    yield "| --- |" + " ---: | ---: | ---: |" * len(costs)
    for _, _, layer in LAYERS:
        columns = []
        for cost in costs:
            times, wall, cpu = cost.layers.found.get(layer, (0, 0.0, 0.0))
            per = 1e6 / cost.load.activities
            columns.append(
                f"{times / cost.load.activities:.2f} | {wall * per:.0f} | {cpu * per:.0f}" if times else "| |"
            )
        if any(each != "| |" for each in columns):
            yield f"| {layer} | {' | '.join(columns)} |"


def report(title: str, url: str, loads: list[Load]) -> Iterator[str]:
    """Yield all about the database at *url*."""
    costs = [measure(url, load) for load in loads]
    yield f"\n## {title}\n"
    yield "; ".join(f"{each.load.title}: {each.plain_us:.0f} µs for an activity" for each in costs) + ".\n"
    yield from layers_table(costs)
    for cost in costs:
        yield f"\nFor an activity, {cost.load.title}:\n"
        yield from calls_table(cost)
        yield ""
        yield from statements_table(cost)
    yield "\nFrom start to result on an idle runtime, one activity; the middle one of many:\n"
    with provider_at(url) as provider:
        yield from idle_way(provider, registry, chain)


def places(asked: argparse.Namespace, made: Databases) -> Iterator[tuple[str, str]]:
    """Yield a title and a URL for each database asked for."""
    if asked.url is not None:
        yield asked.url.partition(":")[0], asked.url
        return
    for kind in asked.database or ("sqlite", "postgres"):
        with made.fresh(kind) as url:
            yield {"sqlite": "SQLite", "postgres": "Postgres"}[kind], url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--database", action="append", choices=("sqlite", "postgres"), help="default: both, made for it"
    )
    parser.add_argument("--url", help="beside this database instead")
    parser.add_argument("--steps", type=int, default=1000, help="of the single chain")
    parser.add_argument("--in-flight", type=int, default=200, help="chains of 20 that run together")
    asked = parser.parse_args()
    with databases() as made:
        for title, url in places(asked, made):
            for line in report(title, url, [Load(1, asked.steps), Load(asked.in_flight, 20)]):
                sys.stdout.write(f"{line}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
