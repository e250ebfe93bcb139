"""Durations are understood, never shortened, and never overflow."""

from __future__ import annotations

import math

from datetime import timedelta

import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._core.durations import MAX_DURATION_MS, duration_ms, seconds_of, to_timedelta
from duroxide.errors import InvalidInput


class TestDurationMs:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (0, 0),
            (0.0, 0),
            (-0.0, 0),
            (2, 2000),
            (0.07, 70),
            (0.0701, 71),
            (1e-12, 1),
            (timedelta(microseconds=1), 1),
            (timedelta(milliseconds=5), 5),
            (timedelta.max, MAX_DURATION_MS),
            (math.inf, MAX_DURATION_MS),
            (1e300, MAX_DURATION_MS),
            (10**400, MAX_DURATION_MS),
        ],
    )
    def test_values(self, value, expected):
        """Seconds and timedeltas become whole milliseconds, rounded up, at most 100 years."""
        assert expected == duration_ms(value, what="delay")

    @pytest.mark.parametrize("value", [-1, -1e-9, -math.inf, -(10**400), timedelta(microseconds=-1), timedelta.min])
    def test_negative(self, value):
        """A negative duration is refused."""
        with pytest.raises(InvalidInput, match=r"^delay is .*: a duration cannot be negative"):
            duration_ms(value, what="delay")

    @pytest.mark.parametrize("value", [math.nan, True, "5", None])
    def test_not_a_duration(self, value):
        """What is no duration is refused."""
        with pytest.raises(InvalidInput, match=r"^delay is .*: give a timedelta, or seconds"):
            duration_ms(value, what="delay")

    @given(st.timedeltas(min_value=timedelta(), max_value=timedelta(days=30_000)))
    def test_never_shorter(self, value):
        """The result is at least as long, and less than a millisecond longer."""
        assert value <= to_timedelta(value, what="delay") < value + timedelta(milliseconds=1)


class TestSecondsOf:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (2, 2.0),
            (0.0701, 0.071),
            (timedelta(minutes=1), 60.0),
            (timedelta(seconds=-1), 0.0),
            (-0.5, 0.0),
            (-math.inf, 0.0),
            (math.inf, MAX_DURATION_MS / 1000),
        ],
    )
    def test_understands(self, value: timedelta | float, expected: float) -> None:
        """What is left of a time may be negative, and then is nothing."""
        assert expected == seconds_of(value, what="a wait")

    @pytest.mark.parametrize("value", ["1", None, math.nan, True])
    def test_refuses(self, value: object) -> None:
        """What is no duration is refused by its name."""
        with pytest.raises(InvalidInput, match="a wait is"):
            seconds_of(value, what="a wait")  # type: ignore[arg-type]
