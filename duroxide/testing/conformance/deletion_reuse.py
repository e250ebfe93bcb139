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
from ..._core.messages import Message
from ...errors import (
    InstanceNotFound,
)
from ...providers.contract import (
    ActivityAck,
    OrchestrationItem,
    Release,
)
from ...providers.management import (
    ANY_INSTANCE,
    DeleteResult,
    Management,
)
from .checks import Checks, at_once
from .populations import begin, cancellation_of, end, ended, start_of_child, stock, with_child
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
    timer,
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


class AboutToBeReused(Checks):
    """What somebody else has sent to use an id that is being deleted stays: he waits for an answer."""

    def test_about_to_be_reused(self) -> None:
        """A start that another parent has sent is carried out, when what had the id before is gone."""
        ended(self.provider, "a")
        with_child(self.provider, "other", "a")
        assert DeleteResult(1, 1, 2) == self.client.delete_instance("a")

        assert [] == self.audit()
        item = fetch_one(self.provider)
        assert (0, [start_of_child("a", "other").message]) == (item.execution_id, messages_of(item))
        must_commit(self.provider, under(item, evolve(first_turn(), incarnation=8)))

    def test_about_to_be_reused_held(self) -> None:
        """So it is if somebody was about to refuse it; and who waits for messages is told of it."""
        turn = ended(self.provider, "a")
        with_child(self.provider, "other", "a")
        held = fetch_one(self.provider)
        told: list[int | None] = []
        self.until_the_end(self.provider.wakeups.on_messages(told.append))
        self.client.delete_instance("a")

        assert None in told
        refusing = evolve(under(held, turn), events=(), status=ExecutionStatus.RUNNING, output=None)
        assert [CommitResult.LOCK_LOST] == commit(self.provider, refusing)
        assert messages_of(held) == messages_of(fetch_one(self.provider))

    def test_about_to_be_reused_by_anybody(self) -> None:
        """So is a start that has no parent: the id is free now."""
        ended(self.provider, "a")
        self.provider.enqueue([start()])
        self.client.delete_instance("a")

        assert [start().message] == messages_of(fetch_one(self.provider))

    def test_about_to_be_reused_what_follows(self) -> None:
        """What has come after the start stays with it; what came before, or is for one execution, goes with the old life."""
        ended(self.provider, "a")
        with_child(self.provider, "other", "a")
        late = [timer("a", 2, NOW), raised(data="2"), cancellation_of("a", "other")]
        self.provider.enqueue([raised(data="1"), start_of_child("a", "other"), *late])
        self.client.delete_instance("a")

        first, *rest = messages_of(fetch_one(self.provider))
        assert start_of_child("a", "other").message == first
        assert [start_of_child("a", "other").message, *(each.message for each in late[1:])] == rest[1:]

    def test_about_to_be_reused_in_the_family(self) -> None:
        """What members have sent each other goes: nobody is left who waits for it."""
        end(self.provider, with_child(self.provider, "root", "a"))
        ended(self.provider, "b", parent="root")
        self.provider.enqueue([start_of_child("b", "root"), cancellation_of("b", "root")])
        self.client.delete_instance("root", force=True)

        assert {} == stock(self.client)

    def test_about_to_be_reused_by_a_child(self) -> None:
        """A cancellation of a child that has not begun goes with its start."""
        with_child(self.provider, "root", "a")
        self.provider.enqueue([cancellation_of("a", "root"), cancellation_of("a", "other")])
        self.client.delete_instance("root", force=True)

        assert {"messages": 1} == stock(self.client)

    def test_about_to_be_reused_in_bulk(self) -> None:
        """Nor does it go because its sender was looked at, who stays."""
        ended(self.provider, "a")
        turn = with_child(self.provider, "other", "a")
        asked = e.SubOrchestrationScheduled(3, NOW, "pack", "b", "null")
        must_commit(self.provider, more := evolve(next_turn(turn, asked), messages=(start_of_child("b", "other", 3),)))
        end(self.provider, more)

        assert 1 == self.client.delete_instance_bulk(ANY_INSTANCE).instances
        assert ["a", "b"] == sorted(item.lock.instance_id for item in fetch(self.provider))


def messages_of(item: OrchestrationItem) -> list[Message]:
    """Return the messages of a fetched batch."""
    return [queued.message for queued in item.messages]


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
