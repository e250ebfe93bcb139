"""`_nouns.frozen` and `_nouns.define` are those of attrs, except for the time they take."""

from __future__ import annotations

import copy
import pickle

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from attrs import field

from duroxide import _nouns


MAKERS = [(attrs.frozen, _nouns.frozen), (attrs.define, _nouns.define)]


def classes(make: Callable[..., Any]) -> list[Any]:
    """Return classes of each shape that *make* makes."""

    @make
    class Empty:
        pass

    @make
    class One:
        value: object

    @make
    class Derived(One):
        more: int = 3

    @make
    class Selective:
        value: object
        secret: object = field(default="hidden", repr=False)
        ignored: object = field(default="ignored", eq=False)
        _private: int = 0

    @make(order=True)
    class Ordered:
        value: object

    @make(eq=False)
    class Identity:
        value: object = None

    @make(kw_only=True)
    class Named:
        value: object

    @make
    class Outspoken:
        value: object

        def __repr__(self) -> str:
            return "mine"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    return [Empty, One, Derived, Selective, Ordered, Identity, Named, Outspoken]


def instances(make: Callable[..., Any]) -> list[Any]:
    """Return instances, some of which are equal."""
    empty, one, derived, selective, ordered, identity, named, outspoken = classes(make)
    recursive = one([])
    recursive.value.append(recursive)
    return [
        empty(),
        empty(),
        one(1),
        one(1),
        one(2),
        one("text"),
        one(float("nan")),
        derived(1),
        derived(1, 4),
        recursive,
        selective(1),
        selective(1, secret=2),
        selective(1, ignored=2),
        selective(1, private=2),
        ordered(1),
        ordered(2),
        identity(),
        identity(),
        named(value=1),
        outspoken(1),
        outspoken(2),
    ]


def outcome(ask: Callable[[], object]) -> object:
    """Return the answer, or the class of what was raised."""
    try:
        return ask()
    except (TypeError, RecursionError) as error:
        return type(error)


def has_hash(noun: object) -> bool:
    """Whether *noun* can be a key, at least as far as its own class is concerned."""
    return type(noun).__hash__ is not None


@pytest.mark.parametrize(("make", "lean"), MAKERS, ids=["frozen", "define"])
class TestSameAsAttrs:
    def test_shows(self, make: Any, lean: Any) -> None:
        """A noun is shown as attrs shows it, private and hidden fields, derived classes and loops included."""
        assert [repr(each) for each in instances(lean)] == [repr(each) for each in instances(make)]

    def test_compares(self, make: Any, lean: Any) -> None:
        """The same pairs are equal, also with another class, and the same are not."""
        ours, theirs = instances(lean), instances(make)

        assert [[outcome(lambda a=a, b=b: a == b) for b in ours] for a in ours] == [
            [outcome(lambda a=a, b=b: a == b) for b in theirs] for a in theirs
        ]
        assert [a != 1 for a in ours] == [a != 1 for a in theirs]

    def test_sorts(self, make: Any, lean: Any) -> None:
        """Only those that were declared with an order have one."""
        assert [[outcome(lambda a=a, b=b: a < b) for b in instances(lean)] for a in instances(lean)] == [
            [outcome(lambda a=a, b=b: a < b) for b in instances(make)] for a in instances(make)
        ]

    def test_can_be_keys(self, make: Any, lean: Any) -> None:
        """The same classes can be keys, and equal nouns are one key."""
        ours, theirs = instances(lean), instances(make)

        assert [has_hash(each) for each in ours] == [has_hash(each) for each in theirs]
        hashable = [each for each in ours if has_hash(each) and outcome(lambda each=each: hash(each)) is not TypeError]
        assert all(hash(a) == hash(b) for a in hashable for b in hashable if type(a) is type(b) and a == b)

    def test_keeps_the_same_state(self, make: Any, lean: Any) -> None:
        """What is pickled or copied are the fields, by name; names that a class does not know are ignored."""
        theirs = [each.__getstate__() for each in instances(make) if "[" not in repr(each)]
        ours = [each.__getstate__() for each in instances(lean) if "[" not in repr(each)]
        empty = classes(lean)[1].__new__(classes(lean)[1])
        empty.__setstate__({"value": 1, "of_a_newer_release": 2})

        assert repr(theirs) == repr(ours)
        assert 1 == empty.value

    def test_have_the_same_shape(self, make: Any, lean: Any) -> None:
        """Slots, positions in patterns, fields and constructors are those of attrs."""
        ours, theirs = classes(lean), classes(make)

        assert [each.__slots__ for each in ours] == [each.__slots__ for each in theirs]
        assert [each.__match_args__ for each in ours] == [each.__match_args__ for each in theirs]
        assert [[f.name for f in attrs.fields(each)] for each in ours] == [
            [f.name for f in attrs.fields(each)] for each in theirs
        ]


@_nouns.frozen
class Parcel:
    """Something that can be pickled."""

    number: int
    content: tuple[str, ...] = ()


def test_survives_copies() -> None:
    """What was pickled, copied or evolved is equal to what it was made from, and the same key."""
    parcel = Parcel(1, ("book",))

    pickled = pickle.loads(pickle.dumps(parcel))  # noqa: S301  # our own, from just now
    evolved = attrs.evolve(Parcel(2, ("book",)), number=1)

    assert {parcel} == {parcel, pickled, copy.deepcopy(parcel), evolved}


def test_stays_frozen() -> None:
    """Nothing can be assigned."""
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        Parcel(1).number = 2  # type: ignore[misc]
