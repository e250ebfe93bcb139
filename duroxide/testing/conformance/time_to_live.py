"""Activities that nobody begins in time: `fetch_expired_activities`."""

from __future__ import annotations

from attrs import evolve

from ...providers.contract import ActivityAck, Release
from .checks import Checks
from .vocabulary import LOCK_MS, NOW, activity, completed, fetch_one, fetch_work, first_turn, must_commit


#: How long activities live in these checks, in milliseconds.
TTL_MS = 500


class TimeToLive(Checks):
    """Who has waited for too long, and who has not."""

    def schedule_living(self, count: int = 1, *, tag: str | None = None, session_id: str | None = None) -> None:
        """Let instance "a" schedule activities 2, 3 and so on, which live for `TTL_MS`."""
        works = [activity("a", number, tag=tag, session_id=session_id) for number in range(2, 2 + count)]
        living = [evolve(work, expires_at_ms=NOW + TTL_MS) for work in works]
        must_commit(self.provider, first_turn("a", *living))

    def fetch_expired(self, limit: int = 10) -> list[int]:
        """Return the ids and lock what has expired."""
        return [item.work.key.activity_id for item in self.provider.fetch_expired_activities(limit, LOCK_MS)]

    def test_ttl_over(self) -> None:
        """An activity is fetched when its time is over, not before; this delivery counts."""
        self.schedule_living()
        self.clock.advance(TTL_MS - 1)
        before = self.fetch_expired()
        self.clock.advance(1)
        (item,) = self.provider.fetch_expired_activities(10, LOCK_MS)

        assert ([], 1, 2) == (before, item.attempt_count, item.work.key.activity_id)
        assert NOW + TTL_MS == item.work.expires_at_ms

    def test_ttl_locks(self) -> None:
        """What has expired is locked for whoever fetched it: it fails by an ack, as any activity."""
        self.schedule_living()
        self.clock.advance(TTL_MS)
        (item,) = self.provider.fetch_expired_activities(10, LOCK_MS)
        others = (self.fetch_expired(), fetch_work(self.provider))

        assert ([], []) == others
        assert [True] == list(self.provider.ack_activities([ActivityAck(item.lock, completed(0, 2))]))
        assert 1 == len(fetch_one(self.provider).messages)

    def test_ttl_begun(self) -> None:
        """An activity that somebody had begun does not expire, not even when its lock does."""
        self.schedule_living()
        fetch_work(self.provider)
        self.clock.advance(TTL_MS)
        while_locked = self.fetch_expired()
        self.clock.advance(LOCK_MS)

        assert ([], []) == (while_locked, self.fetch_expired())
        assert [2] == [item.attempt_count for item in fetch_work(self.provider)]

    def test_ttl_taken_over(self) -> None:
        """What was fetched to be ended, by one who dies before it is, is fetched again when the lock has expired."""
        self.schedule_living()
        self.clock.advance(TTL_MS)
        first = self.fetch_expired()
        self.clock.advance(LOCK_MS - 1)
        while_locked = self.fetch_expired()
        self.clock.advance(1)

        assert ([2], [], [2]) == (first, while_locked, self.fetch_expired())

    def test_ttl_given_back(self) -> None:
        """An activity that was given back expires, also while it waits for its next try."""
        self.schedule_living()
        self.provider.release_activities([Release(item.lock, delay_ms=LOCK_MS) for item in fetch_work(self.provider)])
        self.clock.advance(TTL_MS)

        assert [2] == self.fetch_expired()

    def test_ttl_of_any_tag_and_session(self) -> None:
        """Neither tag nor session keep an activity from expiring."""
        self.schedule_living(tag="gpu", session_id="s")
        self.clock.advance(TTL_MS)

        assert [2] == self.fetch_expired()

    def test_ttl_limit(self) -> None:
        """No more are fetched than were asked for."""
        self.schedule_living(3)
        self.clock.advance(TTL_MS)

        assert [0, 2, 1, 0] == [len(self.fetch_expired(limit)) for limit in (0, 2, 2, 2)]

    def test_ttl_without(self) -> None:
        """An activity without a time to live lives for ever."""
        must_commit(self.provider, first_turn("a", activity()))
        self.clock.advance(10**9)

        assert [] == self.fetch_expired()
