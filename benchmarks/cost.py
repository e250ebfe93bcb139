"""
Where the time goes: of one sequential activity, and of the way from start to result on an idle runtime.

    python benchmarks/cost.py [--database sqlite] [--database postgres] [--url URL] [--steps 1000] [--in-flight 200]
                              [--save FILE] [--before FILE] [--readme]

Prints Markdown: for each database, one chain by itself, many chains in flight, and the idle way. With --before, what
was saved then stands beside it. Counts come from a run of their own and times from others, since clocks cost a few
microseconds each.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen
from cost_tables import Cost, Costs, Load, load, put_into_readme, save, tables
from databases import Databases, databases
from idle_way import idle_way
from layers import LAYERS, Layers, watch_layers

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions
from duroxide.bench.counting import Call, total, watch
from duroxide.bench.places import fresh_place
from duroxide.providers.sql import SqlProvider


registry = Registry()

#: Runs with nobody watching; the middle one counts.
_PLAIN_RUNS = 3


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
class Work:
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


def measure(url: str, work: Work) -> Load:
    """Run *work* unwatched, counted and timed."""
    plain = []
    for _ in range(_PLAIN_RUNS):
        with provider_at(url) as provider:
            plain.append(run(provider, work))
    with provider_at(url) as provider:
        watched, calls = watch(provider)
        run(watched, work, warmed=calls.clear)
        counted = {name: calls.of(name) for name in calls.operations()}
    layers = Layers()
    with provider_at(url) as provider, watch_layers(layers):
        run(provider, work, warmed=layers.found.clear)
    return Load(
        work.title,
        statistics.median(plain) / work.activities * 1e6,
        {name: _per_activity(work, *layers.found[name]) for _, _, name in LAYERS if name in layers.found},
        {name: _per_activity(work, *_counts(made)) for name, made in counted.items()},
        {name: _per_activity(work, *found) for name, found in _statements(counted).items()},
    )


def _per_activity(work: Work, *values: float) -> tuple[float, ...]:
    return tuple(value / work.activities for value in values)


def _counts(made: Iterable[Call]) -> tuple[float, ...]:
    """Return calls, transactions, statements, rows written, rows read and rows of history read."""
    calls = list(made)
    count = total(calls)
    transactions = count.commits + count.reads + count.rollbacks
    return len(calls), transactions, count.statements, count.rows_written, count.rows_read, count.history_rows_read


def _statements(counted: Mapping[str, list[Call]]) -> dict[str, list[float]]:
    """Return how often each statement ran, with how many rows, and for how many seconds."""
    found: dict[str, list[float]] = {}
    for name, calls in counted.items():
        for call in calls:
            for asked in call.asked:
                entry = found.setdefault(f"{asked.what} | `{name}`", [0, 0, 0.0])
                entry[0] += 1
                entry[1] += asked.rows
                entry[2] += asked.seconds
    return dict(sorted(found.items(), key=lambda item: -item[1][2]))


@contextmanager
def provider_at(url: str) -> Iterator[SqlProvider]:
    """Give a provider for an empty database beside *url*."""
    with fresh_place(url) as place, place.open() as provider:
        yield provider


def run(provider: Any, work: Work, *, warmed: Callable[[], None] = lambda: None) -> float:
    """Run chains that are started in one call; return the seconds they took."""
    with Runtime(provider, registry, RuntimeOptions(poll_interval=3600)) as runtime:
        client = runtime.client
        client.start_orchestration("warm-up", chain, 20)
        client.wait_for_result("warm-up")
        warmed()
        begun = time.perf_counter()
        ids = [f"chain-{number}" for number in range(work.instances)]
        client.start_orchestrations(chain, dict.fromkeys(ids, work.steps))
        for instance_id in ids:
            client.wait_for_result(instance_id, 600)
        return time.perf_counter() - begun


def cost_of(url: str, works: list[Work]) -> Cost:
    """Return all about the database at *url*."""
    loads = [measure(url, work) for work in works]
    with provider_at(url) as provider:
        return Cost(loads, idle_way(provider, registry, chain))


def places(asked: argparse.Namespace, made: Databases) -> Iterator[tuple[str, str]]:
    """Yield a title and a URL for each database asked for."""
    titles = {"sqlite": "SQLite", "postgres": "Postgres", "postgresql": "Postgres"}
    if asked.url is not None:
        yield titles[asked.url.partition(":")[0].partition("+")[0]], asked.url
        return
    for kind in asked.database or ("sqlite", "postgres"):
        with made.fresh(kind) as url:
            yield titles[kind], url


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--database", action="append", choices=("sqlite", "postgres"), help="default: both, made for it"
    )
    parser.add_argument("--url", help="beside this database instead")
    parser.add_argument("--steps", type=int, default=1000, help="of the single chain")
    parser.add_argument("--in-flight", type=int, default=200, help="chains of 20 that run together")
    parser.add_argument("--save", type=Path, help="keep what is found in this file, to stand beside what comes later")
    parser.add_argument("--before", type=Path, help="what was saved before")
    parser.add_argument("--readme", action="store_true", help="put the tables into README.md")
    asked = parser.parse_args()
    works = [Work(1, asked.steps), Work(asked.in_flight, 20)]
    with databases() as made:
        costs: Costs = {title: cost_of(url, works) for title, url in places(asked, made)}
    if asked.save is not None:
        save(asked.save, costs)
    text = "\n".join(tables(costs, {} if asked.before is None else load(asked.before)))
    sys.stdout.write(f"{text}\n")
    if asked.readme:
        put_into_readme(text)


if __name__ == "__main__":
    main()
