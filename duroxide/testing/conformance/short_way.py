"""The short way round: completions and timers that go straight into a turn, and eager activities."""

from __future__ import annotations

from attrs import evolve

from ..._core import events as e
from ..._core.commit import (
    CommitResult,
)
from .checks import Checks
from .vocabulary import (
    LOCK_MS,
    NOW,
    activity,
    commit,
    completed,
    eager_turn,
    events_of,
    fetch,
    fetch_work,
    finishing_turn,
    first_turn,
    lock_of,
    must_commit,
    next_turn,
    scheduled,
    started,
    timer,
)


class ShortWay(Checks):
    """Turns without a fetch."""

    def test_short_way_finishes_activity(self) -> None:
        """The completion goes into history, the activity's row goes, the next one comes: one commit."""
        first = eager_turn()
        must_commit(self.provider, first)
        must_commit(self.provider, finishing_turn(first))

        assert [] == self.audit()
        assert [started(), scheduled(2), completed(3, 2), scheduled(4)] == events_of(self.provider)
        assert frozenset([lock_of(activity("a", 4))]) == self.provider.held_activity_locks(
            [lock_of(activity("a", 2)), lock_of(activity("a", 4))]
        )

    def test_short_way_timer(self) -> None:
        """A timer that fires straight into the turn takes its message with it."""
        turn = first_turn(messages=(timer("a", 2, NOW),), timers=(2,))
        must_commit(self.provider, turn)
        fired = evolve(next_turn(turn, e.TimerFired(3, NOW, 2, NOW)), fired_timers=(2,))
        must_commit(self.provider, fired)

        assert ([], []) == (fetch(self.provider), self.audit())

    def test_short_way_timer_fires_once(self) -> None:
        """A timer whose message is gone does not fire into a turn."""
        turn = first_turn()
        must_commit(self.provider, turn)
        fired = evolve(next_turn(turn, e.TimerFired(2, NOW, 2, NOW)), fired_timers=(2,))

        assert [CommitResult.GONE] == commit(self.provider, fired)


class ExpiredActivity(Checks):
    """Completions that come too late."""

    def test_expired_activity_is_gone(self) -> None:
        """A completion under an expired lock is not appended: the activity is anybody's by now."""
        first = eager_turn()
        must_commit(self.provider, first)
        self.clock.advance(LOCK_MS)

        assert [CommitResult.GONE] == commit(self.provider, finishing_turn(first))
        assert 1 == len(fetch_work(self.provider))
