"""
What the engine makes by the dozen in every turn: frozen for the type checker, and cheap to make.

attrs freezes a class by having `__setattr__` raise, so that its own `__init__` must go around it, field by field, which
was a fifth of the cost of a turn. Here nothing keeps running code from assigning to a field; mypy does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, Any


if TYPE_CHECKING:
    from attrs import frozen
else:
    from attrs import define

    frozen = partial(define, unsafe_hash=True)


__all__ = ["frozen", "values_of"]


def values_of(names: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets the values of the fields *names* of an object, all at once."""
    several = tuple(names)
    if len(several) > 1:
        return attrgetter(*several)
    return lambda value: tuple([getattr(value, name) for name in several])
