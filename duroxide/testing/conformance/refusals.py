"""XXX."""

from __future__ import annotations




class Refusals(Checks):
    """XXX."""

    def test_refusal_alone(self, reason: str) -> None:
        """A commit that does not hold is refused with the reason, and leaves no trace."""
        spoil, expected = REFUSALS[reason]
        first = eager_turn()
        must_commit(self.provider, first)
        before = (events_of(self.provider), self.provider.get_instance_info("a"))

        assert [expected] == commit(self.provider, spoil(finishing_turn(first)))
        assert before == (events_of(self.provider), self.provider.get_instance_info("a"))
        assert frozenset([lock_of(activity())]) == self.provider.held_activity_locks([lock_of(activity())])
        assert [] == self.provider.audit()

    def test_refusal_in_a_batch(self, reason: str) -> None:
        """A commit that does not hold takes nobody down: the others of its batch are written."""
        spoil, expected = REFUSALS[reason]
        firsts = [eager_turn(instance_id) for instance_id in ("z", "a", "m")]
        must_commit(self.provider, *firsts)
        before, *others = (finishing_turn(first) for first in firsts)
        batch = [before, spoil(others[0]), others[1]]

        assert [CommitResult.COMMITTED, expected, CommitResult.COMMITTED] == commit(self.provider, *batch)
        assert [4, 2, 4] == [len(events_of(self.provider, first.instance_id)) for first in firsts]
        assert [] == self.provider.audit()
