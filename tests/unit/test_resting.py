"""Rests of a worker: longer and longer, until something can be begun."""

from __future__ import annotations

import pytest

from duroxide._runtime import resting
from duroxide._runtime.resting import FIRST, LONGEST, Rest


class Watch:
    """A clock that stands still until the test moves it."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """The clock of all rests."""
    watch = Watch()
    monkeypatch.setattr(resting, "monotonic", watch)
    return watch


def test_once(watch: Watch) -> None:
    """A rest is begun once, and is over when its time is."""
    rest = Rest()
    assert (False, 0.0) == (rest.is_on, rest.left())

    assert [FIRST, None] == [rest.begin(), rest.begin()]
    watch.seconds += FIRST / 2
    assert (FIRST / 2, True) == (rest.left(), rest.is_on)
    watch.seconds += FIRST
    assert (0.0, False) == (rest.left(), rest.is_on)


def rest_to_the_end(rest: Rest, watch: Watch) -> float:
    """Rest, and return for how long."""
    seconds = rest.begin()
    assert seconds is not None
    watch.seconds += seconds
    assert rest.left() == 0.0
    return seconds


def test_growing(watch: Watch) -> None:
    """Each rest is twice as long as the one before, up to a limit, and the first after a success is short again."""
    rest = Rest()
    seconds = [rest_to_the_end(rest, watch) for _ in range(8)]

    assert [FIRST, 2 * FIRST, 4 * FIRST] == seconds[:3]
    assert LONGEST == seconds[-1]
    rest.not_needed()
    assert FIRST == rest_to_the_end(rest, watch)


def test_late_success(watch: Watch) -> None:
    """What was begun beside what could not be does not cut a rest short."""
    rest = Rest()
    rest.begin()
    rest.not_needed()

    assert FIRST == rest.left()
    watch.seconds += FIRST
    assert rest.left() == 0.0
    assert 2 * FIRST == rest_to_the_end(rest, watch)
