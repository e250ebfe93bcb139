"""XXX."""

from __future__ import annotations




class Sessions(Checks):
    """XXX."""

    @pytest.fixture(autouse=True)
    def scheduled(self) -> None:
        """Two activities of session "s", one of "t" and one of none."""
        sessions = {2: "s", 3: "s", 4: "t", 5: None}
        work = [activity("a", number, session_id=session_id) for number, session_id in sessions.items()]
        must_commit(self.provider, first_turn("a", *work))

    def test_session_without_claim(self) -> None:
        """Without a claim there is only work without a session."""
        assert [(None, 5)] == fetch_as(self.provider, None)

    def test_session_belongs_to_its_owner(self) -> None:
        """A claimed session is its owner's, in order; another session is anybody's."""
        assert [("s", 2)] == fetch_as(self.provider, ALICE, 1)
        assert [("t", 4), (None, 5)] == fetch_as(self.provider, BOB)
        assert [("s", 3)] == fetch_as(self.provider, ALICE)

    def test_session_expired_lease(self) -> None:
        """When the lease expires, the session is anybody's, though the locked activity is not yet."""
        fetch_as(self.provider, ALICE, 1)
        self.clock.advance(LEASE_MS)

        assert [("s", 3), ("t", 4), (None, 5)] == fetch_as(self.provider, BOB)

    def test_session_expired_lock(self) -> None:
        """When only the activity's lock expires, its session's owner alone gets it again."""
        fetch_as(self.provider, SessionClaim("alice", 2 * LOCK_MS), 1)
        self.clock.advance(LOCK_MS)

        assert [("t", 4), (None, 5)] == fetch_as(self.provider, BOB)
        assert {("s", 2), ("s", 3)} == set(fetch_as(self.provider, ALICE))

    def test_session_ack_after_the_lease(self) -> None:
        """A lapsed lease does not keep its owner from finishing."""
        (item,) = self.provider.fetch_activities(1, LOCK_MS, tags=ANY_TAG, session=ALICE)
        self.clock.advance(LEASE_MS)

        assert [True] == self.provider.ack_activities([ActivityAck(item.lock, None)])

    def test_session_renewal(self) -> None:
        """Live, active sessions of the owner are extended, and counted."""
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
        (first, *_), _ = (self.provider.fetch_activities(2, LOCK_MS, tags=ANY_TAG, session=ALICE), None)
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
        fetch_as(self.provider, ALICE)
        self.clock.advance(LEASE_MS)

        assert 0 == self.provider.renew_sessions("alice", LEASE_MS, 10 * LEASE_MS)

    def test_session_orphans(self) -> None:
        """Expired sessions without activities are removed, live ones and those with activities are not."""
        items = self.provider.fetch_activities(10, LOCK_MS, tags=ANY_TAG, session=ALICE)
        self.provider.ack_activities([ActivityAck(item.lock, None) for item in items if item.work.session_id == "t"])
        live = self.provider.remove_orphaned_sessions()
        self.clock.advance(LEASE_MS)

        assert (0, 1, 0) == (live, self.provider.remove_orphaned_sessions(), self.provider.remove_orphaned_sessions())
