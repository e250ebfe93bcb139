"""Payloads, type by type: what comes back is what was sent, or it is refused with its path."""

from __future__ import annotations

import collections
import dataclasses
import enum
import re
import typing

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Final, Generic, Literal, NewType, Optional, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import cattrs.gen
import pydantic
import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._core.payloads import decode, encode
from duroxide.errors import PayloadError
from duroxide.testing.strategies.payloads import TEXTS


K = TypeVar("K")
Number = NewType("Number", int)


@dataclasses.dataclass
class Base:
    n: int


@dataclasses.dataclass
class Sub(Base):
    m: int = 1


@dataclasses.dataclass
class Same(Base):
    """Has no more fields than its base."""


@attrs.frozen
class AttrsBase:
    n: int


@attrs.frozen
class AttrsSub(AttrsBase):
    m: int = 1


class ModelBase(pydantic.BaseModel):
    n: int


class ModelSub(ModelBase):
    m: int = 1


class ModelHolder(pydantic.BaseModel):
    b: ModelBase


class NamedHolder(typing.NamedTuple):
    b: Base
    by_number: dict[int, str]


@dataclasses.dataclass
class Node:
    a: int
    c: Node | None = None


# As without `from __future__ import annotations`: the names in quotes are inside of a type.
Inner = dataclasses.make_dataclass(
    "Inner",
    [("a", int), ("c", Optional["Inner"], None), ("kids", list["Inner"], dataclasses.field(default_factory=list))],
)
AttrsInner = attrs.make_class(
    "AttrsInner", {"a": attrs.field(type=int), "kids": attrs.field(type=list["AttrsInner"], factory=list)}
)
Inner.__module__ = AttrsInner.__module__ = __name__


@dataclasses.dataclass
class Leaf:
    v: int


@dataclasses.dataclass
class Branch:
    left: Leaf | Branch
    right: Leaf | Branch


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: int
    next: Slotted | None = None


@attrs.define
class Private:
    _x: int
    y: int = attrs.field(default=1, alias="why")
    z: int = attrs.field(init=False, default=3)


@attrs.define
class Converted:
    x: int = attrs.field(converter=int)


@dataclasses.dataclass
class Derived:
    n: int
    kind: ClassVar[str] = "derived"
    total: int = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        self.total = self.n + 1


@dataclasses.dataclass
class Cached:
    n: int
    seen: int = dataclasses.field(init=False, default=0, compare=False)


@dataclasses.dataclass
class Scaled:
    n: int
    scale: dataclasses.InitVar[int] = 1

    def __post_init__(self, scale: int) -> None:
        self.n *= scale


@dataclasses.dataclass
class NeedsScale:
    n: int
    scale: dataclasses.InitVar[int]


@dataclasses.dataclass
class Box(Generic[K]):
    x: K
    by_key: dict[K, int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class IntBox(Box[int]):
    pass


@attrs.frozen
class Defaults:
    x: int = 1


NEW = cattrs.gen.override(omit_if_default=True)


@attrs.frozen
class Grown:
    x: int
    y: Annotated[int, NEW] = 0
    z: Annotated[list[int], NEW] = attrs.Factory(list)
    w: Annotated[int, NEW] = attrs.Factory(lambda self: self.x + 1, takes_self=True)


@dataclasses.dataclass
class GrownData:
    x: int
    y: Annotated[int, NEW] = 0
    z: Annotated[list[int], NEW] = dataclasses.field(default_factory=list)
    next: Annotated[GrownData | None, NEW] = None


# Not as a class: with annotations as texts, it would not see that a key is not required.
Entry = typing.TypedDict("Entry", {"price": Decimal, "children": typing.NotRequired[list["Entry"]]})  # noqa: UP013  # see above


class Color(enum.Enum):
    RED = 1
    BLUE = "blue"
    PAIR = (1, 2)


class Permission(enum.Flag):
    READ = 1
    WRITE = 2


class Kind(enum.StrEnum):
    BIG = "big"


class Level(enum.IntEnum):
    LOW = 1


class Rate(Decimal, enum.Enum):
    HALF = "0.5"


class Alike(enum.Enum):
    TUPLE = (1,)
    LIST = [1]  # noqa: RUF012  # another value than a tuple, and written like one


class Amount(Decimal):
    pass


class Moment(datetime):
    pass


class Span(timedelta):
    pass


class Blob(bytes):
    pass


class NamedBox(typing.NamedTuple, Generic[K]):
    x: K


class Name(str):
    __slots__ = ()


class Count(int):
    pass


class Ratio(float):
    pass


def holder(hint: object) -> Any:
    """Return a class with one field that is annotated so."""
    return dataclasses.make_dataclass("Holder", [("x", hint)])


def round_trip(value: Any, kind: Any) -> Any:
    return decode(encode(value, where="it"), kind, where="it")


def refusal(value: Any) -> str:
    with pytest.raises(PayloadError) as caught:
        encode(value, where="it")
    return str(caught.value)


class TestDerivedClasses:
    @pytest.mark.parametrize(
        ("value", "hint", "path", "lost"),
        [
            (Sub(1, 2), Base, "$.x", "m"),
            (AttrsSub(1, 2), AttrsBase, "$.x", "m"),
            (ModelSub(n=1, m=2), ModelBase, "$.x", "m"),
            ([Base(0), Sub(1, 2)], list[Base], "$.x[1]", "m"),
            ((Sub(1),), tuple[Base, ...], "$.x[0]", "m"),
            ((1, Sub(1)), tuple[int, Base], "$.x[1]", "m"),
            ({"k": Sub(1)}, dict[str, Base], "$.x.k", "m"),
            ({1: Sub(1)}, dict[int, Base], "$.x.1", "m"),
            (Sub(1), Base | None, "$.x", "m"),
            ([None, [Sub(1)]], list[list[Base | None] | None], "$.x[1][0]", "m"),
            (Sub(1), Base | AttrsBase, "$.x", "m"),
            (Sub(1), Annotated[Base, "note"], "$.x", "m"),
            (Sub(1), Final[Base], "$.x", "m"),
        ],
        ids=repr,
    )
    def test_cut(self, value, hint, path, lost):
        """A value of which its annotation would read less is refused: path, types, what would be lost, remedy."""
        message = refusal(holder(hint)(value))

        assert f"{path} is of type" in message
        assert f"without {lost}. Annotate it with each class that it may be" in message

    def test_in_named_tuple(self):
        """The members of a named tuple are looked at, too."""
        assert "$[0] is of type" in refusal(NamedHolder(Sub(1), {}))

    def test_in_model(self):
        """What pydantic would cut is refused."""
        message = refusal([ModelHolder(b=ModelSub(n=1, m=2))])

        assert "$[0].b is of a class derived from its annotation, and pydantic would write it without m" in message

    @pytest.mark.parametrize("hint", [Base | Sub, list[Base | Sub], dict[str, Sub | Base | None], object, Any])
    @given(st.integers(), st.integers())
    def test_remedy(self, hint, n, m):
        """Annotated with each class that it may be, both come back; unannotated, all is written."""
        for value in (Base(n), Sub(n, m)):
            content = {"list": [value], "dict": {"k": value}}.get(getattr(hint, "__name__", ""), value)
            sent = holder(hint)(content)
            text = encode(sent, where="it")
            if hint in (object, Any):
                assert text == encode({"x": dataclasses.asdict(value)}, where="it")
            else:
                assert decode(text, type(sent), where="it") == sent

    def test_top(self):
        """The value itself is written by its own type: its receiver decides what to read."""
        assert encode(Sub(1, 2), where="it") == '{"n":1,"m":2}'
        assert decode('{"n":1,"m":2}', Base, where="it") == Base(1)

    def test_same_fields(self):
        """A derived class without fields of its own loses nothing."""
        assert encode(holder(Base)(Same(1)), where="it") == '{"x":{"n":1}}'


trees = st.recursive(
    st.builds(Inner, st.integers()),
    lambda inner: st.builds(Inner, st.integers(), st.none() | inner, st.lists(inner, max_size=3)),
    max_leaves=6,
)
branches = st.recursive(st.builds(Leaf, st.integers()), lambda inner: st.builds(Branch, inner, inner), max_leaves=6)


class TestRecursion:
    @given(trees)
    def test_names_in_quotes(self, tree):
        """A dataclass may contain itself, by its name in quotes inside of a type."""
        assert tree == round_trip(tree, Inner)
        assert [tree] == round_trip([tree], list[Inner])

    @given(branches)
    def test_unions(self, tree):
        """Classes may contain each other."""
        kind = holder(Leaf | Branch)

        assert kind(tree) == round_trip(kind(tree), kind)

    @pytest.mark.parametrize(
        "value",
        [Node(1, Node(2)), AttrsInner(1, [AttrsInner(2)]), Slotted(1, Slotted(2))],
        ids=lambda v: type(v).__name__,
    )
    def test_more(self, value):
        """Annotations in quotes as a whole, attrs classes, and slots."""
        assert value == round_trip(value, type(value))

    @pytest.mark.parametrize("value", [Base(1), AttrsBase(1), NamedHolder(Base(1), {1: "a"}), {Color.BLUE}])
    def test_object(self, value):
        """A field annotated object takes what Any takes."""
        assert encode(holder(object)(value), where="it") == encode(holder(Any)(value), where="it")


if typing.TYPE_CHECKING:
    from fractions import Fraction


class Hidden(typing.NamedTuple):
    x: Fraction


@dataclasses.dataclass
class HiddenField:
    x: Fraction


@pytest.mark.parametrize("kind", [Hidden, HiddenField])
def test_hidden_names(kind):
    """A name that is not there at run time is not taken for Any, and the error says where it should be."""
    with pytest.raises(PayloadError, match=r"name 'Fraction' is not defined, and .* nor under 'if TYPE_CHECKING:'"):
        round_trip(kind(Decimal(1)), kind)


class Parcel(typing.TypedDict):
    weight: Decimal
    sent: typing.NotRequired[date]


class Crate(Parcel, total=False):
    label: typing.Required[str]
    inside: Crate


class TestMarkedKeys:
    """Annotations are texts here, so that the classes themselves do not know which of their keys are marked."""

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            ({"weight": Decimal(1)}, Parcel),
            ({"weight": Decimal(1), "sent": date(2020, 1, 1)}, Parcel),
            ({"weight": Decimal(1), "label": "a", "inside": {"weight": Decimal(2), "label": "b"}}, Crate),
        ],
    )
    def test_left_out(self, value, kind):
        """Keys that need not be there may be left out, wherever they are inherited from."""
        assert value == round_trip(value, kind)

    @pytest.mark.parametrize(
        ("value", "kind", "key"),
        [
            ({"sent": date(2020, 1, 1)}, Parcel, "$.weight"),
            ({"weight": Decimal(1)}, Crate, "$.label"),
            ({"weight": Decimal(1), "label": "a", "inside": {"weight": Decimal(2)}}, Crate, "$.inside.label"),
        ],
    )
    def test_missing(self, value, kind, key):
        """Those that must be there are asked for."""
        with pytest.raises(PayloadError, match=re.escape(f"is missing @ {key}")):
            round_trip(value, kind)


class TestGrownClasses:
    @pytest.mark.parametrize("kind", [Grown, GrownData])
    def test_default(self, kind):
        """A new field that is left out while it has its default changes nothing of what was written before."""
        assert encode(kind(1), where="it") == '{"x":1}'
        assert kind(1) == decode('{"x":1}', kind, where="it")

    @pytest.mark.parametrize("value", [Grown(1, 2, [3], 5), GrownData(1, 2, [3], GrownData(4))])
    def test_others(self, value):
        """Any other value is written."""
        assert value == round_trip(value, type(value))
        assert '"y":2,"z":[3]' in encode(value, where="it")


class TestTypes:
    @pytest.mark.parametrize(
        ("value", "hint"),
        [
            ((1, "a"), tuple[int, str]),
            ((1, 2), tuple[int, ...]),
            ({1, 2}, set[int]),
            (frozenset({"a"}), frozenset[str]),
            (collections.deque([1]), collections.deque[int]),
            (collections.Counter(a=1), collections.Counter[str]),
            (collections.OrderedDict(a=1), dict[str, int]),
            ({1: "a"}, dict[int, str]),
            ({1.5: "a"}, dict[float, str]),
            ({Number(1): "a"}, dict[Number, str]),
            ({Color.RED: 1, Color.BLUE: 2}, dict[Color, int]),
            ({Level.LOW: 1}, dict[Level, int]),
            ({Kind.BIG: 1}, dict[Kind, int]),
            ({UUID(int=1): 1}, dict[UUID, int]),
            ({date(2020, 1, 1): 1}, dict[date, int]),
            (Color.RED, Color),
            (Color.PAIR, Color),
            (Color.BLUE, Color | None),
            (Permission.READ | Permission.WRITE, Permission),
            (Kind.BIG, Kind),
            (Kind.BIG, str),
            (Level.LOW, int),
            (Name("a"), Name),
            (Name("a"), str),
            (Count(1), Count),
            (Ratio(1.5), Ratio),
            (Decimal("1.10"), Decimal | None),
            (Decimal("-Infinity"), Decimal),
            (datetime(2020, 1, 1, tzinfo=UTC), datetime),
            (datetime(2020, 6, 1, tzinfo=ZoneInfo("UTC")), datetime),
            (time(1, tzinfo=UTC), time),
            (timedelta.max, timedelta),
            (b"\0\xff", bytes),
            (PurePosixPath("/a"), PurePosixPath),
            ({"price": Decimal(1), "children": [{"price": Decimal(2)}]}, Entry),
            (Number(1), Number),
            (1, Annotated[int, "note"]),
            (1, Final[int]),
            (Color.RED, Literal[Color.RED]),
            ("a", Literal["a", "b"]),
            ([None, [None, 1]], list[list[int | None] | None]),
            (Box(1, {1: 2}), Box[int]),
            (Box("a", {"a": 2}), Box[str]),
            (IntBox(1, {1: 2}), IntBox),
            (NamedHolder(Base(1), {1: "a"}), NamedHolder),
            (Base(1), Base | str),
            (Leaf(1), Leaf | Base | None),
            (Rate.HALF, Rate),
            (Amount(1), Amount),
            (Moment(2020, 1, 1), Moment),
            (Span(1), Span),
            (Blob(b"a"), Blob),
            (NamedBox(Decimal(1)), NamedBox[Decimal]),
            (Base(1), Base | list[Base]),
            ([Base(1)], Base | list[Base]),
            ({1: "a"}, dict[int, str] | list[int]),
            ({"a": 1}, Base | dict[str, int]),
            (date(2020, 1, 1), date | int | None),
            (UUID(int=1), UUID | Decimal),
            (Color.PAIR, Color | Leaf),
            ([1], typing.Iterable[int]),
            ([1], typing.Collection[int]),
            (1, K),
            (None, type(None)),
            ([None], list[None]),
            (Box(None), Box[None]),
        ],
        ids=repr,
    )
    def test_fields(self, value, hint):
        """In a field with this annotation it comes back, equal and of the same class."""
        kind = holder(hint)

        read = round_trip(kind(value), kind)

        assert kind(value) == read
        assert hint in (str, int) or type(value) in (type(read.x), collections.OrderedDict)

    @pytest.mark.parametrize(
        "value",
        [
            Private(1),
            Private(1, why=2),
            Converted("1"),
            Derived(1),
            Cached(1),
            Scaled(2, 3),
            Box("a"),
            Defaults(),
            Slotted(1),
        ],
        ids=repr,
    )
    def test_classes(self, value):
        """Private names, aliases, converters, class variables, derived fields, InitVar, slots."""
        kind = Box[str] if isinstance(value, Box) else type(value)

        assert value == round_trip(value, kind)

    def test_left_out(self):
        """A field that __init__ does not take and that is not compared is no part of the value."""
        cached = Cached(1)
        cached.seen = 5

        assert encode(cached, where="it") == '{"n":1}'

    @given(st.integers())
    def test_not_taken_by_init(self, total):
        """A field that __init__ does not take is refused once it is not what __init__ makes it."""
        value = Derived(1)
        value.total = total

        if total == Derived(1).total:
            assert value == round_trip(value, Derived)
        else:
            assert f"$.total is {total}, and when it is read, __init__" in refusal(value)

    @pytest.mark.parametrize(
        ("value", "hint", "reason"),
        [
            (
                datetime(2020, 1, 1, 3, tzinfo=UTC),
                date,
                "$.x is of type datetime.datetime, and its annotation is datetime.date",
            ),
            (Decimal(1), Decimal | str, "is written as '1', and would be read as str"),
            (timedelta(1), timedelta | int, "would be read as int"),
            (Color.RED, Color | int, "would be read as int"),
            (Decimal(1), str, "its annotation is str"),
            ([date(2020, 1, 1)], typing.Iterable[date | str], "would be read as str"),
            ("ab", typing.Collection[str], "its annotation is typing.Collection[str]"),
            (timedelta(1), int, "its annotation is int"),
            (5, timedelta, "$.x is of type int"),
            (5, timedelta | None, "$.x is of type int"),
            ("abcd", bytes, "$.x is of type str"),
            ("abcd", bytes | None, "$.x is of type str"),
            (1, Color, "$.x is of type int"),
            ((1, 2, 3), tuple[int, int], "it has 2 members"),
            ("ab", list[str], "its annotation is list[str]"),
            ("ab", set[str], "its annotation is set[str]"),
            ({"a": 1}, list[str], "its annotation is list[str]"),
            ({"1": 1}, dict[int, int], "$.x.1 is of type str"),
            ({1: 1}, dict[int | str, int], "has the key 1 of type int"),
            ({True: 1}, dict[int, int], "has the key True of type bool"),
            ({float("nan"): 1}, dict[float, int], "has the key nan"),
            ({UUID(int=1): 1, str(UUID(int=1)): 2}, dict, "has two keys that are both written as"),
            (time(1, tzinfo=ZoneInfo("Europe/Berlin")), time, "whose offset from UTC depends on the date"),
            ({"price": Decimal(1), "other": Decimal(2)}, Entry, "the TypedDict has no such key"),
            ({"n": 1}, Base, "$.x is of type dict"),
            (1 + 2j, complex, "$.x is of type complex. Supported are"),
            ([float("inf")], list[float], "$.x[0] is inf"),
            (NeedsScale(1, 2), NeedsScale, "cannot be made of its fields again"),
        ],
        ids=repr,
    )
    def test_refused(self, value, hint, reason):
        """What would be read as something else is refused where it is sent."""
        assert reason in refusal(holder(hint)(value))

    @pytest.mark.parametrize(
        ("text", "kind", "reason"),
        [
            ('"ab"', list[str], "expected list, found str"),
            ('"ab"', tuple[str, str], "expected list, found str"),
            ('"ab"', set[str], "expected list, found str"),
            ('"ab"', collections.deque[str], "expected list, found str"),
            ('"ab"', typing.Sequence[str], "expected list, found str"),
            ('{"a":1}', list[str], "expected list, found dict"),
            ('{"a":1}', list, "expected list, found dict"),
            ('[["a",1]]', dict, "expected dict, found list"),
            ("[]", Defaults, "expected dict, found list"),
            ('"y"', Defaults, "expected dict, found str"),
            ("[1]", tuple[int, int], "expected 2 members, found 1"),
            ('"2020-01-01"', date | datetime, "it may be each of datetime.date | datetime.datetime"),
            ('{"n":1}', Base | dict[str, int], "it may be each of"),
            ("1.5", Base | list[int], "expected"),
            ('"x"', UUID | Decimal, "not decimal.Decimal, since"),
            ("1", typing.Self, "nothing is known of how to read typing.Self"),
            ("[1]", Alike, "two members of Alike are written alike"),
            ('[1,"x"]', tuple[int, int], "expected int, found str @ $[1]"),
            ("9007199254740993", float, "which no float is equal to"),
            ('{"z":1}', Leaf | Base, "it cannot be decoded as"),
        ],
    )
    def test_not_guessed(self, text, kind, reason):
        """A text is not taken for a list, nor a list for a dict or a class."""
        with pytest.raises(PayloadError) as caught:
            decode(text, kind, where="it")

        assert reason in str(caught.value)

    @given(st.dictionaries(st.integers() | TEXTS, st.integers(), max_size=4))
    def test_keys(self, mapping):
        """No key is lost, and none changes its type: all or nothing."""
        kind = holder(dict[int, int])
        if all(isinstance(key, int) for key in mapping):
            assert mapping == round_trip(kind(mapping), kind).x
        else:
            refusal(kind(mapping))

    def test_numbers_for_texts(self):
        """A number or a text in a field annotated Decimal is written as the Decimal that it will be."""
        kind = holder(Decimal)

        assert encode(kind(5), where="it") == '{"x":"5"}'
        assert round_trip(kind(5), kind) == kind(Decimal(5))
