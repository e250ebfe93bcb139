"""The worker queue: who gets which activity, and what becomes of it."""

from __future__ import annotations

from collections import Counter

from attrs import evolve

from ..._core import events as e
from ..._core.messages import Deliver
from ...providers.contract import (
    ActivityAck,
    Provider,
    Release,
    TagFilter,
)
from .checks import Checks, found_by
from .vocabulary import (
    ANY_TAG,
    LOCK_MS,
    NOW,
    activity,
    completed,
    fetch_one,
    fetch_work,
    first_turn,
    lock_of,
    must_commit,
    next_turn,
    scheduled,
)


def schedule(provider: Provider, count: int = 1) -> None:
    """Let instance "a" schedule activities 2, 3 and so on."""
    must_commit(provider, first_turn("a", *(activity("a", number) for number in range(2, 2 + count))))


class FetchingActivities(Checks):
    """Who gets which activity."""

    def test_fetch_activities_first_in_first_out(self) -> None:
        """Activities come in the order in which they were scheduled, none twice."""
        schedule(self.provider, 5)
        found = [item.work.key.activity_id for _ in range(3) for item in fetch_work(self.provider, 2)]

        assert [2, 3, 4, 5, 6] == found

    def test_fetch_activities_carries_everything(self) -> None:
        """What is fetched is what was scheduled."""
        work = activity(tag="gpu")
        must_commit(self.provider, first_turn("a", work))
        (item,) = fetch_work(self.provider)

        assert (work, work.key, 1) == (item.work, item.lock.key, item.attempt_count)

    def test_fetch_activities_expiry(self) -> None:
        """At its expiry a lock is free: the next delivery counts, under another token."""
        schedule(self.provider)
        (first,) = fetch_work(self.provider)
        self.clock.advance(LOCK_MS - 1)
        held = fetch_work(self.provider)
        self.clock.advance(1)
        (second,) = fetch_work(self.provider)

        assert ([], 2) == (held, second.attempt_count)
        assert first.lock.token != second.lock.token

    def test_fetch_activities_limit_of_nothing(self) -> None:
        """Asking for nothing locks nothing."""
        schedule(self.provider)

        assert [] == fetch_work(self.provider, 0)

    def test_fetch_activities_concurrently(self) -> None:
        """Whatever the number of threads, nobody gets an activity twice, and none is left over."""
        schedule(self.provider, 60)

        found = found_by(4, lambda: [str(item.work.key.activity_id) for item in fetch_work(self.provider, 4)])
        found += [str(item.work.key.activity_id) for item in fetch_work(self.provider, 60)]

        assert Counter(map(str, range(2, 62))) == Counter(found)


class Tags(Checks):
    """Activities by tag."""

    def test_tags_filter(self) -> None:
        """[604][606][609] A worker gets exactly what its filter accepts."""
        filters: list[tuple[TagFilter, list[str | None]]] = [
            (TagFilter(), [None]),
            (TagFilter(tags={"gpu"}), [None, "gpu"]),
            (TagFilter(untagged=False, tags={"gpu", "tpu"}), ["gpu", "tpu"]),
            (TagFilter(untagged=False, tags=None), ["gpu", "tpu"]),
            (ANY_TAG, [None, "gpu", "tpu"]),
            (TagFilter(untagged=False), []),
        ]
        work = [activity("a", 2), activity("a", 3, tag="gpu"), activity("a", 4, tag="tpu")]
        must_commit(self.provider, first_turn("a", *work))

        for tags, expected in filters:
            found = fetch_work(self.provider, tags=tags)
            assert expected == [item.work.tag for item in found], tags
            self.provider.release_activities([Release(item.lock) for item in found])

    def test_tags_survives_release(self) -> None:
        """A released activity still has its tag."""
        must_commit(self.provider, first_turn("a", activity(tag="gpu")))
        self.provider.release_activities([Release(item.lock) for item in fetch_work(self.provider)])

        assert [] == fetch_work(self.provider, tags=TagFilter())


class Acknowledging(Checks):
    """Finished activities."""

    def test_ack_delivers(self) -> None:
        """The row goes and the completion is enqueued, in one step."""
        schedule(self.provider)
        (item,) = fetch_work(self.provider)
        held = self.provider.ack_activities([ActivityAck(item.lock, completed(0, 2))])
        (message,) = fetch_one(self.provider).messages

        assert [True] == held
        # A message has no place in history yet.
        assert Deliver("a", 1, e.ActivityCompleted(0, 0, 2, '"done"')) == message.message
        assert frozenset() == self.provider.held_activity_locks([item.lock])

    def test_ack_without_event(self) -> None:
        """An activity nobody waits for goes without a message."""
        schedule(self.provider)
        (item,) = fetch_work(self.provider)
        self.provider.ack_activities([ActivityAck(item.lock, None)])

        assert [] == list(self.provider.fetch_orchestration_items(1, LOCK_MS))

    def test_ack_not_held(self) -> None:
        """An expired, unknown or finished lock acknowledges nothing, and takes no other down."""
        schedule(self.provider, 3)
        old, done, live = fetch_work(self.provider)
        self.provider.ack_activities([ActivityAck(done.lock, None)])
        self.clock.advance(LOCK_MS - 1)
        self.provider.renew_activity_locks([live.lock], LOCK_MS)
        self.clock.advance(1)
        locks = [old.lock, done.lock, lock_of(live.work, "other"), live.lock]
        held = self.provider.ack_activities([ActivityAck(lock, completed(0, lock.key.activity_id)) for lock in locks])

        assert [False, False, False, True] == held
        assert 1 == len(fetch_one(self.provider).messages)

    def test_ack_after_takeover(self) -> None:
        """Whoever lost the activity cannot finish it any more; whoever has it can."""
        schedule(self.provider)
        (mine,) = fetch_work(self.provider)
        self.clock.advance(LOCK_MS)
        (theirs,) = fetch_work(self.provider)

        assert [False] == self.provider.ack_activities([ActivityAck(mine.lock, completed(0, 2))])
        assert [True] == self.provider.ack_activities([ActivityAck(theirs.lock, completed(0, 2))])


class ReleasingActivities(Checks):
    """Giving activities back."""

    def test_release_activity_at_once(self) -> None:
        """A released activity is fetched again, and counts."""
        schedule(self.provider)
        held = self.provider.release_activities([Release(item.lock) for item in fetch_work(self.provider)])
        (again,) = fetch_work(self.provider)

        assert ([True], 2) == (held, again.attempt_count)

    def test_release_activity_delay(self) -> None:
        """With a delay it waits, while others are fetched."""
        schedule(self.provider, 2)
        (first,) = fetch_work(self.provider, 1)
        self.provider.release_activities([Release(first.lock, delay_ms=100)])
        others = [item.work.key.activity_id for item in fetch_work(self.provider)]
        due = self.provider.next_due_ms()
        self.clock.advance(100)

        assert ([3], NOW + 100) == (others, due)
        assert [2] == [item.work.key.activity_id for item in fetch_work(self.provider)]

    def test_release_activity_ignored_attempt(self) -> None:
        """An attempt that is ignored leaves the count as it was."""
        schedule(self.provider)
        counts = []
        for _ in range(3):
            (item,) = fetch_work(self.provider)
            counts.append(item.attempt_count)
            self.provider.release_activities([Release(item.lock, ignore_attempt=True)])

        assert [1, 1, 1] == counts

    def test_release_activity_not_held(self) -> None:
        """An unknown or expired lock releases nothing."""
        schedule(self.provider)
        (item,) = fetch_work(self.provider)
        self.clock.advance(LOCK_MS)
        unknown = lock_of(activity("nobody"))

        assert [False, False] == self.provider.release_activities([Release(item.lock), Release(unknown)])


class RenewingActivities(Checks):
    """Extending activities' locks."""

    def test_renew_activity_extends(self) -> None:
        """A renewed lock lasts from the renewal on; one that is gone is not in the answer."""
        schedule(self.provider)
        (item,) = fetch_work(self.provider)
        self.clock.advance(LOCK_MS - 1)
        held = self.provider.renew_activity_locks([item.lock, lock_of(activity("nobody"))], LOCK_MS)
        self.clock.advance(LOCK_MS - 1)

        assert (frozenset([item.lock]), []) == (held, fetch_work(self.provider))

    def test_renew_activity_expired(self) -> None:
        """A lock that has expired cannot be renewed."""
        schedule(self.provider)
        (item,) = fetch_work(self.provider)
        self.clock.advance(LOCK_MS)

        assert frozenset() == self.provider.renew_activity_locks([item.lock], LOCK_MS)

    def test_renew_activity_looking_changes_nothing(self) -> None:
        """Asking which locks are held extends none; one that has expired is held until somebody takes it over."""
        must_commit(self.provider, first_turn("a", activity()))
        (item,) = fetch_work(self.provider)
        self.clock.advance(LOCK_MS - 1)
        before = self.provider.held_activity_locks([item.lock])
        self.clock.advance(1)
        expired = self.provider.held_activity_locks([item.lock])
        taken_over = [other.lock for other in fetch_work(self.provider)]

        assert before == expired == {item.lock}
        assert 1 == len(taken_over)
        assert set(taken_over) == self.provider.held_activity_locks([item.lock, *taken_over])

    def test_renew_activity_cancelled(self) -> None:
        """A cancelled activity's lock is not held any more: that is how its worker learns of it."""
        turn = first_turn("a", activity())
        must_commit(self.provider, turn)
        (item,) = fetch_work(self.provider)
        must_commit(self.provider, evolve(next_turn(turn, scheduled(3)), cancelled_activities=(2,)))

        assert frozenset() == self.provider.renew_activity_locks([item.lock], LOCK_MS)
        assert frozenset() == self.provider.held_activity_locks([item.lock])
