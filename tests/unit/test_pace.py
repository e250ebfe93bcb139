"""How much work a worker takes in advance: never more than it begins about as soon as anybody else could."""

from __future__ import annotations

import pytest

from hypothesis import given
from hypothesis import strategies as st

from duroxide._runtime.pace import MOST_AHEAD, Pace


#: Enough observations for a moving average to have arrived.
OFTEN = 300


def pace(*, threads: int, activity: float, fetch: float) -> Pace:
    """The pace of a worker whose activities and fetches have always taken as long, in seconds."""
    found = Pace(threads)
    for _ in range(OFTEN):
        found.fetched(fetch)
    for _ in range(OFTEN):
        found.ended(activity)
    return found


@pytest.mark.parametrize(
    ("activity", "fetch", "ahead"),
    [
        pytest.param(1.0, 0.003, 0, id="long work"),
        pytest.param(0.010, 0.0005, 3, id="a quick store"),
        pytest.param(0.010, 0.003, 9, id="a slow one"),
        pytest.param(0.010, 3.0, 15, id="one that hardly answers"),
        pytest.param(0.000_01, 0.0005, MOST_AHEAD, id="short work"),
    ],
)
def test_ahead(activity: float, fetch: float, ahead: int) -> None:
    """16 threads are kept busy for the time of two fetches; for 2 ms at least, and for 10 ms at most."""
    assert ahead == pytest.approx(pace(threads=16, activity=activity, fetch=fetch).ahead, abs=1)


@given(
    threads=st.integers(1, 256),
    activity=st.floats(0.000_001, 100),
    fetch=st.floats(0.000_01, 10),
)
def test_nothing_waits_long(threads: int, activity: float, fetch: float) -> None:
    """Whatever the figures: what is held in advance is begun in 10 ms, if activities take as long as they did."""
    found = pace(threads=threads, activity=activity, fetch=fetch)

    assert found.ahead * min(activity, 1.0) / threads <= 0.010 * 1.001
    assert 1 <= found.portion <= max(found.ahead, 1)


def test_at_first() -> None:
    """Nothing is taken in advance before anything is known."""
    assert (0, 1) == (Pace(16).ahead, Pace(16).portion)
