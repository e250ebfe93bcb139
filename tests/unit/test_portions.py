"""Portions: as much at once as is allowed, and no more."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from duroxide._core.portions import portions


COSTS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)))
MOST = (5, 3)


def total(portion: list[tuple[int, int]]) -> tuple[int, int]:
    """Return what *portion* costs, of each kind."""
    return sum(one for one, _ in portion), sum(other for _, other in portion)


def fits(portion: list[tuple[int, int]]) -> bool:
    """Whether *portion* costs no more than allowed."""
    return all(cost <= bound for cost, bound in zip(total(portion), MOST, strict=True))


@given(COSTS)
def test_all_of_them(items: list[tuple[int, int]]) -> None:
    """Everything is in one portion, in order; none is empty."""
    found = list(portions(items, lambda item: item, MOST))

    assert items == [item for portion in found for item in portion]
    assert all(found)


@given(COSTS)
def test_bounded(items: list[tuple[int, int]]) -> None:
    """A portion of several costs no more than allowed; one that is too large goes alone."""
    assert all(fits(portion) or len(portion) == 1 for portion in portions(items, lambda item: item, MOST))


@given(COSTS)
def test_as_large_as_can_be(items: list[tuple[int, int]]) -> None:
    """What begins a portion would have been too much for the one before."""
    found = list(portions(items, lambda item: item, MOST))

    assert not any(fits([*before, after[0]]) for before, after in pairwise(found))
