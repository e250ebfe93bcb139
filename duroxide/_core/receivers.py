"""
Values to JSON's own types for a receiver whose annotation is known: a function that is called, or what waits for a result.

Rule: a value is written by its own type, and what does not fit is for the receiver to refuse, who may be newer. Here it is
refused only if it would arrive as something else without anybody noticing.
"""

from __future__ import annotations

import functools
import typing

from enum import Enum
from typing import Any

from .hints import is_type_alias, is_union, unwrapped
from .texts import representation_of
from .writing import Ambiguous, Unwritable, UnwritableKey, Writer, hinted, write


_PLAIN = (str, int, float, bool)


def write_for(value: Any, hint: Any) -> Any:
    """
    Return *value* in JSON's types, with such keys as *hint* allows.

    Raises:
        Unwritable: If it cannot be written, or would be read as another member of a union in *hint*.

        TypeError: If a class of the user's raised something else.
    """
    try:
        try:
            tree = write(value)
        except UnwritableKey:
            return hinted(hint)(value)
        check = _check_of(hint)
        if check is not None:
            check(value)
    except (Unwritable, RecursionError):
        raise
    except Exception as error:  # properties and hooks of user classes may raise anything
        msg = f"{type(error).__name__}: {error}"
        raise TypeError(msg) from error
    return tree


@functools.cache
def _check_of(hint: Any) -> Writer | None:
    """Return what refuses values that a union in *hint* would be read of as another of its members; None: nothing would be."""
    if not _has_mixed_union(hint):
        return None
    write_hinted = hinted(hint)

    def check(value: Any) -> None:
        try:
            write_hinted(value)
        except Ambiguous:
            raise
        except Unwritable:
            return

    return check


def _has_mixed_union(hint: Any, within: tuple[object, ...] = ()) -> bool:
    """Whether there is a union in *hint* of a plain type and one that is written as a plain value: ``Decimal | str``."""
    hint = unwrapped(hint)
    if is_type_alias(hint):
        return hint not in within and _has_mixed_union(hint.__value__, (*within, hint))
    members = [unwrapped(member) for member in typing.get_args(hint)]
    if is_union(hint) and any(member in _PLAIN for member in members) and any(map(_is_written_plainly, members)):
        return True
    return any(_has_mixed_union(member, within) for member in members)


def _is_written_plainly(hint: Any) -> bool:
    return isinstance(hint, type) and (issubclass(hint, Enum) or representation_of(hint) is not None)
