"""
`frozen` and `define` of attrs, for classes that are made whenever a process starts, and for what a turn makes by the dozen.

attrs compiles `__init__`, `__repr__`, `__eq__` and `__hash__` for each class. A process that starts pays for all of them,
and calls few: so only `__init__` is compiled here, and the others are shared. They answer what those of attrs would, and
are no slower.

A `noun` is frozen for the type checker alone. attrs freezes a class by having `__setattr__` raise, so that its own
`__init__` must go around it, field by field, which was a quarter of the cost of a turn.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

import attrs


__all__ = ["define", "frozen", "noun", "values_of"]


def values_of(names: Iterable[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what gets the values of the fields *names* of an object, all at once."""
    several = tuple(names)
    if len(several) > 1:
        return attrgetter(*several)
    if not several:
        return lambda _: ()
    get = attrgetter(*several)
    return lambda value: (get(value),)


def _lean(make: Callable[..., Any], *, is_hashable: bool) -> Callable[..., Any]:
    """Return *make*, which is ``attrs.frozen`` or ``attrs.define``, with shared methods."""

    def decorate(cls: type | None = None, /, *, eq: bool = True, order: bool = False, **options: Any) -> Any:
        if cls is None:
            return lambda cls: decorate(cls, eq=eq, order=order, **options)
        own = frozenset(vars(cls))
        # To be ordered is to be equal or not, which attrs then sees to.
        made = make(cls, eq=order, order=order, repr=False, getstate_setstate=False, **options)
        shared = _SHARED | (_comparison(made, is_hashable=is_hashable) if eq and not order else {})
        for name, method in shared.items():
            if name not in own:
                setattr(made, name, method)
        return made

    return decorate


@recursive_repr("...")
def _show(noun: Any) -> str:
    """What attrs would say."""
    name = type(noun).__qualname__.rpartition(">.")[2]
    shown = (each.name for each in attrs.fields(type(noun)) if each.repr)
    return f"{name}({', '.join(f'{each}={getattr(noun, each, attrs.NOTHING)!r}' for each in shown)})"


def _state(noun: Any) -> dict[str, Any]:
    return {each.name: getattr(noun, each.name) for each in attrs.fields(type(noun))}


def _restore(noun: Any, state: dict[str, Any]) -> None:
    for each in attrs.fields(type(noun)):
        if each.name in state:
            object.__setattr__(noun, each.name, state[each.name])


#: How every noun is shown, and pickled.
_SHARED: dict[str, Any] = {"__repr__": _show, "__getstate__": _state, "__setstate__": _restore}


def _equals(noun: Any, other: Any) -> Any:
    content = noun._compared  # noqa: SLF001  # given to each class below
    return content(noun) == content(other) if other.__class__ is noun.__class__ else NotImplemented


def _digest(noun: Any) -> int:
    return hash((noun.__class__, noun._compared(noun)))  # noqa: SLF001  # likewise


def _comparison(cls: Any, *, is_hashable: bool) -> dict[str, Any]:
    """Return how instances of *cls* compare: with their own kind, by those fields that count."""
    names = [each.name for each in attrs.fields(cls) if each.eq]
    content: Callable[[Any], Any] = attrgetter(*names) if names else type
    return {"_compared": content, "__eq__": _equals, "__hash__": _digest if is_hashable else None}


if TYPE_CHECKING:
    # All that a checker has to know.
    from attrs import define, frozen
    from attrs import frozen as noun
else:
    define = _lean(attrs.define, is_hashable=False)
    frozen = _lean(attrs.frozen, is_hashable=True)
    noun = _lean(attrs.define, is_hashable=True)
