"""What `cost.py` found, kept in a file, and as Markdown, with what was found before beside it."""

from __future__ import annotations

import json

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import cattrs

from attrs import frozen
from table import put_between


#: Figures for an activity, by what they are of.
Figures: TypeAlias = Mapping[str, Sequence[float]]

#: How a figure is written.
Form: TypeAlias = Callable[[float], str]


def _microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.0f}"


@frozen
class Columns:
    """How figures are shown."""

    #: What they are of.
    heads: Sequence[str]
    forms: Mapping[str, Form]
    #: The column that says whether there is anything to speak of, and from where on.
    telling: int
    least: float

    def matter(self, values: Sequence[float] | None) -> bool:
        """Whether *values* say something."""
        return values is not None and values[self.telling] >= self.least

    def cells(self, values: Sequence[float] | None) -> list[str]:
        """Return *values* as written."""
        if values is None:
            return [""] * len(self.forms)
        return [form(value) for form, value in zip(self.forms.values(), values, strict=True)]


_COUNTS = ("calls", "transactions", "statements", "rows written", "rows read", "of history")

#: By the attribute of a `Load`.
_COLUMNS = {
    "layers": Columns(("layer",), {"times": "{:.2f}".format, "µs": _microseconds, "µs of CPU": _microseconds}, 1, 1e-6),
    "calls": Columns(("call of the provider",), dict.fromkeys(_COUNTS, "{:.3f}".format), 0, 0.0005),
    "statements": Columns(
        ("statement", "in"), {"times": "{:.3f}".format, "rows": "{:.2f}".format, "µs": _microseconds}, 2, 1e-6
    ),
}


@frozen
class Load:
    """What chains cost, for each activity."""

    title: str
    #: Microseconds, with nobody watching.
    plain_us: float
    #: Times, seconds, seconds of CPU.
    layers: Figures
    #: Calls, transactions, statements, rows written, rows read, rows of history read.
    calls: Figures
    #: Times, rows, seconds.
    statements: Figures


@frozen
class IdleWay:
    """From start to result of one activity on an idle runtime."""

    p50_ms: float
    p95_ms: float
    #: The calls of the middle one, in order of time, as lines of a table.
    lines: Sequence[str]


@frozen
class Cost:
    """All that was found about one kind of database."""

    loads: Sequence[Load]
    idle: IdleWay


#: By the kind of database.
Costs: TypeAlias = Mapping[str, Cost]


def save(file: Path, costs: Costs) -> None:
    """Write *costs* into *file*."""
    file.write_text(json.dumps(cattrs.unstructure(costs), indent=1) + "\n", encoding="utf-8")


def load(file: Path) -> Costs:
    """Return what was saved in *file*."""
    return cattrs.structure(json.loads(file.read_text(encoding="utf-8")), dict[str, Cost])


def put_into_readme(text: str) -> None:
    """Put *text* where the cost stands in README.md."""
    readme = Path(__file__).parent / "README.md"
    readme.write_text(put_between(readme.read_text(encoding="utf-8"), "cost", text), encoding="utf-8")


def tables(costs: Costs, before: Costs) -> Iterator[str]:
    """Yield everything as Markdown."""
    for title, cost in costs.items():
        then = before.get(title)
        yield f"#### {title}"
        for position, now in enumerate(cost.loads):
            yield from _load(now, None if then is None else then.loads[position])
        yield from _idle(cost.idle, None if then is None else then.idle)


def _load(now: Load, then: Load | None) -> Iterator[str]:
    was = "" if then is None else f"; before {then.plain_us:.0f} µs"
    yield f"\n**For an activity, {now.title}: {now.plain_us:.0f} µs{was}.**\n"
    for kind, columns in _COLUMNS.items():
        yield from _table(columns, getattr(now, kind), None if then is None else getattr(then, kind))
        yield ""


def _table(columns: Columns, now: Figures, then: Figures | None) -> Iterator[str]:
    heads = list(columns.forms)
    if then is not None:
        heads = [*(f"{name}, before" for name in heads), *(f"{name}, after" for name in heads)]
    yield f"| {' | '.join([*columns.heads, *heads])} |"
    yield f"|{' --- |' * len(columns.heads)}{' ---: |' * len(heads)}"
    # What there was, and is no more, stands below what there is.
    for name in dict.fromkeys([*now, *(then or {})]):
        each = [now.get(name)] if then is None else [then.get(name), now.get(name)]
        if any(columns.matter(values) for values in each):
            yield f"| {' | '.join([name, *(cell for values in each for cell in columns.cells(values))])} |"


def _idle(now: IdleWay, then: IdleWay | None) -> Iterator[str]:
    was = "" if then is None else f"; before p50 {then.p50_ms:.2f} ms, p95 {then.p95_ms:.2f} ms"
    yield f"\n**From start to result of one activity, idle: p50 {now.p50_ms:.2f} ms, p95 {now.p95_ms:.2f} ms{was}.**"
    yield "The middle one of many, call by call:\n"
    yield from now.lines
    if then is not None:
        yield "\nBefore:\n"
        yield from then.lines
    yield ""
