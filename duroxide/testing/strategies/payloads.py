"""Values that survive being written as JSON and read again."""

from __future__ import annotations

import functools
import operator
import types
import typing

from typing import Any, TypeVar

from hypothesis import strategies as st

from ..._core.hints import is_union, unwrapped
from ..._core.payloads import decode, encode


T = TypeVar("T")

# A pair of surrogates is one character in JSON, so a lone one is what can be kept.
TEXTS = st.text() | st.sampled_from(["\0", "😀", "\ud800", "a\udfffb", '"\\', "\u2028"])
_PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


class _Plain:
    """Stands for Any and object: of the one Hypothesis draws nothing, of the other whatever class it knows, for minutes."""


st.register_type_strategy(_Plain, _PLAIN)

#: What says nothing of its members, and would be drawn without any.
_BARE: dict[object, Any] = {list: list[Any], dict: dict[str, Any], tuple: tuple[Any, ...]}


def payloads(kind: Any = Any) -> st.SearchStrategy[Any]:
    """
    Draw values that an activity or orchestration may take or return, and that come back equal.

    Args:
        kind: The type that its signature says: a class with annotated fields, ``list[int]``, and so on. By default, and
            for ``Any`` and ``object`` in it, values of JSON's own kinds. A class of which Hypothesis cannot make one,
            since a field is annotated `Any` for example, needs ``hypothesis.strategies.register_type_strategy(cls, ...)``
            first.
    """
    if kind in (Any, object):
        return _PLAIN
    drawn = st.none() if kind is None else st.from_type(_drawable(kind))
    return drawn.filter(lambda value: _comes_back(value, kind))


def _drawable(kind: Any) -> Any:
    """Return *kind* with a type that Hypothesis knows for ``Any`` and ``object``."""
    kind = _BARE.get(kind, kind)
    if kind in (Any, object):
        return _Plain
    inner = unwrapped(kind)
    if inner is not kind:  # Annotated may say more, and Hypothesis goes by it
        drawable = _drawable(inner)
        return kind if drawable == inner else drawable
    arguments = typing.get_args(kind)
    changed = tuple(map(_drawable, arguments))
    if changed == arguments:
        return kind
    if is_union(kind):
        return functools.reduce(operator.or_, changed)
    return (
        kind.copy_with(changed) if hasattr(kind, "copy_with") else types.GenericAlias(typing.get_origin(kind), changed)
    )


def _comes_back(value: object, kind: object) -> bool:
    """Whether *value* is equal to what is read back; what cannot be written (NaN) is none."""
    try:
        return bool(decode(encode(value, where="it", type_=kind), kind, where="it") == value)
    except (ValueError, ArithmeticError):  # a signalling NaN cannot even be compared
        return False
