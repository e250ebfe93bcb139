"""
How single values that JSON does not know are written in JSON: a text, or a number, per class.

Rule 1: what one release writes, the next one reads. The representations below are part of the stored format.

Rule 2: nothing is guessed. A text is not taken for a number, a number not for a text.
"""

from __future__ import annotations

import base64

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from .._nouns import frozen


_MICROSECOND = timedelta(microseconds=1)


class Unwritable(TypeError):
    """A value that cannot be written; it learns its path on the way up."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self._path = ""

    def inside(self, place: str) -> Unwritable:
        """Say that it happened in *place* of what holds it: ``.name``, ``[0]``."""
        self._path = place + self._path
        return self

    def __str__(self) -> str:
        return f"${self._path} {self.args[0]}"


@frozen
class Representation:
    """How the values of a class are written, and read from what was written."""

    write: Callable[[Any], Any]
    read: Callable[[Any, Any], object]
    #: Other classes whose values may stand in a field of this one: written in the same way, and read as this one.
    also: tuple[type, ...] = ()
    #: What JSON has for it.
    shape: type = str


def exactly(value: Any, kind: type) -> Any:
    """Return *value*, which must be of *kind* and of no class derived from it: True is no int."""
    if type(value) is not kind:
        msg = f"expected {kind.__name__}, found {type(value).__name__}"
        raise TypeError(msg)
    return value


def _text(
    write: Callable[[Any], str], read: Callable[[str, Any], object], *, also: tuple[type, ...] = ()
) -> Representation:
    def read_text(value: Any, kind: Any) -> object:
        text = exactly(value, str)
        try:
            return read(text, kind)
        except ArithmeticError as error:  # what Decimal raises for a text that is no number
            msg = f"{text!r} is not a {kind.__name__}"
            raise ValueError(msg) from error

    return Representation(write, read_text, also)


def _write_time(value: time) -> str:
    if value.tzinfo is not None and value.utcoffset() is None:
        msg = f"is {value!r}, whose offset from UTC depends on the date. Use a datetime, or a time without a zone."
        raise Unwritable(msg)
    return value.isoformat()


def _write_bytes(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _made_of(text: str, kind: Any) -> object:
    return kind(text)


def _from_iso(text: str, kind: Any) -> object:
    return kind.fromisoformat(text)


def _read_bytes(text: str, kind: Any) -> object:
    content = base64.b64decode(text, validate=True)
    return content if kind is bytes else kind(content)


def _read_timedelta(value: Any, kind: Any) -> object:
    microseconds = exactly(value, int)
    return _MICROSECOND * microseconds if kind is timedelta else kind(microseconds=microseconds)


def _read_path(value: Any, kind: Any) -> PurePath:
    text = exactly(value, str)
    # What ran elsewhere may have been a WindowsPath; a hint for the concrete class is a hint for a path.
    return Path(text) if issubclass(kind, Path) else kind(text)


#: By class; a derived class is written as the first of its bases that is here, and read as itself.
REPRESENTATIONS: Mapping[type, Representation] = {
    Decimal: _text(str, _made_of, also=(int, float, str)),
    UUID: _text(str, _made_of, also=(str,)),
    datetime: _text(datetime.isoformat, _from_iso),
    date: _text(date.isoformat, _from_iso),
    time: _text(_write_time, _from_iso),
    bytes: _text(_write_bytes, _read_bytes, also=(bytearray, memoryview)),
    bytearray: _text(_write_bytes, _read_bytes, also=(bytes, memoryview)),
    memoryview: _text(_write_bytes, _read_bytes, also=(bytes, bytearray)),
    timedelta: Representation(lambda value: value // _MICROSECOND, _read_timedelta, shape=int),
    PurePath: Representation(str, _read_path, also=(str,)),
}


def representation_of(kind: type) -> Representation | None:
    """Return how values of *kind* are written; None if JSON knows it, or nobody does."""
    return next((REPRESENTATIONS[base] for base in kind.__mro__ if base in REPRESENTATIONS), None)
