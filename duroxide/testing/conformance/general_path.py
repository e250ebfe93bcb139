"""Turns of fetched messages: what a commit under a lock consumes, and when it is refused."""

from __future__ import annotations

from attrs import evolve

from ..._core.commit import (
    CommitResult,
)
from .checks import Checks, at_once
from .vocabulary import (
    LOCK_MS,
    commit,
    events_of,
    fetch,
    fetch_one,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    started,
    under,
)


class GeneralPath(Checks):
    """Commits under a lock."""

    def test_general_path_commit_consumes(self) -> None:
        """A commit consumes its messages and gives the lock back; what came meanwhile stays."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        self.provider.enqueue([raised()])
        must_commit(self.provider, under(item, first_turn()))

        assert [raised().message] == [message.message for message in fetch_one(self.provider).messages]

    def test_general_path_unconsumed_messages_are_back(self) -> None:
        """Messages of the batch that the commit does not name are there again at once."""
        self.provider.enqueue([start(), raised()])
        item = fetch_one(self.provider)
        turn = under(item, first_turn())
        must_commit(self.provider, evolve(turn, consumed_messages=turn.consumed_messages[:1]))

        assert [2] == [message.attempt_count for message in fetch_one(self.provider).messages]

    def test_general_path_expired(self) -> None:
        """A commit whose lock has expired is refused, and leaves no trace."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        self.clock.advance(LOCK_MS)

        assert [CommitResult.LOCK_LOST] == commit(self.provider, under(item, first_turn()))
        assert (None, 2) == (self.provider.get_instance_info("a"), fetch_one(self.provider).attempt_count)

    def test_general_path_twice(self) -> None:
        """Of two commits under one lock, one succeeds."""
        self.provider.enqueue([start()])
        turn = under(fetch_one(self.provider), first_turn())

        assert [CommitResult.COMMITTED] == commit(self.provider, turn)
        assert [CommitResult.LOCK_LOST] == commit(self.provider, turn)

    def test_general_path_somebody_else_holds_the_lock(self) -> None:
        """The short way is closed while anybody holds the instance."""
        turn = first_turn()
        must_commit(self.provider, turn)
        self.provider.enqueue([raised()])
        fetch(self.provider)

        assert [CommitResult.LOCK_LOST] == commit(self.provider, next_turn(turn, scheduled(2)))
        assert [started()] == events_of(self.provider)

    def test_general_path_expired_lock_of_somebody_else(self) -> None:
        """The short way is open again when the lock has expired."""
        turn = first_turn()
        must_commit(self.provider, turn)
        self.provider.enqueue([raised()])
        fetch(self.provider)
        self.clock.advance(LOCK_MS)

        must_commit(self.provider, next_turn(turn, scheduled(2)))

    def test_general_path_foreign_message(self) -> None:
        """A message that is not of the batch cannot be consumed."""
        self.provider.enqueue([start("a"), start("b")])
        first, second = fetch(self.provider)
        stolen = tuple(message.id for message in second.messages)
        turn = evolve(under(first, first_turn("a")), consumed_messages=stolen)

        assert [CommitResult.STALE] == commit(self.provider, turn)

    def test_general_path_refused_keeps_the_lock(self) -> None:
        """[479][481] A commit that is refused for another reason than its lock keeps it, and its messages."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        turn = under(item, first_turn())

        assert [CommitResult.STALE] == commit(self.provider, evolve(turn, started=None, last_event_id=3))
        assert [] == fetch(self.provider)
        must_commit(self.provider, turn)
        self.clock.advance(LOCK_MS)
        assert [] == fetch(self.provider)

    def test_general_path_at_once(self) -> None:
        """[482] Of two commits under one lock at the same time, one succeeds."""
        self.provider.enqueue([start()])
        turn = under(fetch_one(self.provider), first_turn())
        results: list[CommitResult] = []
        at_once(*[lambda: results.extend(commit(self.provider, turn))] * 3)

        assert [CommitResult.COMMITTED] == [result for result in results if result is CommitResult.COMMITTED]
        assert [started()] == events_of(self.provider)
