"""The law of payloads, for generated annotations: what is written comes back as what it was, or somebody says why not."""

from __future__ import annotations

import dataclasses
import enum

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, Literal, NamedTuple, TypeAlias
from uuid import UUID

import attrs
import pydantic

from hypothesis import given
from hypothesis import strategies as st

from duroxide._core.payloads import decode, encode
from duroxide.errors import PayloadError


class Color(enum.Enum):
    RED = "red"
    TWO = 2


class Cat(pydantic.BaseModel):
    lives: int
    kind: Literal["cat"] = "cat"


class Dog(pydantic.BaseModel):
    full_name: str = pydantic.Field(alias="fullName")
    kind: Literal["dog"] = "dog"


@attrs.frozen
class Price:
    amount: Decimal
    until: date | None = None


@dataclasses.dataclass(frozen=True)
class Item:
    price: Price
    count: int = 1


class Pair(NamedTuple):
    x: int
    y: UUID | None = None


#: A type, and its values.
Typed: TypeAlias = tuple[Any, st.SearchStrategy[Any]]

decimals = st.decimals(allow_nan=False)
prices = st.builds(Price, decimals, st.none() | st.dates())
LEAVES: list[Typed] = [
    (int, st.integers()),
    (str, st.text(max_size=3) | st.sampled_from(["1", "2020-01-01", "AA=="])),
    (bool, st.booleans()),
    (float, st.floats(allow_nan=False, allow_infinity=False)),
    (type(None), st.none()),
    (Decimal, decimals),
    (UUID, st.uuids()),
    (date, st.dates()),
    (datetime, st.datetimes(timezones=st.just(UTC) | st.none()).map(lambda moment: moment.replace(fold=0))),
    (timedelta, st.timedeltas()),
    (bytes, st.binary(max_size=3)),
    (Color, st.sampled_from(Color)),
    (Cat, st.builds(Cat, lives=st.integers())),
    (Dog, st.builds(Dog, fullName=st.text(max_size=3))),
    (Price, prices),
    (Item, st.builds(Item, prices, st.integers())),
    (Pair, st.builds(Pair, st.integers(), st.none() | st.uuids())),
]


def containers(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    """Types that have others in them."""
    return st.one_of(
        inner.map(lambda each: (list[each[0]], st.lists(each[1], max_size=2))),
        inner.map(lambda each: (Iterable[each[0]], st.lists(each[1], max_size=2))),
        inner.map(lambda each: (tuple[each[0], ...], st.lists(each[1], max_size=2).map(tuple))),
        inner.map(lambda each: (dict[str, each[0]], st.dictionaries(st.text(max_size=2), each[1], max_size=2))),
        inner.map(lambda each: (dict[UUID, each[0]], st.dictionaries(st.uuids(), each[1], max_size=2))),
        inner.map(lambda each: (dict[int, each[0]], st.dictionaries(st.integers(), each[1], max_size=2))),
        inner.map(lambda each: (each[0] | None, st.none() | each[1])),
        st.tuples(inner, inner).map(lambda both: (tuple[both[0][0], both[1][0]], st.tuples(both[0][1], both[1][1]))),
        st.tuples(inner, inner).map(lambda both: (both[0][0] | both[1][0], both[0][1] | both[1][1])),
    )


#: Any of them, in any containers.
TYPED = st.recursive(st.sampled_from(LEAVES), containers, max_leaves=4)


def holds(value: object, hint: Any) -> None:
    """It comes back as what it is, or is refused: by its sender, or by a receiver for whom it may be several things."""
    try:
        text = encode(value, where="it", type_=hint)
    except PayloadError:
        return
    try:
        read = decode(text, hint, where="it")
    except PayloadError as error:
        assert "it may be each of" in str(error)  # noqa: PT017  # any other reason would be a fault
        return

    assert value == read
    assert repr(value) == repr(read)


@given(TYPED, st.data())
def test_field(typed: Typed, data: st.DataObject) -> None:
    """In a field of a class."""
    hint, values = typed
    kind = dataclasses.make_dataclass("Holder", [("x", hint)])

    holds(kind(data.draw(values)), kind)


@given(TYPED, st.data())
def test_argument(typed: Typed, data: st.DataObject) -> None:
    """As the input of a function, or its result."""
    hint, values = typed

    holds(data.draw(values), hint)


@given(TYPED, st.data())
def test_unknown_receiver(typed: Typed, data: st.DataObject) -> None:
    """Knowing the receiver changes nothing in what is written: it is in histories, and replay compares it."""
    hint, values = typed
    value = data.draw(values)
    try:
        known, unknown = encode(value, where="it", type_=hint), encode(value, where="it")
    except PayloadError:
        return

    assert known == unknown
