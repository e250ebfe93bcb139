"""Values that survive being written as JSON and read again."""

from __future__ import annotations

from typing import Any, TypeVar

from hypothesis import strategies as st

from ..._core.payloads import decode, encode


T = TypeVar("T")

# A pair of surrogates is one character in JSON, so a lone one is what can be kept.
TEXTS = st.text() | st.sampled_from(["\0", "😀", "\ud800", "a\udfffb", '"\\', "\u2028"])
_PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def payloads(kind: Any = Any) -> st.SearchStrategy[Any]:
    """
    Draw values that an activity or orchestration may take or return, and that come back equal.

    Args:
        kind: The type that its signature says: a class with annotated fields, ``list[int]``, and so on. By default
            values of JSON's own kinds. A class of which Hypothesis cannot make one, since a field is annotated `Any`
            for example, needs ``hypothesis.strategies.register_type_strategy(cls, ...)`` first.
    """
    if kind is Any:
        return _PLAIN
    return st.from_type(kind).filter(lambda value: _comes_back(value, kind))


def _comes_back(value: object, kind: object) -> bool:
    """Whether *value* is equal to what is read back; what cannot be written (NaN) is none."""
    try:
        return bool(decode(encode(value, where="it", type_=kind), kind, where="it") == value)
    except (ValueError, ArithmeticError):  # a signalling NaN cannot even be compared
        return False
