"""
Compares this library with the PyPI packages `duroxide` (the Rust engine) and `dbos`, side by side, in one run.

    python benchmarks/compare.py [--database sqlite] [--only chain] [--rounds 3] [--minutes 15] [--quick]
                                 [--json FILE] [--readme]

Needs Python 3.11 and a package registry, nothing else: each engine gets a virtual environment of its own under
benchmarks/.venvs, and Postgres comes from PyPI. The engines take turns (A B C A B C …), each time in a fresh
process on a fresh database, so that a ratio within one round compares the same minute of the same machine.
`--tune` looks for each peer's best settings instead, and prints what belongs into settings.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import sys
import time

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from databases import Databases, databases
from engines import HERE, PACKAGES, alone, drive, floor, venv_python, version_of
from plan import ALONE, DATABASES, FLOOR, OURS, SCENARIOS, Record, Scenario
from settings import CANDIDATES, settings_for
from table import as_records, markdown, put_between, rows


def compare(asked: argparse.Namespace, made: Databases) -> Iterator[Record]:
    """Run every scenario on every engine, taking turns; yield one record for each run."""
    begun = time.monotonic()
    for round_number, kind, name in itertools.product(range(asked.rounds), asked.database, asked.only):
        if asked.minutes is not None and round_number and time.monotonic() - begun > asked.minutes * 60:
            _say(f"round {round_number + 1} {kind} {name}: left out, the {asked.minutes:g} minutes are over")
            continue
        for engine in (OURS,) if name == ALONE else SCENARIOS[name].engines(kind):
            if asked.engine is None or engine in asked.engine:
                record = _one(made, kind, name, engine, quick=asked.quick)
                _say(f"round {round_number + 1} {kind} {name} {engine}: {record['figures']}")
                yield {**record, "round": round_number}


def _one(made: Databases, kind: str, name: str, engine: str, *, quick: bool) -> Record:
    settings = {} if engine == FLOOR or name == ALONE else settings_for(engine, kind, name)
    sizes: dict[str, int] = {}
    figures: Any
    begun = time.monotonic()
    with made.fresh(kind) as url:
        if name == ALONE:
            figures = alone(url, kind, quick=quick)
        elif engine == FLOOR:
            figures = floor(url, kind)
        else:
            sizes = SCENARIOS[name].sizes_for(engine, small=quick)
            figures = drive(engine, url, name, sizes, settings)
    return {
        "database": kind,
        "scenario": name,
        "engine": engine,
        "sizes": sizes,
        "settings": settings,
        "figures": figures,
        "seconds": round(time.monotonic() - begun, 1),
    }


def tune(asked: argparse.Namespace, made: Databases) -> None:
    """Try all candidates for each peer, taking turns as the engines do, and print the best as they stand in settings.py."""
    for (engine, kind), candidates in CANDIDATES.items():
        if kind not in asked.database or (asked.engine is not None and engine not in asked.engine):
            continue
        for name in asked.only:
            if name != ALONE and (found := _tried(made, engine, kind, SCENARIOS[name], asked.rounds)):
                best, position = (min if SCENARIOS[name].less_is_better else max)(found)
                print(f"    # {best:.4g}\n    {(engine, kind, name)}: {candidates[position]},", flush=True)


def _tried(made: Databases, engine: str, kind: str, scenario: Scenario, rounds: int) -> list[tuple[float, int]]:
    """Return the median figure and the position of each candidate that never failed."""
    candidates = CANDIDATES[engine, kind]
    found: dict[int, list[float]] = {position: [] for position in range(len(candidates))}
    for _, (position, settings) in itertools.product(range(rounds), enumerate(candidates)):
        with made.fresh(kind) as url:
            figures = drive(engine, url, scenario.name, scenario.small, settings)
        if figures is not None:
            found[position].append(figures[scenario.figure])
    for position, values in found.items():
        _say(f"{engine} {kind} {scenario.name} {candidates[position]}: {values}")
    return [(statistics.median(values), position) for position, values in found.items() if len(values) == rounds]


def surroundings(asked: argparse.Namespace, made: Databases, seconds: float) -> dict[str, Any]:
    """Return what the figures depend on, apart from the engines' settings."""
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "seconds": round(seconds),
    }
    if "postgres" in asked.database:
        for setting in ("server_version", "synchronous_commit", "fsync"):
            found[f"postgres {setting}"] = made.execute(f"SHOW {setting}").strip("[()]',")
    return found


def report(asked: argparse.Namespace, records: list[Record], settings: dict[str, Any]) -> None:
    """Print what each engine was run with, and the table; write what is to be written."""
    lines = rows(records)
    used = {
        f"{each['engine']} {each['database']} {each['scenario']}": each["settings"]
        for each in records
        if each["engine"] not in {FLOOR, OURS} or each["settings"]
    }
    text = "\n".join(f"- {name}: `{json.dumps(given)}`" for name, given in used.items())
    table = markdown(lines)
    aimed = [row for row in lines if row.target is not None]
    passed = f"{sum(bool(row.is_reached) for row in aimed)} of {len(aimed)} targets reached."
    print(f"{text}\n\n{json.dumps(settings, indent=2)}\n\n{table}\n\n{passed}")
    if asked.json is not None:
        found = {"settings": settings, "table": as_records(lines), "runs": records}
        asked.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if asked.readme:
        readme = HERE / "README.md"
        told = ", ".join(f"{name} {value}" for name, value in settings.items())
        content = f"{told}.\n\n{table}\n\n{passed}\n\nThe peers' settings, and ours where they are not the defaults:\n\n{text}"
        readme.write_text(put_between(readme.read_text(encoding="utf-8"), "latest table", content), encoding="utf-8")


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", action="append", choices=DATABASES)
    parser.add_argument("--only", action="append", choices=[*SCENARIOS, ALONE], help="may be repeated")
    parser.add_argument("--engine", action="append", choices=(FLOOR, OURS, "wheel", "dbos", "dbos-full"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, help="begin nothing after so long, but finish the first round")
    parser.add_argument("--quick", action="store_true", help="small sizes, for a quick look")
    parser.add_argument("--tune", action="store_true", help="look for the peers' best settings")
    parser.add_argument("--json", type=Path, help="write every run, and the table, into this file")
    parser.add_argument("--readme", action="store_true", help="put the table and the settings into README.md")
    return parser


def main() -> None:
    asked = _parser().parse_args()
    asked.database = asked.database or list(DATABASES)
    asked.only = asked.only or [*SCENARIOS, ALONE]
    with databases(str(venv_python("ours"))) as made:
        if asked.tune:
            tune(asked, made)
            return
        begun = time.monotonic()
        records: list[Record] = []
        try:
            records.extend(compare(asked, made))
        finally:
            # Whoever interrupts it has what there is.
            report(asked, records, surroundings(asked, made, time.monotonic() - begun))


if __name__ == "__main__":
    main()
