"""Scenarios in a fresh interpreter each: nothing is warm, and what a process used is what the scenario used."""

from __future__ import annotations

import json
import subprocess
import sys

from typing import Any

from attrs import asdict, frozen

from .measuring import Figures, Stopwatch, use_so_far
from .places import Place
from .scenario import Bench, Options, Scenario, Sizes
from .scenarios import BY_NAME


@frozen
class Run:
    """One run of a scenario."""

    figures: Figures
    wall_s: float
    #: Of the scenario and the processes it started, without importing; None where the platform does not say.
    cpu_s: float | None
    peak_mb: float | None


class ScenarioFailed(Exception):
    """The process of a scenario ended without figures; what it said is in the message."""


def run_in_child(scenario: Scenario, place: Place, sizes: Sizes, options: Options, *, timeout: float) -> Run:
    """
    Run *scenario* in a process of its own.

    Raises:
        ScenarioFailed: If it has no figures to show, or none within *timeout* seconds.
    """
    task = {"name": scenario.name, "place": asdict(place), "sizes": dict(sizes), "options": dict(options)}
    command = [sys.executable, "-m", "duroxide.bench.children", json.dumps(task)]
    try:
        child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout)  # noqa: S603  # our own
    except subprocess.TimeoutExpired:
        message = f"scenario {scenario.name!r} with {dict(sizes)} was not done within {timeout:g} s (--timeout)"
        raise ScenarioFailed(message) from None
    if child.returncode:
        message = f"scenario {scenario.name!r} with {dict(sizes)} ended with {child.returncode}:\n{child.stderr}"
        raise ScenarioFailed(message)
    if child.stderr:
        # Warnings of the runtime are worth seeing: something went slower than it could.
        sys.stderr.write(child.stderr)
    return Run(**json.loads(child.stdout.splitlines()[-1]))


def run_here(task: dict[str, Any]) -> Run:
    """Run the scenario that *task* names, in this process."""
    bench = Bench(Place(**task["place"]), task["sizes"], task["options"])
    before, watch = use_so_far(), Stopwatch()
    figures = BY_NAME[task["name"]].run(bench)
    wall_s, after = watch.seconds(), use_so_far()
    cpu_s = None if after.cpu_s is None or before.cpu_s is None else after.cpu_s - before.cpu_s
    return Run(figures, wall_s, cpu_s, after.peak_mb)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(run_here(json.loads(sys.argv[1])))) + "\n")
