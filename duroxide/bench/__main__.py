"""
The command line of ``python -m duroxide.bench``. Exit codes: 0 measured, 1 a scenario failed, 2 wrong usage, 130 Ctrl-C.

What can be known to be wrong is refused before anything is measured, which may take an hour.
"""

from __future__ import annotations

import argparse
import sys

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import fields_dict
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from .._runtime.options import RuntimeOptions
from .._terminal import count, positive, say
from ..errors import InvalidInput
from ..providers.sql.provider import SYNCHRONOUS, SqlProvider
from .children import ScenarioFailed, run_in_child
from .measuring import machine
from .places import fresh_place
from .report import Result, label, result_lines, settings_lines, summary_table, write_json
from .scenario import Scenario, Sizes
from .scenarios import BY_NAME, SCENARIOS


#: How sizes end that may be 0.
_MAY_BE_NOTHING = ("_ms", "milliseconds", "bulk")

WRONG_USAGE = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print what was found; return what the process ends with."""
    asked = _parser().parse_args(arguments)
    if asked.list:
        for scenario in SCENARIOS:
            say(f"{scenario.name:<17} {scenario.summary}")
        return 0
    try:
        _check(asked)
        with fresh_place(asked.url, synchronous=asked.synchronous) as place:
            settings: dict[str, Any] = {**machine(), **place.settings(), "options": dict(asked.option)}
    except (InvalidInput, SQLAlchemyError) as error:
        say(f"duroxide.bench: {error}", is_error=True)
        return WRONG_USAGE
    say(settings_lines(settings))
    results: list[Result] = []
    try:
        code = _measure_all(asked, results)
    except KeyboardInterrupt:
        say("interrupted")
        code = INTERRUPTED
    say(f"\n{summary_table(results)}")
    if asked.json is not None:
        try:
            write_json(asked.json, results, settings)
        except OSError as error:
            say(f"duroxide.bench: --json: {error}", is_error=True)
            return WRONG_USAGE
    return code


def _measure_all(asked: argparse.Namespace, results: list[Result]) -> int:
    """Add what is found to *results*, one by one; return 1 if a scenario failed."""
    code = 0
    for scenario, sizes in _variants(asked):
        try:
            results.append(_measure(scenario, sizes, asked))
        except ScenarioFailed as error:
            code = 1
            say(f"{label(scenario.name, sizes)}: failed, see below")
            say(str(error), is_error=True)
        else:
            say(result_lines(results[-1]))
    return code


def _check(asked: argparse.Namespace) -> None:
    """
    Refuse what no scenario could do anything with.

    Raises:
        InvalidInput: If the database cannot be one, the file not be written, a size or an option does not exist, or an
            option has a value that it cannot have.
    """
    SqlProvider(asked.url, synchronous=asked.synchronous).close()
    if asked.json is not None and not asked.json.absolute().parent.is_dir():
        msg = f"--json {asked.json}: there is no such folder."
        raise InvalidInput(msg)
    if asked.json is not None and asked.json.is_dir():
        msg = f"--json {asked.json}: it is a folder. Give the name of a file."
        raise InvalidInput(msg)
    sizes = {size for name in asked.only or BY_NAME for size in BY_NAME[name].tiny}
    for kind, known, given in (("size", sizes, asked.size), ("option", fields_dict(RuntimeOptions), asked.option)):
        for name, _ in given:
            if name not in known:
                msg = f"--{kind} {name}: there is none of this name. There are {', '.join(sorted(known))}."
                raise InvalidInput(msg)
    RuntimeOptions(**dict(asked.option))


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
            say(f"{name}: not measured, needs Postgres ({scenario.needs_postgres})")
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
    parser.add_argument("--runs", type=positive, default=1, metavar="N", help="run each scenario N times")
    parser.add_argument(
        "--timeout", type=positive, default=300, metavar="S", help="give a run up after so many seconds (%(default)s)"
    )
    parser.add_argument("--quick", action="store_true", help="smaller sizes: all scenarios in about a minute")
    parser.add_argument("--size", action="append", type=_size, default=[], metavar="NAME=N", help="change a size")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show whether it works")
    parser.add_argument("--synchronous", choices=SYNCHRONOUS, default="FULL", help="SQLite only (%(default)s)")
    parser.add_argument(
        "--option", action="append", type=_pair, default=[], metavar="NAME=N", help="set a RuntimeOptions value"
    )
    return parser


def _size(text: str) -> tuple[str, int]:
    """Return the name and the number; times and what is on or off may be nothing, what is counted may not."""
    name, _, value = text.partition("=")
    return name, count(value) if name.endswith(_MAY_BE_NOTHING) else positive(value)


def _pair(text: str) -> tuple[str, int | float]:
    name, _, value = text.partition("=")
    try:
        return name, int(value) if value.lstrip("-").isdigit() else float(value)
    except ValueError:
        msg = f"{text!r} is not of the form NAME=NUMBER"
        raise argparse.ArgumentTypeError(msg) from None


if __name__ == "__main__":
    sys.exit(main())
