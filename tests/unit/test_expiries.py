"""When to look for activities that have expired."""

from __future__ import annotations

from functools import partial

import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._runtime.expiries import Expiries


NOW = 1_700_000_000_000
POLL_MS = 5000


def waiting(expiries: Expiries) -> int:
    """Return how many milliseconds after NOW the next look is."""
    pause = expiries.pause(lambda: NOW)
    assert pause is not None
    return round(pause * 1000)


class TestMoments:
    @given(st.integers(0, 300_000))
    def test_exact_enough(self, ttl_ms: int) -> None:
        """The look comes when the time to live is over, and not much later."""
        expiries = Expiries(POLL_MS)
        expiries.note(NOW + ttl_ms, NOW)

        assert ttl_ms <= waiting(expiries) <= ttl_ms * 65 / 64 + 1

    def test_over_already(self) -> None:
        """What has expired by the time it is written is looked for at once."""
        expiries = Expiries(POLL_MS)
        expiries.note(NOW - 10, NOW)

        assert expiries.take_due(lambda: NOW)

    def test_nothing(self) -> None:
        """Without any, there is nothing to look for; nor for what the slow poll finds soon enough."""
        expiries = Expiries(POLL_MS)
        expiries.note(NOW + 10**9, NOW)

        assert None is expiries.pause(lambda: NOW)
        assert not expiries.take_due(lambda: NOW + 10**10)
        assert not expiries.bell.silence()

    def test_earliest(self) -> None:
        """An earlier moment rings, a later one does not; those that have come are forgotten."""
        expiries = Expiries(POLL_MS)
        rings = []
        for ttl_ms in [2000, 3000, 1000]:
            expiries.note(NOW + ttl_ms, NOW)
            rings.append(expiries.bell.silence())

        assert [True, False, True] == rings
        assert not expiries.take_due(lambda: NOW + 999)
        assert expiries.take_due(lambda: NOW + 1100)
        assert 2000 <= waiting(expiries) < 2100

    @pytest.mark.parametrize("ttl_ms", [200, 60_000, 300_000])
    def test_few(self, ttl_ms: int) -> None:
        """However many activities wait, and however long this goes on, few moments are remembered."""
        expiries = Expiries(POLL_MS)
        for now_ms in range(NOW, NOW + 3 * ttl_ms, max(ttl_ms // 1000, 1)):
            expiries.note(now_ms + ttl_ms, now_ms)
            expiries.take_due(partial(int, now_ms))

        assert len(expiries._moments) < 200
