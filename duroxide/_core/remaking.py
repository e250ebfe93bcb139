"""
Whether what is written of an instance is enough to make it again: for classes that do not take all that they hold.

Rule: only classes with such fields are asked, since the answer is to make another instance.
"""

from __future__ import annotations

import typing

from collections.abc import Callable
from typing import Any

from .hints import fields_of, init_only_of
from .names import name_of
from .texts import Unwritable


def check_of(kind: Any) -> Callable[[Any], None] | None:
    """Return what refuses instances whose class would not make the same again of what is written."""
    cls = typing.get_origin(kind) or kind
    fields = fields_of(cls)
    if all(field.argument is not None for field in fields) and not init_only_of(cls):
        return None
    arguments = [(field.argument, field.name) for field in fields if field.argument is not None]
    compared = [field.name for field in fields if field.is_compared]

    def check(value: Any) -> None:
        try:
            again = cls(**{argument: getattr(value, name) for argument, name in arguments})
        except TypeError as error:
            msg = f"is of type {name_of(cls)}, which cannot be made of its fields again: {error}. Give these defaults."
            raise Unwritable(msg) from error
        for name in compared:
            before, after = getattr(value, name, None), getattr(again, name, None)
            has_equality = type(before).__eq__ is not object.__eq__  # type: ignore[comparison-overlap]  # a class may have its own
            if has_equality and before != after:
                msg = (
                    f"is {before!r}, and when it is read, __init__ of {name_of(cls)} makes {after!r} of it. Let __init__"
                    " take it, or leave it out of comparisons (compare=False, and with attrs eq=False)."
                )
                raise Unwritable(msg).inside(f".{name}")

    return check
