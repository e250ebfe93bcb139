"""Retry policies: the pauses they ask for, and the mistakes they refuse."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._core.retry import Exponential, Fixed, Linear, RetryPolicy
from duroxide.errors import InvalidInput


async def asynchronous(error): ...


class TestRetryPolicy:
    def test_defaults(self):
        """Three attempts, exponential from 100 ms by 2 up to 30 s, no time limits."""
        policy = RetryPolicy()

        assert (3, None, None, 0.0) == (policy.max_attempts, policy.timeout, policy.total_timeout, policy.jitter)
        assert [100, 200, 400, 30_000] == [policy.delay_ms(k) for k in (1, 2, 3, 100)]

    @pytest.mark.parametrize(
        ("backoff", "expected"),
        [
            (None, [0, 0, 0]),
            (Fixed(1.5), [1500, 1500, 1500]),
            (Linear(1, timedelta(seconds=2.5)), [1000, 2000, 2500]),
            (Exponential(1, 3, 5), [1000, 3000, 5000]),
            (Exponential(1, 1), [1000, 1000, 1000]),
            (Exponential(0), [0, 0, 0]),
        ],
    )
    def test_backoffs(self, backoff, expected):
        """Pauses grow as their backoff says."""
        assert expected == [RetryPolicy(backoff=backoff).delay_ms(k) for k in (1, 2, 3)]

    @given(st.integers(1, 10**400), st.floats(1, 1e308))
    def test_no_overflow(self, attempt, multiplier):
        """However large the attempt number, the pause stays within its maximum."""
        assert 0 <= Exponential(0.1, multiplier).delay_ms(attempt) <= 30_000
        assert 0 <= Linear(0.1).delay_ms(attempt) <= 30_000
        assert Exponential(0, multiplier).delay_ms(attempt) == 0
        assert Exponential(0.1, 1).delay_ms(attempt) == 100

    @given(st.floats(0, 1), st.floats(0, 1))
    def test_jitter(self, jitter, random):
        """Jitter takes off at most its share of the pause, and the same for the same chance."""
        policy = RetryPolicy(backoff=Fixed(1), jitter=jitter)

        assert 1000 * (1 - jitter) - 1 <= policy.delay_ms(1, random) <= 1000
        assert policy.delay_ms(1, random) == policy.delay_ms(1, random)

    def test_time_limits(self):
        """Time limits are timedeltas or seconds."""
        policy = RetryPolicy(timeout=5, total_timeout=timedelta(minutes=1))

        assert (timedelta(seconds=5), timedelta(minutes=1)) == (policy.timeout, policy.total_timeout)

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"max_attempts": 0}, "max_attempts of a RetryPolicy is 0"),
            ({"max_attempts": 1.5}, "max_attempts of a RetryPolicy is 1.5"),
            ({"max_attempts": True}, "max_attempts of a RetryPolicy is True"),
            ({"backoff": 5}, "backoff of a RetryPolicy is 5"),
            ({"jitter": 1.1}, "jitter of a RetryPolicy is 1.1"),
            ({"timeout": 0}, "timeout of a RetryPolicy is 0"),
            ({"timeout": -1}, "timeout of a RetryPolicy is -1"),
            ({"total_timeout": "1"}, "total_timeout of a RetryPolicy is '1'"),
            ({"retry_if": ValueError("x")}, "retry_if of a RetryPolicy is ValueError"),
            (
                {"retry_if": ConnectionError},
                "retry_if of a RetryPolicy is <class 'ConnectionError'>: give a plain function",
            ),
            ({"retry_if": asynchronous}, "retry_if of a RetryPolicy is <function asynchronous"),
        ],
    )
    def test_mistakes(self, arguments, reason):
        """A policy that cannot work is refused where it is built."""
        with pytest.raises(InvalidInput) as caught:
            RetryPolicy(**arguments)

        assert str(caught.value).startswith(reason)

    @pytest.mark.parametrize("multiplier", [0.5, float("nan"), float("inf")])
    def test_bad_multiplier(self, multiplier):
        """A multiplier that would shorten pauses is refused."""
        with pytest.raises(InvalidInput, match=r"^multiplier of an Exponential"):
            Exponential(multiplier=multiplier)
