"""Which timers a runtime remembers, for the short way round."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._runtime import timers as timers_module
from duroxide._runtime.timers import Timers
from duroxide.testing.conformance.vocabulary import first_turn, timer


FEW = 8
LATE = 10_000


def remembered(due: Sequence[int]) -> Timers:
    """Timers that are due at *due*, set in this order by one instance each."""
    timers = Timers()
    for number, at_ms in enumerate(due):
        timers.add(first_turn(f"i-{number}", messages=(timer(f"i-{number}", 2, at_ms),)))
    return timers


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few be many."""
    monkeypatch.setattr(timers_module, "MOST_TIMERS", FEW)


@given(st.lists(st.integers(0, 100), max_size=FEW))
def test_in_order(due: list[int]) -> None:
    """All of them come when they are due, the earliest first, as many at a time as are wanted."""
    timers = remembered(due)
    found = [each.fire_at_ms for each in timers.take_due(50, 3)]
    found += [each.fire_at_ms for each in timers.take_due(50, FEW)]

    assert sorted(each for each in due if each <= 50) == found


@given(st.lists(st.integers(0, LATE), max_size=5 * FEW))
def test_bounded(due: list[int]) -> None:
    """However many are set, few are remembered."""
    assert len(remembered(due).take_due(LATE, LATE)) <= FEW


def test_soon_ones_come_in() -> None:
    """Timers that are due in a month do not keep out one that is due now."""
    timers = remembered([LATE] * 3 * FEW + [1])

    assert [1] == [each.fire_at_ms for each in timers.take_due(1, FEW)]
