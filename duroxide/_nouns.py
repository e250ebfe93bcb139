"""
`frozen` and `define` of attrs, for classes that are made whenever a process starts.

attrs makes `__init__`, `__repr__`, `__eq__`, `__hash__` and others for each class. A process that starts pays for all of
them, and calls few: so only `__init__` is made here, and the others are shared. They answer what those of attrs would, but
take up to twice as long: keys of the hot path say ``attrs.frozen``.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

import attrs


__all__ = ["define", "frozen"]


@recursive_repr("...")
def _show(noun: Any) -> str:
    name = type(noun).__qualname__.rpartition(">.")[2]
    shown = (each.name for each in attrs.fields(type(noun)) if each.repr)
    return f"{name}({', '.join(f'{each}={getattr(noun, each, attrs.NOTHING)!r}' for each in shown)})"


def _equals(noun: Any, other: Any) -> Any:
    content = noun._compared  # noqa: SLF001  # given to each class below
    return content(noun) == content(other) if other.__class__ is noun.__class__ else NotImplemented


def _digest(noun: Any) -> int:
    return hash((noun.__class__, noun._compared(noun)))  # noqa: SLF001  # likewise


def _state(noun: Any) -> dict[str, Any]:
    return {each.name: getattr(noun, each.name) for each in attrs.fields(type(noun))}


def _restore(noun: Any, state: dict[str, Any]) -> None:
    for each in attrs.fields(type(noun)):
        if each.name in state:
            object.__setattr__(noun, each.name, state[each.name])


#: What every noun has: how it is shown, and pickled.
_SHARED = {"__repr__": _show, "__getstate__": _state, "__setstate__": _restore}


def _lean(make: Callable[..., Any], **comparison: Callable[..., Any] | None) -> Callable[..., Any]:
    """Return *make*, which is ``attrs.frozen`` or ``attrs.define``, with shared methods: *comparison*, and others."""

    def decorate(cls: type | None = None, /, *, eq: bool = True, order: bool = False, **options: Any) -> Any:
        if cls is None:
            return lambda cls: decorate(cls, eq=eq, order=order, **options)
        own = frozenset(vars(cls))
        # What is ordered is also compared by attrs.
        made = make(cls, eq=order, order=order, repr=False, getstate_setstate=False, **options)
        shared: dict[str, Any] = dict(_SHARED)
        if eq and not order:
            names = [each.name for each in attrs.fields(made) if each.eq]
            # What takes those fields together that count when two are compared.
            shared |= {"_compared": attrgetter(*names) if names else type, **comparison}
        for name, method in shared.items():
            if name not in own:
                setattr(made, name, method)
        return made

    return decorate


if TYPE_CHECKING:
    # All that a checker has to know.
    from attrs import define, frozen
else:
    define = _lean(attrs.define, __eq__=_equals, __hash__=None)
    frozen = _lean(attrs.frozen, __eq__=_equals, __hash__=_digest)
