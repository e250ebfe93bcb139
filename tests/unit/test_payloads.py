"""Payloads: users' values survive, and what cannot is refused where it is sent."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import subprocess
import sys
import typing

from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import attrs
import pydantic
import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._core.payloads import decode, encode
from duroxide.errors import PayloadError
from duroxide.testing.strategies.payloads import TEXTS, payloads


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1


class Kind(enum.StrEnum):
    BIG = "big"


class Point(typing.NamedTuple):
    x: Decimal
    label: str


@attrs.frozen
class Item:
    name: str
    price: Decimal
    color: Color = Color.RED


@dataclasses.dataclass(frozen=True)
class Order:
    id: UUID
    items: list[Item]
    by_count: dict[int, Item]
    by_color: dict[Color, str]
    tags: frozenset[str]
    at: datetime
    day: date
    clock: time
    took: timedelta
    raw: bytes
    pair: tuple[int, str]
    many: tuple[Decimal, ...]
    either: int | str | None
    path: PurePosixPath


class Model(pydantic.BaseModel):
    id: UUID
    names: set[str]
    raw: bytes


decimals = st.decimals(allow_nan=False)
zones = st.sampled_from([None, UTC, timezone(timedelta(hours=-3, minutes=-30))])
items = st.builds(Item, TEXTS, decimals, st.sampled_from(Color))
orders = st.builds(
    Order,
    st.uuids(),
    st.lists(items, max_size=3),
    st.dictionaries(st.integers(), items, max_size=3),
    st.dictionaries(st.sampled_from(Color), TEXTS),
    st.frozensets(TEXTS, max_size=3),
    st.datetimes(timezones=zones),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.binary(max_size=20),
    st.tuples(st.integers(), TEXTS),
    st.lists(decimals, max_size=3).map(tuple),
    st.none() | st.integers() | TEXTS,
    st.just(PurePosixPath("/a/b")),
)


def round_trip(value, type_):
    return decode(encode(value, where="here", type_=type_), type_, where="here")


class TestRoundTrip:
    @given(payloads())
    def test_plain(self, value):
        """Plain JSON values come back as they were, and the text is ASCII."""
        assert value == round_trip(value, Any)
        assert encode(value, where="here").isascii()

    @given(orders)
    def test_typed(self, order):
        """Values of all supported types come back through the type hint."""
        assert order == round_trip(order, Order)
        assert [order] == round_trip([order], list[Order])

    @pytest.mark.parametrize(
        ("value", "type_"),
        [
            (Level.LOW, Level),
            (Kind.BIG, Kind),
            (Point(Decimal("1.0"), "a"), Point),
            (Path("/a"), Path),
            ({1, 2}, set[int]),
            (b"\0\xff", bytes),
            (bytearray(b"x"), bytearray),
            (1, float),
            (None, None),
            (None, int | None),
            ({2: {Color.BLUE: "x"}}, dict[int, dict[Color, str]]),
            ({1.5: 1}, dict[float, int]),
            ({UUID(int=5): 1}, dict[UUID, int]),
            ([1], object),
            (collections.OrderedDict(a=1), dict[str, int]),
            (Model(id=UUID(int=1), names={"a"}, raw=b"x"), Model),
            ([Model(id=UUID(int=1), names={"a"}, raw=b"x")], list[Model]),
        ],
        ids=repr,
    )
    def test_more_types(self, value, type_):
        """Everything that the documentation lists comes back."""
        assert value == round_trip(value, type_)

    def test_sets_have_an_order(self):
        """Equal sets give equal TEXTS, in every process."""
        assert encode({"b", "c", "a"}, where="here") == '["a","b","c"]'


@attrs.frozen
class LooksUp:
    """Does not find what it is made of."""

    key: str

    def __attrs_post_init__(self) -> None:
        {}[self.key]


class TestRefusals:
    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            (math.nan, "input of type float cannot be encoded: $ is nan, and JSON has no such number"),
            ({"a": [1, -math.inf]}, "$.a[1] is -inf, and JSON has no such number"),
            ((math.inf,), "$[0] is inf"),
            ({1: 2}, "$ has the key 1 of type int, and JSON has only str keys"),
            ({None: 2}, "$ has the key None of type NoneType"),
            ({"a": (object(),)}, "$.a[0] is of type object. Supported are"),
            (Model, "Supported are"),
            (len, "Supported are"),
        ],
    )
    def test_encode(self, value, reason):
        """What JSON has no place for is refused with its path."""
        with pytest.raises(PayloadError) as caught:
            encode(value, where="input")

        assert reason in str(caught.value)

    def test_cycle(self):
        """A value that contains itself is refused."""
        value: list[Any] = []
        value.append(value)

        with pytest.raises(PayloadError, match="contains itself"):
            encode(value, where="input")

    @pytest.mark.parametrize(
        ("text", "type_", "reason"),
        [
            ('"5"', int, "cannot be decoded as int: expected int, found str @ $"),
            ("5", str, "expected str, found int"),
            ("1.5", int, "expected int, found float"),
            ("true", int, "expected int, found bool"),
            ("null", str, "expected str, found NoneType"),
            ("NaN", float, "NaN is not a JSON number"),
            ("{", Any, "input is not JSON"),
            ("[" * 100_000, Any, "input is not JSON"),
            ("[1]", list[str], "expected str, found int @ $[0]"),
            ('{"name":"x"}', Item, "required field 'price' is missing @ $.price"),
            ('{"name":"x","price":"y"}', Item, "'y' is not a Decimal @ $.price"),
            ('{"key":"x"}', LooksUp, "as tests.unit.test_payloads.LooksUp: KeyError: 'x' @ $."),
            ("{}", LooksUp, "required field 'key' is missing @ $.key"),
            ('{"x":1}', dict[int, int], "cannot be decoded as dict[int, int]"),
            ("{}", Model, "Model"),
        ],
    )
    def test_decode(self, text, type_, reason):
        """What does not fit the type is refused with its path."""
        with pytest.raises(PayloadError) as caught:
            decode(text, type_, where="input")

        assert reason in str(caught.value)


class TestImports:
    def test_plain_values_need_no_cattrs(self):
        """Plain values and writing never load cattrs, which takes 60 ms, and nothing ever loads pydantic."""
        program = """
import json, sys
from duroxide._core.payloads import decode, encode
decode(encode({"a": [1, "x", None]}, where="x"), dict, where="x")
before = "cattrs" in sys.modules
text = encode({1}, where="x")
before = before or "cattrs" in sys.modules
decode(text, set[int], where="x")
print(json.dumps([before, "cattrs" in sys.modules, "pydantic" in sys.modules]))
"""
        command = [sys.executable, "-c", program]
        output = subprocess.run(command, capture_output=True, check=True, text=True).stdout

        assert json.loads(output) == [False, True, False]
