"""
Shows that nothing gets slower as a database fills: the same operations on a small and on a large one, side by side.

    python benchmarks/growth.py [--finished 1000000] [--sleeping 100000] [--churn 1000000] [--json FILE]

Prints the median of every operation on both, their ratio, and with `--plans` how the databases carry out each
statement. The small database holds 10,000 instances that have ended and 1,000 that sleep, so that a page of 100 is full
there too. They take turns, so that a ratio compares the same minute of the same machine. With `--churn N`, N activities
go through the queue tables of the large database, and it is shown how many a second did, from the first to the last.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from attrs import define, field

from duroxide.bench.churn import churn
from duroxide.bench.filling import fill
from duroxide.bench.measuring import machine
from duroxide.bench.operations import Timings, idle_runtime, measure, whole_ways
from duroxide.bench.places import Place, fresh_place
from duroxide.providers.sql import SqlProvider


HERE = Path(__file__).parent

SMALL = {"finished": 10_000, "sleeping": 1000}

#: Rounds that do not count.
WARM_UP = 1

#: A median that has grown by more than this factor is marked.
GROWN = 1.5


@contextmanager
def postgres() -> Iterator[str]:
    """Give the URL of a server of our own."""
    command = [sys.executable, str(HERE / "serve_postgres.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()
            server.wait(60)


def compare(url: str, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure a small and a large database beside *url*, in turns."""
    with ExitStack() as stack:
        sides = []
        for sizes in (SMALL, {"finished": asked.finished, "sleeping": asked.sleeping}):
            place = stack.enter_context(fresh_place(url))
            provider = stack.enter_context(place.open())
            sides.append(Side(place, provider, sizes))
            filled = fill(provider, place.schema, **sizes)
            say(f"{sizes}: filled in {filled.seconds:.0f} s")
        for _ in range(WARM_UP + asked.rounds):
            for side in sides:
                side.round(repeat=asked.repeat)
        small, large = (side.found(asked) for side in sides)
        if asked.churn:
            large["churn"] = churn(sides[1].provider, sides[1].place, asked.churn, windows=asked.windows)
        return {"database": "postgresql" if sides[0].place.is_postgres else "sqlite", "small": small, "large": large}


@define
class Side:
    """One of the two databases, and the times that were taken there."""

    place: Place
    provider: SqlProvider
    sizes: Mapping[str, int]
    rounds: list[Timings] = field(factory=list)

    def round(self, *, repeat: int) -> None:
        """Do everything *repeat* times."""
        timings = measure(self.provider, repeat=repeat)
        timings.seconds |= whole_ways(self.provider, repeat=repeat).seconds
        self.rounds.append(timings)

    def found(self, asked: argparse.Namespace) -> dict[str, Any]:
        """Return the medians over all rounds but the first ones, and the rest of what there is to know."""
        taken = self.rounds[WARM_UP:]
        explained = measure(self.provider, repeat=1, explains=True).plans
        found = {
            "sizes": dict(self.sizes),
            "median_ms": {
                name: statistics.median(chain.from_iterable(each.seconds[name] for each in taken)) * 1000
                for name in taken[0].seconds
            },
            "idle": idle_runtime(self.provider, asked.idle_seconds),
            "plans": {name: [[plan.statement, str(plan)] for plan in each] for name, each in explained.items()},
        }
        if asked.audit:
            found["violations"] = [str(violation) for violation in self.provider.audit()]
        return found


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def show(found: Mapping[str, Any], *, with_plans: bool) -> None:
    """Print the tables of one database."""
    small, large = found["small"], found["large"]
    sizes = "{finished:,} ended, {sleeping:,} asleep"
    print(f"\n### {found['database']}\n")
    print(f"| ms (median) | {sizes.format(**small['sizes'])} | {sizes.format(**large['sizes'])} | ratio |")
    print("| --- | ---: | ---: | ---: |")
    for name, before in small["median_ms"].items():
        after = large["median_ms"][name]
        print(f"| {name} | {before:.3f} | {after:.3f} | {_ratio(after / before)} |")
    for name, before in small["idle"].items():
        print(f"| idle runtime: {name} | {before:.2f} | {large['idle'][name]:.2f} | |")
    _show_churn(large.get("churn", ()))
    if with_plans:
        _show_plans(large["plans"])


def _ratio(ratio: float) -> str:
    return f"**{ratio:.2f}**" if ratio > GROWN else f"{ratio:.2f}"


def _show_churn(windows: Any) -> None:
    if not windows:
        return
    columns = list(windows[0])
    print("\n| " + " | ".join(columns) + " |")
    print("| " + " | ".join("---:" for _ in columns) + " |")
    for window in windows:
        print("| " + " | ".join(f"{window[column]:,.0f}" for column in columns) + " |")


def _show_plans(explained: Mapping[str, Any]) -> None:
    shown: dict[str, str] = {}
    for name, statements in explained.items():
        print(f"\n{name}:\n")
        for statement, plan in statements:
            if statement in shown:
                print(f"- (as in {shown[statement]}) {statement[:70]} …")
                continue
            shown[statement] = name
            print(f"- {statement}\n\n```text\n{plan}\n```\n")


def arguments(given: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgres"], action="append", help="by default, both")
    parser.add_argument("--finished", type=int, default=1_000_000)
    parser.add_argument("--sleeping", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="how often the two databases take turns")
    parser.add_argument("--repeat", type=int, default=40, help="lives of instances that are measured in a round")
    parser.add_argument("--churn", type=int, default=0, help="activities to run through the queues")
    parser.add_argument("--windows", type=int, default=10, help="into how many parts the churn is cut")
    parser.add_argument("--idle-seconds", type=float, default=10)
    parser.add_argument("--audit", action="store_true", help="audit both databases in the end")
    parser.add_argument("--plans", action="store_true", help="print the plans, too")
    parser.add_argument("--folder", help="where the SQLite files go; by default, a temporary folder")
    parser.add_argument("--json", metavar="FILE")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> None:
    asked = arguments(given)
    results = []
    with ExitStack() as stack:
        folder = asked.folder or stack.enter_context(tempfile.TemporaryDirectory(prefix="duroxide-growth-"))
        for database in asked.database or ("sqlite", "postgres"):
            is_sqlite = database == "sqlite"
            url = f"sqlite:///{folder}/growth.db" if is_sqlite else stack.enter_context(postgres())
            say(database)
            results.append(compare(url, asked))
    found = {"settings": {**machine(), "rounds": asked.rounds, "repeat": asked.repeat}, "results": results}
    if asked.json:
        Path(asked.json).write_text(json.dumps(found, indent=1), encoding="utf-8")
    for result in results:
        show(result, with_plans=asked.plans)


if __name__ == "__main__":
    main()
