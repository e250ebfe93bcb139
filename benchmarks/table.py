"""From runs to medians, ratios, and whether what is aimed at is reached; as records and as Markdown."""

from __future__ import annotations

import statistics

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from plan import ABSOLUTE, ALONE, FLOOR, OURS, OWN, RATIOS, SCENARIOS, Record, Scenario, reached


@dataclass(frozen=True)  # the interpreter that compares has no attrs
class Row:
    """One line of the table."""

    database: str
    scenario: str
    engine: str
    figure: str
    #: None: no run went well.
    median: float | None
    min: float | None
    max: float | None
    #: Ours is so many times as good as this engine; the median over rounds.
    ratio: float | None
    #: What is aimed at: a ratio, or for ours the figure itself.
    target: float | None
    at_most: bool
    #: Medians of what else is known: p95_ms, p99_ms, cpu_s, peak_mb.
    also: dict[str, float]
    runs: int
    failures: int

    @property
    def is_reached(self) -> bool | None:
        """Whether the target is reached; None if there is none, or nothing to compare with."""
        if self.target is None:
            return None
        value = self.median if self.engine == OURS else self.ratio
        if value is None:
            return False if self.engine == OURS else None
        return reached(value, self.target, less_is_better=self.at_most)


def rows(records: list[Record]) -> list[Row]:
    """Return the lines for all *records*."""
    found: list[Row] = []
    for database, name in dict.fromkeys((each["database"], each["scenario"]) for each in records):
        own = [each for each in records if (each["database"], each["scenario"]) == (database, name)]
        found += _alone(database, own) if name == ALONE else _compared(database, SCENARIOS[name], own)
    return found


def _compared(database: str, scenario: Scenario, records: list[Record]) -> Iterator[Row]:
    values: dict[str, dict[int, float]] = {}
    for each in records:
        if each["figures"] is not None:
            figure = "activities_per_s" if each["engine"] == FLOOR else scenario.figure
            values.setdefault(each["engine"], {})[each["round"]] = each["figures"][figure]
    activities = {
        each["round"]: each["figures"]["activities_per_s"]
        for each in records
        if each["engine"] == OURS and each["figures"] is not None and scenario.with_floor
    }
    for engine in dict.fromkeys(each["engine"] for each in records):
        found = values.get(engine, {})
        failures = sum(1 for each in records if each["engine"] == engine and each["figures"] is None)
        ours = activities if engine == FLOOR else values.get(OURS, {})
        is_ours = engine == OURS
        target = ABSOLUTE.get((scenario.name, database)) if is_ours else RATIOS.get((scenario.name, engine, database))
        yield _row(
            found,
            [each["figures"] for each in records if each["engine"] == engine and each["figures"] is not None],
            database=database,
            scenario=scenario.name,
            engine=engine,
            figure="activities_per_s" if engine == FLOOR else scenario.figure,
            ratio=None if is_ours else _ratio(ours, found, less_is_better=scenario.less_is_better),
            target=target,
            at_most=is_ours and scenario.less_is_better,
            failures=failures,
        )


def _alone(database: str, records: list[Record]) -> Iterator[Row]:
    for own in OWN:
        if database not in own.databases:
            continue
        name = f"{own.label} {own.figure}"
        figures = {each["round"]: each["figures"][name] for each in records if each["figures"].get(name) is not None}
        if not any(name in each["figures"] for each in records):
            continue
        yield _row(
            figures,
            [],
            database=database,
            scenario=own.label,
            engine=OURS,
            figure=own.figure,
            ratio=None,
            target=own.limit,
            at_most=own.less_is_better,
            failures=sum(1 for each in records if name in each["figures"]) - len(figures),
        )


#: Columns of the table, and the figures that stand there.
_ALSO = {"p95 ms": "p95_ms", "p99 ms": "p99_ms", "CPU s": "cpu_s", "peak MB": "peak_mb"}


def _row(found: dict[int, float], runs: list[dict[str, float]], **rest: Any) -> Row:
    also = {
        name: statistics.median(run[name] for run in runs)
        for name in _ALSO.values()
        if runs and all(name in run for run in runs)
    }
    known = list(found.values())
    if not known:
        return Row(median=None, min=None, max=None, also=also, runs=0, **rest)
    return Row(median=statistics.median(known), min=min(known), max=max(known), also=also, runs=len(found), **rest)


def _ratio(ours: dict[int, float], theirs: dict[int, float], *, less_is_better: bool) -> float | None:
    """Return the median over the rounds in which both have a figure."""
    pairs = [(ours[number], value) for number, value in theirs.items() if number in ours]
    ratios = [(their / our) if less_is_better else (our / their) for our, their in pairs]
    return statistics.median(ratios) if ratios else None


_HEADS = [
    "database",
    "scenario",
    "engine",
    "median",
    "min",
    "max",
    *_ALSO,
    "ours is … times as good",
    "target",
    "reached",
]
_HEAD = f"| {' | '.join([*_HEADS, 'failed'])} |\n| --- | --- | --- |{' ---: |' * (len(_HEADS) - 3)} ---: |"


def markdown(lines: list[Row]) -> str:
    """Return the table as it stands in README.md."""
    return "\n".join([_HEAD, *(_line(row) for row in lines)])


def _line(row: Row) -> str:
    sign = "≤" if row.at_most else "≥"
    columns = (
        row.database,
        f"{row.scenario} ({row.figure})",
        row.engine,
        *("" if value is None else f"{value:.4g}" for value in (row.median, row.min, row.max)),
        *(f"{row.also[name]:.3g}" if name in row.also else "" for name in _ALSO.values()),
        "" if row.ratio is None else f"{row.ratio:.2f}",
        "" if row.target is None else f"{sign} {row.target:g}",
        {None: "", True: "yes", False: "**no**"}[row.is_reached],
        str(row.failures or ""),
    )
    return f"| {' | '.join(columns)} |"


def put_between(text: str, name: str, content: str) -> str:
    """Return the Markdown *text* with *content* in its place called *name*, in stead of what was there."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        msg = f"there is no place between {begin!r} and {end!r} to put the table in"
        raise ValueError(msg)
    return f"{before}{begin}\n\n{content}\n\n{end}{after}"


def as_records(lines: list[Row]) -> list[dict[str, Any]]:
    """Return *lines* for JSON."""
    return [{**asdict(row), "reached": row.is_reached} for row in lines]
