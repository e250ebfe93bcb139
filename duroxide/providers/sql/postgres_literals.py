"""
Values as Postgres reads them in the text of a statement: single ones, and arrays with the values of many rows.

By hand, because psycopg's own way, in Python and with a look at the type of each element, takes longer than
everything that the server then does with it. A column at a time, because strings are fast and loops are not.

Rule: values get into a text by way of this file, and by no other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .statements import Values, declared


#: Between the texts of a column while they are escaped all at once; no database takes it as a part of one.
_BETWEEN = "\0"


def literal(value: str | int | None) -> str:
    """Return *value* as SQL: a text as ``E'…'``, in which a backslash means the same whatever the settings."""
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return "E'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
    return str(value)


def array_literals(columns: str, rows: Sequence[Values]) -> list[str]:
    """Return *rows* (at least one) column by column, each as the literal of an array for ``unnest``."""
    if len(rows) == 1:
        return [_single(value) for value in rows[0]]
    arrays = [
        _ARRAYS[kind](column) for (_, kind), column in zip(declared(columns), zip(*rows, strict=True), strict=True)
    ]
    return ["NULL" if array is None else f"E'{{{array}}}'" for array in arrays]


def _single(value: str | int | None) -> str:
    """Return an array of one element: that of a turn which is committed alone, as most are, needs none of the rest."""
    if value is None:
        return "NULL"
    return f"'{{{value}}}'" if isinstance(value, int) else f"E'{{\"{_escaped(value)}\"}}'"


def _texts(column: Sequence[str | None]) -> str | None:
    """Return the inside of an array of texts; None: they are all NULL, and ``unnest`` fills up what is missing."""
    first, length = column[0], len(column)
    if column.count(first) == length:
        return None if first is None else _repeated(f'"{_escaped(first)}"', length)
    if None not in column:
        joined = _BETWEEN.join(column)  # type: ignore[arg-type]  # none is None
        if joined.count(_BETWEEN) == length - 1:
            return '"' + _escaped(joined).replace(_BETWEEN, '","') + '"'
    return ",".join(["NULL" if text is None else f'"{_escaped(text)}"' for text in column])


def _escaped(text: str) -> str:
    """Return *text* as an array in ``E'…'`` has it: escaped once for the array, and once more for the literal."""
    return text.replace("\\", "\\\\\\\\").replace('"', '\\\\"').replace("'", "''")


def _numbers(column: Sequence[int | None]) -> str | None:
    """Return the inside of an array of numbers, as `_texts` does."""
    first, length = column[0], len(column)
    if column.count(first) == length:
        return None if first is None else _repeated(str(first), length)
    if None not in column:
        return str(column)[1:-1]
    return ",".join(["NULL" if number is None else str(number) for number in column])


def _repeated(element: str, times: int) -> str:
    return f"{element}," * (times - 1) + element


_ARRAYS: Mapping[str, Callable[[Sequence[Any]], str | None]] = {"text": _texts, "bigint": _numbers}
