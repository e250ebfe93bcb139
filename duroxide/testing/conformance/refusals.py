"""Refused commits: each way not to hold is said by name, leaves no trace and takes nobody down."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve

from ..._core.commit import (
    CommitResult,
    ExecutionStatus,
    InstanceLock,
    TurnCommit,
)
from .checks import Checks
from .populations import end
from .vocabulary import (
    activity,
    commit,
    completed,
    eager_turn,
    events_of,
    fetch_one,
    finishing_turn,
    first_turn,
    lock_of,
    must_commit,
    raised,
)


class Refusals(Checks):
    """
    Commits that do not hold: each is refused by name, leaves no trace, and takes no other of its batch down.

    Each check spoils the second turn of instance "a", alone and between the turns of two others.
    """

    def refuse(self, spoil: Callable[[TurnCommit], TurnCommit], expected: CommitResult) -> None:
        """Assert that what *spoil* makes of a good turn is refused as *expected*."""
        first = eager_turn("a")
        must_commit(self.provider, first)
        before = self.seen()

        assert [expected] == commit(self.provider, spoil(finishing_turn(first)))
        assert before == self.seen()

        others = [eager_turn(instance_id) for instance_id in ("0", "m")]
        must_commit(self.provider, *others)
        below, above = (finishing_turn(other) for other in others)
        results = commit(self.provider, below, spoil(finishing_turn(first)), above)
        assert [CommitResult.COMMITTED, expected, CommitResult.COMMITTED] == results
        assert before == self.seen()
        assert [4, 4] == [len(events_of(self.provider, other.instance_id)) for other in others]
        assert [] == self.audit()

        # The good turn is still as good as it was.
        must_commit(self.provider, finishing_turn(first))

    def seen(self) -> tuple[object, ...]:
        """Return how "a" stands, and whether its activity is still its committer's."""
        lock = lock_of(activity())
        held = self.provider.held_activity_locks([lock])
        return (events_of(self.provider), self.provider.get_instance_info("a"), held)

    def test_refusal_history_moved_on(self) -> None:
        """A turn from an older history."""
        self.refuse(lambda turn: evolve(turn, last_event_id=1), CommitResult.STALE)

    def test_refusal_other_incarnation(self) -> None:
        """A turn of another life of the id."""
        self.refuse(lambda turn: evolve(turn, incarnation=8), CommitResult.STALE)

    def test_refusal_other_execution(self) -> None:
        """A turn of an execution that is not current."""
        self.refuse(lambda turn: evolve(turn, execution_id=2), CommitResult.STALE)

    def test_refusal_unknown_instance(self) -> None:
        """A turn of an instance that does not exist."""
        self.refuse(lambda turn: evolve(turn, instance_id="nobody"), CommitResult.STALE)

    def test_refusal_unknown_lock(self) -> None:
        """[483][491] A turn under a lock that nobody holds."""
        self.refuse(lambda turn: evolve(turn, lock=InstanceLock("a", "unknown")), CommitResult.LOCK_LOST)

    def test_refusal_foreign_activity(self) -> None:
        """A completion of an activity that somebody else has."""
        self.refuse(lambda turn: evolve(turn, finished_activities=(lock_of(activity(), "other"),)), CommitResult.GONE)

    def test_refusal_missing_activity(self) -> None:
        """A completion of an activity that is not there."""
        self.refuse(lambda turn: evolve(turn, finished_activities=(lock_of(activity("a", 9)),)), CommitResult.GONE)

    def test_refusal_missing_timer(self) -> None:
        """A timer whose message is not there."""
        self.refuse(lambda turn: evolve(turn, fired_timers=(9,)), CommitResult.GONE)

    def test_refusal_unknown_message(self) -> None:
        """A message that was not fetched."""
        self.refuse(lambda turn: evolve(turn, consumed_messages=(1234,)), CommitResult.STALE)

    def test_refusal_duplicate_event(self) -> None:
        """[479] An event id that history has."""
        self.refuse(lambda turn: evolve(turn, events=(completed(2, 2), *turn.events)), CommitResult.STALE)

    def test_refusal_duplicate_activity(self) -> None:
        """An activity that is there twice."""
        self.refuse(lambda turn: evolve(turn, activities=(activity("a", 2),) * 2), CommitResult.STALE)

    def test_refusal_nothing_to_go_on_from(self) -> None:
        """A turn without a start, of an execution that is there."""
        self.refuse(lambda turn: evolve(turn, last_event_id=0), CommitResult.STALE)

    def test_refusal_between_executions(self) -> None:
        """One that has continued as new takes no message away from the next one; it may fail all the same."""
        turn = first_turn()
        must_commit(self.provider, turn)
        end(self.provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        self.provider.enqueue([raised()])
        item = fetch_one(self.provider)
        consumed = tuple(queued.id for queued in item.messages)
        going_on = TurnCommit(
            instance_id="a",
            execution_id=1,
            incarnation=turn.incarnation,
            last_event_id=2,
            lock=item.lock,
            consumed_messages=consumed,
        )

        assert [CommitResult.STALE] == commit(self.provider, going_on)
        must_commit(self.provider, evolve(going_on, status=ExecutionStatus.FAILED, output="lost"))
