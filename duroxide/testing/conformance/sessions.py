"""Sessions: whose the activities of a session are, and for how long."""

from __future__ import annotations

from ...providers.contract import (
    ActivityAck,
    Provider,
    Release,
    SessionClaim,
)
from .checks import Checks
from .vocabulary import (
    ANY_TAG,
    LOCK_MS,
    activity,
    first_turn,
    must_commit,
)


LEASE_MS = 10_000
ALICE = SessionClaim("alice", LEASE_MS)
BOB = SessionClaim("bob", LEASE_MS)


def fetch_as(provider: Provider, claim: SessionClaim | None, limit: int = 10) -> list[tuple[str | None, int]]:
    """Return session and activity id of what *claim* gets."""
    items = provider.fetch_activities(limit, LOCK_MS, tags=ANY_TAG, session=claim)
    return [(item.work.session_id, item.work.key.activity_id) for item in items]


class Sessions(Checks):
    """Who gets the activities of a session."""

    def three_sessions(self) -> None:
        """Two activities of session "s", one of "t" and one of none."""
        sessions = {2: "s", 3: "s", 4: "t", 5: None}
        work = [activity("a", number, session_id=session_id) for number, session_id in sessions.items()]
        must_commit(self.provider, first_turn("a", *work))

    def test_session_without_claim(self) -> None:
        """Without a claim there is only work without a session."""
        self.three_sessions()
        assert [(None, 5)] == fetch_as(self.provider, None)

    def test_session_belongs_to_its_owner(self) -> None:
        """A claimed session is its owner's, in order; another session is anybody's."""
        self.three_sessions()
        assert [("s", 2)] == fetch_as(self.provider, ALICE, 1)
        assert [("t", 4), (None, 5)] == fetch_as(self.provider, BOB)
        assert [("s", 3)] == fetch_as(self.provider, ALICE)

    def test_session_expired_lease(self) -> None:
        """When the lease expires, the session is anybody's, though the locked activity is not yet."""
        self.three_sessions()
        fetch_as(self.provider, ALICE, 1)
        self.clock.advance(LEASE_MS)

        assert [("s", 3), ("t", 4), (None, 5)] == fetch_as(self.provider, BOB)

    def test_session_expired_lock(self) -> None:
        """When only the activity's lock expires, its session's owner alone gets it again."""
        self.three_sessions()
        fetch_as(self.provider, SessionClaim("alice", 2 * LOCK_MS), 1)
        self.clock.advance(LOCK_MS)

        assert [("t", 4), (None, 5)] == fetch_as(self.provider, BOB)
        assert {("s", 2), ("s", 3)} == set(fetch_as(self.provider, ALICE))

    def test_session_ack_after_the_lease(self) -> None:
        """A lapsed lease does not keep its owner from finishing."""
        self.three_sessions()
        (item,) = self.provider.fetch_activities(1, LOCK_MS, tags=ANY_TAG, session=ALICE)
        self.clock.advance(LEASE_MS)

        assert [True] == self.provider.ack_activities([ActivityAck(item.lock, None)])

    def test_session_renewal(self) -> None:
        """Live, active sessions of the owner are extended, and counted."""
        self.three_sessions()
        fetch_as(self.provider, ALICE)
        self.clock.advance(LEASE_MS - 1)

        assert (0, 2) == (
            self.provider.renew_sessions("bob", LEASE_MS, LEASE_MS),
            self.provider.renew_sessions("alice", LEASE_MS, LEASE_MS),
        )
        self.clock.advance(LEASE_MS - 1)
        assert 2 == self.provider.renew_sessions("alice", LEASE_MS, 3 * LEASE_MS)

    def test_session_idle(self) -> None:
        """An idle session is not extended; an ack or a renewal of its activity is activity."""
        self.three_sessions()
        first, *_ = self.provider.fetch_activities(2, LOCK_MS, tags=ANY_TAG, session=ALICE)
        self.clock.advance(500)
        idle = self.provider.renew_sessions("alice", LEASE_MS, 500)
        self.provider.renew_activity_locks([first.lock], LOCK_MS)
        active = self.provider.renew_sessions("alice", LEASE_MS, 500)
        self.clock.advance(400)
        self.provider.ack_activities([ActivityAck(first.lock, None)])
        self.clock.advance(400)

        assert (0, 1, 1) == (idle, active, self.provider.renew_sessions("alice", LEASE_MS, 500))

    def test_session_expired_is_not_renewed(self) -> None:
        """An expired lease is not brought back."""
        self.three_sessions()
        fetch_as(self.provider, ALICE)
        self.clock.advance(LEASE_MS)

        assert 0 == self.provider.renew_sessions("alice", LEASE_MS, 10 * LEASE_MS)

    def test_session_orphans(self) -> None:
        """Expired sessions without activities are removed, live ones and those with activities are not."""
        self.three_sessions()
        items = self.provider.fetch_activities(10, LOCK_MS, tags=ANY_TAG, session=ALICE)
        self.provider.ack_activities([ActivityAck(item.lock, None) for item in items if item.work.session_id == "t"])
        live = self.provider.remove_orphaned_sessions()
        self.clock.advance(LEASE_MS)

        assert (0, 1, 0) == (live, self.provider.remove_orphaned_sessions(), self.provider.remove_orphaned_sessions())

    def test_session_room(self) -> None:
        """An owner gets sessions as far as it has room, and more of those that it has work of."""
        self.three_sessions()
        one = SessionClaim("alice", LEASE_MS, room=1)
        none = SessionClaim("alice", LEASE_MS, room=0, in_flight=frozenset({"s"}))

        assert [("s", 2)] == fetch_as(self.provider, one, 1)
        assert [("s", 3), (None, 5)] == fetch_as(self.provider, none)
        assert [("t", 4)] == fetch_as(self.provider, BOB)

    def test_session_room_blocks_nobody(self) -> None:
        """Behind the sessions that an owner has no room for there may be work that it can do."""
        self.three_sessions()

        assert [("s", 2), ("s", 3), (None, 5)] == fetch_as(self.provider, SessionClaim("alice", LEASE_MS, room=1), 3)

    def test_session_given_back(self) -> None:
        """[591] An activity of a session that is given back is its owner's again, and counted or not as asked."""
        self.three_sessions()
        counts = []
        for ignore in [False, True, True]:
            (item,) = self.provider.fetch_activities(1, LOCK_MS, tags=ANY_TAG, session=ALICE)
            counts.append(item.attempt_count)
            self.provider.release_activities([Release(item.lock, ignore_attempt=ignore)])

        assert [1, 2, 2] == counts
        assert [("t", 4), (None, 5)] == fetch_as(self.provider, BOB)

    def test_session_taken_over(self) -> None:
        """[594] A session taken over after its lease is the new owner's, with what the old one had begun."""
        self.three_sessions()
        fetch_as(self.provider, ALICE, 1)
        self.clock.advance(LOCK_MS - 1)
        fetch_as(self.provider, BOB, 1)
        self.clock.advance(1)

        assert [("t", 4), (None, 5)] == [found for found in fetch_as(self.provider, ALICE) if found[0] != "s"]
        assert [("s", 2)] == fetch_as(self.provider, BOB)

    def test_session_after_the_orphan(self) -> None:
        """[582] [590] A session that lapsed, or was removed, is the next one's who asks, and whole again."""
        self.three_sessions()
        items = self.provider.fetch_activities(2, LOCK_MS, tags=ANY_TAG, session=ALICE)
        self.provider.ack_activities([ActivityAck(item.lock, None) for item in items])
        self.clock.advance(LEASE_MS)
        removed = self.provider.remove_orphaned_sessions()
        must_commit(self.provider, first_turn("b", activity("b", 2, session_id="s")))

        assert 1 == removed
        assert [("t", 4), (None, 5), ("s", 2)] == fetch_as(self.provider, BOB)
        assert 2 == self.provider.renew_sessions("bob", LEASE_MS, LEASE_MS)
