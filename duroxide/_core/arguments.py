"""
Whether an argument is of the kind that it should be.

Rule: what is none is refused at the call that gave it, with its name, the value and what to give instead. What is one
costs next to nothing, since orchestration code calls this at each of its steps.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from attrs import Attribute

from ..errors import InvalidInput


#: The largest number that databases store.
MAX_INTEGER = 2**63 - 1

#: Where the classes are from whose objects stand for a type: ``list[int]``, ``int | None``, ``Literal["a"]``.
_HOMES_OF_HINTS = ("types", "typing", "typing_extensions", "collections.abc")


def check_str(what: str, value: object) -> None:
    """
    Refuse a *value* that is no text. Any text will do: this is for what is stored as JSON, or not at all.

    Args:
        what: What it is, for the error: ``"reason of a cancellation"``.

        value: The argument.

    Raises:
        InvalidInput: If it is no str.
    """
    if not isinstance(value, str):
        msg = f"{what} is {value!r}: give a str."
        raise InvalidInput(msg)


def check_bool(what: str, value: object) -> None:
    """
    Refuse a *value* that is neither True nor False: ``"no"`` would count as true, and 0 may be a forgotten number.

    Raises:
        InvalidInput: If it is no bool.
    """
    if not isinstance(value, bool):
        msg = f"{what} is {value!r}: give True or False."
        raise InvalidInput(msg)


def is_bool(_: object, attribute: Attribute[Any], value: object) -> None:
    """Refuse what `check_bool` refuses: a validator of attrs."""
    check_bool(attribute.name, value)


def check_count(what: str, count: object, *, least: int = 1, most: int | None = None) -> None:
    """
    Refuse a *count* that is no int from *least* to *most*.

    Raises:
        InvalidInput: If it is none.
    """
    is_int = isinstance(count, int) and not isinstance(count, bool)
    if not is_int or count < least or (most is not None and count > most):  # type: ignore[operator]
        up_to = "" if most is None else f" to {most}"
        msg = f"{what} is {count!r}: use an int from {least}{up_to}."
        raise InvalidInput(msg)


def text_set(what: str, texts: Collection[str], *, content: str) -> frozenset[str]:
    """
    Return *texts* as a set. What is in it is for its user to check.

    Args:
        what: What it is, for the error: ``"ids"``.

        texts: The argument.

        content: What is in it, for the error: ``"instance ids"``.

    Raises:
        InvalidInput: If it is a single text, no collection, or has in it what cannot be in a set.
    """
    example = repr(texts) if isinstance(texts, str) else "'...'"
    try:
        if not isinstance(texts, str):
            return frozenset(texts)
    except TypeError:
        pass
    msg = f"{what} is {texts!r}: use a collection of {content}, e.g. [{example}]."
    raise InvalidInput(msg)


def check_type(type_: object) -> None:
    """
    Refuse what cannot be a type to decode into: a name, a function, a value. None says nothing, and is allowed.

    Raises:
        InvalidInput: If *type_* is neither a class nor a hint of the `typing` kind.
    """
    if type_ is None or isinstance(type_, type) or type(type_).__module__ in _HOMES_OF_HINTS:
        return
    msg = f"type is {type_!r}, which is no type: give a class or a type hint, like int, Order or list[Order]."
    raise InvalidInput(msg)
