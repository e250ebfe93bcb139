"""Results as JSON, and as a table for people."""

from __future__ import annotations

import json
import statistics

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import asdict, frozen

from .children import Run
from .scenario import Sizes


#: From here on, a fraction says nothing.
_WHOLE = 100


@frozen
class Spread:
    """One figure over all runs."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of *values*."""
        return cls(min(values), statistics.median(values), max(values))


@frozen
class Result:
    """All runs of one scenario with the same sizes."""

    scenario: str
    sizes: Sizes
    runs: Sequence[Run]

    @property
    def spreads(self) -> dict[str, Spread]:
        """The figures, then seconds, CPU seconds and memory, over all runs."""
        names = self.runs[0].figures
        spreads = {name: Spread.of([run.figures[name] for run in self.runs]) for name in names}
        for name in ("cpu_s", "peak_mb"):
            known = [value for run in self.runs if (value := getattr(run, name)) is not None]
            if known:
                spreads[name] = Spread.of(known)
        return spreads

    @property
    def label(self) -> str:
        """The scenario and its sizes."""
        return label(self.scenario, self.sizes)


def label(scenario: str, sizes: Sizes) -> str:
    """Return how a scenario of these sizes is called."""
    return f"{scenario} {' '.join(f'{name}={value}' for name, value in sizes.items())}"


def as_json(results: Iterable[Result], settings: Mapping[str, Any]) -> str:
    """Return everything that is known."""
    found = [
        {
            "scenario": result.scenario,
            "sizes": dict(result.sizes),
            "summary": {name: asdict(spread) for name, spread in result.spreads.items()},
            "runs": [asdict(run) for run in result.runs],
        }
        for result in results
    ]
    return json.dumps({"settings": settings, "results": found}, indent=2) + "\n"


def write_json(file: Path, results: Iterable[Result], settings: Mapping[str, Any]) -> None:
    """Write everything that is known into *file*."""
    file.write_text(as_json(results, settings), encoding="utf-8")


def settings_lines(settings: Mapping[str, Any]) -> str:
    """Return *settings* for people."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def result_lines(result: Result) -> str:
    """Return the figures of *result*, one to a line; with several runs, the median and what it lies between."""
    lines = [result.label]
    for name, spread in result.spreads.items():
        between = "" if len(result.runs) == 1 else f"   ({number(spread.min)} to {number(spread.max)})"
        lines.append(f"  {name:<24}{number(spread.median):>12}{between}")
    return "\n".join(lines)


#: Columns of the summary, and how the names of the figures end that stand there.
_COLUMNS = {"p50 ms": "p50_ms", "p95 ms": "p95_ms", "p99 ms": "p99_ms", "CPU s": "cpu_s", "peak MB": "peak_mb"}


def summary_table(results: Iterable[Result]) -> str:
    """Return one line for each of *results*, as Markdown: its most important figure, latencies, CPU and memory; medians."""
    heads = ["scenario", "figure", "median", "min", "max", *_COLUMNS]
    lines = [f"| {' | '.join(heads)} |", f"| --- | --- |{' ---: |' * (len(heads) - 2)}"]
    for result in results:
        spreads = result.spreads
        name, main = next(iter(spreads.items()))
        others = [
            next((found for each, found in spreads.items() if each.endswith(end)), None) for end in _COLUMNS.values()
        ]
        cells = [number(value) for value in (main.median, main.min, main.max)]
        cells += ["" if found is None else number(found.median) for found in others]
        lines.append(f"| {' | '.join([result.label, name, *cells])} |")
    return "\n".join(lines)


def number(value: float) -> str:
    """Return *value* with the three digits that say something."""
    if value == 0 or abs(value) >= _WHOLE:
        return f"{value:,.0f}"
    return f"{value:.3g}"
