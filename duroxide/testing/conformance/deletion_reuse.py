"""Ids that are used again after a deletion, and deletions that race."""

from __future__ import annotations

from functools import partial

from attrs import evolve

from ..._core import events as e
from ..._core.commit import (
    CommitResult,
    ExecutionStatus,
)
from ..._core.events import KvEntry
from ...errors import (
    InstanceNotFound,
)
from ...providers.contract import (
    ActivityAck,
    Release,
)
from ...providers.management import (
    DeleteResult,
    Management,
)
from .checks import Checks, at_once
from .populations import begin, ended, stock, with_child
from .vocabulary import (
    LOCK_MS,
    NEW,
    NOW,
    activity,
    commit,
    completed,
    events_of,
    fetch,
    fetch_one,
    fetch_work,
    first_turn,
    lock_of,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    started,
    under,
)


class Reuse(Checks):
    """Of the former life of an id, nothing reaches the next one."""

    def test_reuse_clean(self) -> None:
        """[549] An id can be used again, and starts from nothing."""
        must_commit(self.provider, evolve(first_turn(), kv={"k": KvEntry("1", NOW)}))
        self.client.delete_instance("a", force=True)
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)

        assert (0, 0, 1) == (item.execution_id, item.last_event_id, len(item.messages))
        must_commit(self.provider, under(item, evolve(first_turn(), incarnation=8)))
        assert {} == self.provider.get_kv_all_values("a")

    def test_reuse_turn_under_way(self) -> None:
        """[551] A turn that began before is refused, and does not bring the instance back."""
        turn = begin(self.provider, "a")
        self.provider.enqueue([raised()])
        item = fetch_one(self.provider)
        self.client.delete_instance("a", force=True)

        stale = under(item, next_turn(turn, scheduled(2)))
        assert [CommitResult.LOCK_LOST] == commit(self.provider, stale)
        assert [False] == self.provider.release_orchestration_items([Release(item.lock)])
        assert None is self.provider.get_instance_info("a")

    def test_reuse_short_way(self) -> None:
        """A turn from memory is refused: before the id is used again, and after, although the event ids fit."""
        turn = begin(self.provider, "a")
        self.client.delete_instance("a", force=True)
        stale = next_turn(turn, scheduled(2))

        assert [CommitResult.STALE] == commit(self.provider, stale)
        begin(self.provider, "a", incarnation=8)
        assert [CommitResult.STALE] == commit(self.provider, stale)
        assert [started()] == events_of(self.provider)

    def test_reuse_next_execution(self) -> None:
        """A next execution from memory is refused."""
        turn = ended(self.provider, "a", status=ExecutionStatus.CONTINUED_AS_NEW)
        self.client.delete_instance("a", force=True)
        begin(self.provider, "a", incarnation=8)
        stale = evolve(
            turn,
            execution_id=2,
            last_event_id=0,
            started=NEW,
            events=(started("a", 2),),
            status=ExecutionStatus.RUNNING,
        )

        assert [CommitResult.STALE] == commit(self.provider, stale)

    def test_reuse_activity(self) -> None:
        """[555] A worker's token of the former life is worth nothing, and its result is never seen."""
        must_commit(self.provider, first_turn("a", activity()))
        (item,) = fetch_work(self.provider)
        self.client.delete_instance("a", force=True)
        must_commit(self.provider, evolve(first_turn("a", activity()), incarnation=8))

        assert [False] == self.provider.ack_activities([ActivityAck(item.lock, completed(0, 2))])
        assert frozenset() == self.provider.renew_activity_locks([item.lock], 1000)
        assert [] == fetch(self.provider)
        assert 1 == len(fetch_work(self.provider))

    def test_reuse_finished_activity(self) -> None:
        """A result on the short way is refused as well."""
        work = activity()
        turn = first_turn("a", work, eager=(lock_of(work),))
        must_commit(self.provider, turn)
        self.client.delete_instance("a", force=True)
        must_commit(self.provider, evolve(turn, incarnation=8))
        stale = evolve(next_turn(turn, completed(3, 2)), finished_activities=(lock_of(work),))

        assert [CommitResult.STALE] == commit(self.provider, stale)

    def test_reuse_completion_on_its_way(self) -> None:
        """A completion that waits as a message goes with the instance."""
        must_commit(self.provider, first_turn("a", activity()))
        (item,) = fetch_work(self.provider)
        assert [True] == self.provider.ack_activities([ActivityAck(item.lock, completed(0, 2))])
        self.client.delete_instance("a", force=True)
        must_commit(self.provider, evolve(first_turn("a", activity()), incarnation=8))

        assert [] == fetch(self.provider)


class DeletingAtOnce(Checks):
    """Deletions that race."""

    def test_delete_at_once_twice(self) -> None:
        """[465] Of deletions at the same time one succeeds, and the others find nothing."""
        managers = [self.management, *(self.another_management() for _ in range(3))]
        for instance_id, parent in [("root", None), ("a", "root"), ("b", "root"), ("c", "a")]:
            ended(self.provider, instance_id, parent=parent)
        outcomes: list[DeleteResult | InstanceNotFound] = []

        def delete(manager: Management) -> None:
            try:
                outcomes.append(manager.delete_instance("root", force=False))
            except InstanceNotFound as error:
                outcomes.append(error)

        at_once(*(partial(delete, manager) for manager in managers))

        assert [DeleteResult(4, 4, 8)] == [outcome for outcome in outcomes if isinstance(outcome, DeleteResult)]
        assert len(managers) == len(outcomes)
        assert {} == stock(self.client)

    def test_delete_at_once_with_a_child(self) -> None:
        """However a child's first turn and the deletion of its parent race, no child is left without its parent."""
        second = self.another_management()
        for number in range(8):
            root, child = f"root-{number}", f"child-{number}"
            with_child(self.provider, root, child)
            above = evolve(NEW, parent=e.Parent(root, 1, 2))
            turn = under(fetch_one(self.provider), evolve(first_turn(child), started=above))
            at_once(partial(commit, self.provider, turn), partial(second.delete_instance, root, force=True))

        self.clock.advance(LOCK_MS)
        assert {} == stock(self.client)

    def another_management(self) -> Management:
        """Return management of the same store; without any, the check is skipped."""
        assert isinstance(self.management, Management)
        another = self.make_another()
        assert isinstance(another, Management)
        return another
