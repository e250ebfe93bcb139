"""The command line of ``python -m duroxide.bench``."""

from __future__ import annotations

import argparse
import sys

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import make_url

from ..providers.sql.provider import SYNCHRONOUS
from .children import ScenarioFailed, run_in_child
from .measuring import machine
from .places import fresh_place
from .report import Result, label, result_lines, settings_lines, summary_table, write_json
from .scenario import Scenario, Sizes
from .scenarios import BY_NAME, SCENARIOS


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found; return what the process ends with."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for scenario in SCENARIOS:
            _say(f"{scenario.name:<17} {scenario.summary}")
        return 0
    with fresh_place(asked.url, synchronous=asked.synchronous) as place:
        settings: dict[str, Any] = {**machine(), **place.settings(), "options": dict(asked.option)}
    _say(settings_lines(settings))
    results: list[Result] = []
    failed = False
    for scenario, sizes in _variants(asked):
        try:
            results.append(_measure(scenario, sizes, asked))
        except ScenarioFailed as error:
            failed = True
            _say(f"{label(scenario.name, sizes)}: failed, see below")
            sys.stderr.write(f"{error}\n")
        else:
            _say(result_lines(results[-1]))
    _say(f"\n{summary_table(results)}")
    if asked.json is not None:
        write_json(asked.json, results, settings)
    return int(failed)


def _measure(scenario: Scenario, sizes: Sizes, asked: argparse.Namespace) -> Result:
    runs = []
    for _ in range(asked.runs):
        with fresh_place(asked.url, synchronous=asked.synchronous) as place:
            runs.append(run_in_child(scenario, place, sizes, dict(asked.option), timeout=asked.timeout))
    return Result(scenario.name, sizes, runs)


def _variants(asked: argparse.Namespace) -> Iterator[tuple[Scenario, Sizes]]:
    """Yield what to measure; with sizes of the user's, each scenario once."""
    is_postgres = make_url(asked.url).get_backend_name() == "postgresql"
    for name in asked.only or BY_NAME:
        scenario = BY_NAME[name]
        if scenario.needs_postgres is not None and not is_postgres:
            _say(f"{name}: not measured, needs Postgres ({scenario.needs_postgres})")
            continue
        variants = _sizes(scenario, asked)
        given = {size: value for size, value in asked.size if size in variants[0]}
        for sizes in variants[:1] if given else variants:
            yield scenario, {**sizes, **given}


def _sizes(scenario: Scenario, asked: argparse.Namespace) -> tuple[Sizes, ...]:
    if asked.tiny:
        return (scenario.tiny,)
    return (scenario.quick or scenario.variants[0],) if asked.quick else scenario.variants


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m duroxide.bench", description="Measure duroxide on your database.")
    parser.add_argument("--url", default="sqlite:///bench.db", help="measure beside this database (%(default)s)")
    parser.add_argument("--only", action="append", choices=BY_NAME, help="only this scenario; may be repeated")
    parser.add_argument("--list", action="store_true", help="say what scenarios there are")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything into FILE")
    parser.add_argument("--runs", type=_positive, default=1, metavar="N", help="run each scenario N times")
    parser.add_argument(
        "--timeout", type=_positive, default=300, metavar="S", help="give a run up after so many seconds (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes: all scenarios in about a minute")
    parser.add_argument("--size", action="append", type=_pair, default=[], metavar="NAME=N", help="change a size")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show whether it works")
    parser.add_argument("--synchronous", choices=SYNCHRONOUS, default="FULL", help="SQLite only (%(default)s)")
    parser.add_argument(
        "--option", action="append", type=_pair, default=[], metavar="NAME=N", help="set a RuntimeOptions value"
    )
    return parser


def _pair(text: str) -> tuple[str, int | float]:
    name, _, value = text.partition("=")
    try:
        return name, int(value) if value.lstrip("-").isdigit() else float(value)
    except ValueError:
        msg = f"{text!r} is not of the form NAME=NUMBER"
        raise argparse.ArgumentTypeError(msg) from None


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        msg = f"{text!r}: at least 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
