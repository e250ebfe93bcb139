"""
Users' values to JSON text and back: what functions take and return, statuses, key-values, event data.

Rule 1: a value that cannot be written or read is a `PayloadError` at the call that caused it, which says where.

Rule 2: nothing is silently changed on the way: no NaN, no keys turned into text, no text taken for a number.

Plain JSON values (None, bool, int, float, str, lists and dicts of them) go the short way, without cattrs.
"""

from __future__ import annotations

import functools
import json
import math
import traceback as tracebacks

from collections.abc import Callable, Iterable
from json.encoder import encode_basestring_ascii
from typing import Any

from ..errors import PayloadError
from .names import name_of


_dumps = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode

#: Types that say nothing: plain JSON values come back as they are.
_UNTYPED = (Any, object)


def encode(value: object, *, where: str, type_: object = Any) -> str:
    """
    Return *value* as JSON text.

    Args:
        value: Any value of the supported types.

        where: What the value is, for errors: ``"input of activity 'charge'"``.

        type_: What the receiver is annotated with, if that is known: dicts may have such keys as it says, and it is no
            union of which what is written could be another member.

    Raises:
        PayloadError: If the value, or something in it, cannot be written as JSON.
    """
    writer = _SCALARS.get(type(value))
    try:
        if writer is not None:
            return writer(value)
        return _write(value if _is_plain(value) else _receivers().write_for(value, type_))
    except RecursionError as error:
        msg = f"{where} cannot be encoded: it contains itself, or is nested too deeply. Flatten it."
        raise PayloadError(msg) from error
    except (TypeError, ValueError) as error:
        msg = f"{where} of type {name_of(type(value))} cannot be encoded: {error}"
        raise PayloadError(msg) from error


def decode(text: str, type_: object, *, where: str) -> Any:
    """
    Return the value that *text* stands for, as *type_*.

    Args:
        text: What `encode` returned.

        type_: The type to decode into. Any or object: plain JSON values.

        where: What the value is, for errors: ``"input of activity 'charge'"``.

    Raises:
        PayloadError: If *text* is not JSON, or does not fit the type.
    """
    try:
        value, end = _scan(text, 0)
    except (ValueError, RecursionError, StopIteration):
        end = -1
    if end != len(text):
        # Not what we write: white space around it, or an error to report.
        value = _parse(text, where)
    if type_ in _UNTYPED or (type(value) is type_ and type_ in _PLAIN):
        return value
    if value is None and type_ in (None, type(None)):
        return None
    return _structure(value, type_, where)


# The short way: plain JSON values.


def _encode_float(value: float) -> str:
    if not math.isfinite(value):
        raise ValueError(_not_finite(value, "$"))
    return float.__repr__(value)


_SCALARS: dict[type, Callable[[Any], str]] = {
    str: encode_basestring_ascii,
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    float: _encode_float,
    type(None): lambda _: "null",
}

_PLAIN = (str, int, bool, float, dict, list)


def _is_plain(value: object) -> bool:
    """Whether *value* consists of exactly JSON's types. Not whether its numbers are finite."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and (type(v) in _SCALARS or _is_plain(v)) for key, v in value.items())  # type: ignore[attr-defined]
    if kind is list:
        return all(type(v) in _SCALARS or _is_plain(v) for v in value)  # type: ignore[attr-defined]
    return kind in _SCALARS


def _write(tree: object) -> str:
    try:
        return _dumps(tree)
    except ValueError as error:
        raise ValueError(_infinity_in(tree, "$") or error) from error


def _parse(text: str, where: str) -> Any:
    try:
        return _decode(text)
    except (ValueError, RecursionError) as error:
        msg = f"{where} is not JSON: {error}. The text begins {text[:80]!r}. Write it with duroxide, or as JSON text."
        raise PayloadError(msg) from error


def _refuse_constant(name: str) -> Any:
    msg = f"{name} is not a JSON number"
    raise ValueError(msg)


_decoder = json.JSONDecoder(parse_constant=_refuse_constant)
_decode = _decoder.decode
_scan: Callable[[str, int], tuple[Any, int]]
# Not decode(), which looks for white space around the text, with regular expressions; what we wrote has none.
_scan = _decoder.scan_once  # type: ignore[attr-defined]  # undocumented: what raw_decode() calls


# The long way: everything else; written here, and read by way of cattrs.


@functools.cache
def _receivers() -> Any:
    from . import receivers  # noqa: PLC0415  # many programs never need it

    return receivers


@functools.cache
def _converter() -> Any:
    from .converter import build_converter  # noqa: PLC0415  # cattrs takes 60 ms to import, and many never need it

    return build_converter()


def _infinity_in(value: object, path: str) -> str | None:
    """Return which number in *value* JSON has no place for, and at which path; None if there is none."""
    if isinstance(value, float) and not math.isfinite(value):
        return _not_finite(value, path)
    if isinstance(value, dict):
        return _first(_infinity_in(content, f"{path}.{key}") for key, content in value.items())
    if isinstance(value, list):
        return _first(_infinity_in(content, f"{path}[{index}]") for index, content in enumerate(value))
    return None


def _first(problems: Iterable[str | None]) -> str | None:
    return next((problem for problem in problems if problem is not None), None)


def _not_finite(value: float, path: str) -> str:
    return f"{path} is {value!r}, and JSON has no such number. Use None, or a str."


def _structure(value: object, type_: object, where: str) -> Any:
    converter = _converter()
    try:
        return converter.structure(value, type_)
    except Exception as error:  # validators of user classes may raise anything
        from cattrs import transform_error  # noqa: PLC0415  # loaded by now; see _converter()

        reasons = "; ".join(transform_error(error, path="$", format_exception=_reason))
        msg = (
            f"{where} cannot be decoded as {name_of(type_)}: {reasons}. The type hint of the receiving function must fit"
            " what was sent."
        )
        raise PayloadError(msg) from error


def _reason(error: BaseException, _: object) -> str:
    place = [frame.f_code.co_filename for frame, _ in tracebacks.walk_tb(error.__traceback__)][-1:]
    if isinstance(error, KeyError):  # cattrs' own, or one of a class of the user's
        is_field = "".join(place).startswith("<cattrs generated")
        return f"required field {error} is missing" if is_field else f"KeyError: {error}"
    if isinstance(error, NameError) and "".join(place).endswith(("<string>", "annotationlib.py")):
        return (
            f"{error}, and annotations are looked up in the module of their class: define or import it there, not in a"
            " function, nor under 'if TYPE_CHECKING:'"
        )
    if type(error).__name__ == "StructureHandlerNotFoundError":  # its own remedy is about cattrs
        return f"nothing is known of how to read {name_of(getattr(error, 'type_', None))}: annotate another type, or object"
    return f"{error}" or type(error).__name__
