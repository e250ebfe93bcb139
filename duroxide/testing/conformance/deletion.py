"""Deleting an instance with everything below it."""

from __future__ import annotations

from attrs import evolve

from ..._core import events as e
from ..._core.commit import (
    CommitResult,
    ExecutionStatus,
    TurnCommit,
)
from ..._core.events import KvEntry
from ...client import Client
from ...errors import (
    CannotDeleteSubOrchestration,
    InstanceNotFound,
    InstanceStillRunning,
)
from ...providers.contract import OrchestrationItem, Release
from ...providers.management import (
    DeleteResult,
)
from .checks import Checks, raises
from .populations import begin, continued, end, ended, stock, with_child
from .vocabulary import (
    NOW,
    activity,
    commit,
    events_of,
    fetch,
    fetch_one,
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


class Deletion(Checks):
    """Deleting one instance."""

    def test_delete_ended(self) -> None:
        """[459][546] An instance that has ended goes, with all that it has, and that is counted."""
        for status in [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED]:
            ended(self.provider, "a", status=status)
            self.provider.enqueue([raised()])

            expected = DeleteResult(instances=1, executions=1, events=2, queue_messages=1)
            assert expected == self.client.delete_instance("a")
            assert {} == stock(self.client)

    def test_delete_everything(self) -> None:
        """[545] [549] With force, all is gone: history, executions, key-values, both queues, locks."""
        turn = continued(self.provider, "a", 3)
        works = [activity("a", 2, execution_id=3), activity("a", 3, execution_id=3, session_id="s")]
        busy = evolve(
            next_turn(turn, scheduled(2), scheduled(3)),
            activities=tuple(works),
            eager=(lock_of(works[0]),),
            messages=(timer("a", 9, NOW + 1000, 3),),
            kv={"k": KvEntry("1", NOW)},
        )
        must_commit(self.provider, busy)
        self.provider.enqueue([raised()])
        fetch(self.provider)

        result = self.client.delete_instance("a", force=True)
        assert DeleteResult(instances=1, executions=3, events=7, queue_messages=4) == result
        assert ({}, {}, None) == (
            stock(self.client),
            self.provider.get_kv_all_values("a"),
            self.provider.next_due_ms(),
        )

    def test_delete_leaves_others_alone(self) -> None:
        """What belongs to other instances stays, however alike their ids are."""
        for instance_id in ["a", "ab", "A", "a%"]:
            must_commit(self.provider, first_turn(instance_id, activity(instance_id)))
            self.provider.enqueue([raised(instance_id)])
        self.client.delete_instance("a", force=True)

        expected = {"instances": 3, "executions": 3, "events": 6, "activities": 3, "messages": 3}
        assert expected == stock(self.client)

    def test_delete_unknown(self) -> None:
        """[461][548] An unknown id is an error, with force too."""
        for force in [False, True]:
            with raises(InstanceNotFound, match="'nobody'"):
                self.client.delete_instance("nobody", force=force)

    def test_delete_running(self) -> None:
        """A running instance is refused; nothing is deleted."""
        begin(self.provider, "a")

        with raises(InstanceStillRunning, match="'a'"):
            self.client.delete_instance("a")
        assert [started()] == events_of(self.provider)

    def test_delete_between_executions(self) -> None:
        """An instance whose next execution is about to start still runs."""
        ended(self.provider, "a", status=ExecutionStatus.CONTINUED_AS_NEW)

        with raises(InstanceStillRunning, match="'a'"):
            self.client.delete_instance("a")

    def test_delete_locked(self) -> None:
        """
        An instance that has ended goes although somebody holds it, for a message that came late.

        What he does with it is refused then, and brings nothing back, also when the id is used again.
        """
        turn = ended(self.provider, "a")
        self.provider.enqueue([raised()])
        item = fetch_one(self.provider)
        assert DeleteResult(1, 1, 2, 1) == deleted(self.client, "a")
        late = consuming(item, turn)

        assert [CommitResult.LOCK_LOST] == commit(self.provider, late)
        assert {} == stock(self.client)
        self.provider.enqueue([start()])
        again = fetch_one(self.provider)
        assert [CommitResult.LOCK_LOST] == commit(self.provider, late)
        assert [False] == self.provider.release_orchestration_items([Release(item.lock)])
        must_commit(self.provider, under(again, evolve(first_turn(), incarnation=8)))
        assert [started()] == events_of(self.provider)


def deleted(client: Client, instance_id: str) -> DeleteResult | None:
    """Delete what has ended; None if that is refused."""
    try:
        return client.delete_instance(instance_id)
    except InstanceStillRunning:
        return None


def consuming(item: OrchestrationItem, turn: TurnCommit) -> TurnCommit:
    """What a runtime commits for *item* after *turn* has ended its instance: only its messages go."""
    return evolve(
        under(item, turn),
        last_event_id=item.last_event_id,
        events=(),
        status=ExecutionStatus.RUNNING,
        output=None,
    )


class DeletingTrees(Checks):
    """Deleting an instance with children."""

    def family(self) -> None:
        """A root with two children and three grandchildren, all ended, beside another one."""
        for instance_id, parent in [
            ("root", None),
            ("a", "root"),
            ("b", "root"),
            ("a1", "a"),
            ("a2", "a"),
            ("b1", "b"),
        ]:
            ended(self.provider, instance_id, parent=parent)
        ended(self.provider, "other")

    def test_delete_tree_whole(self) -> None:
        """[462] A root takes everything below it along, and the counts are of all."""
        self.family()
        assert DeleteResult(instances=6, executions=6, events=12) == self.client.delete_instance("root")
        assert {"instances": 1, "executions": 1, "events": 2} == stock(self.client)

    def test_delete_tree_child(self) -> None:
        """[461] A child is refused, also with force; the error names it and the root."""
        self.family()
        for instance_id, force in [("a", False), ("a", True), ("a1", False), ("a1", True)]:
            with raises(CannotDeleteSubOrchestration, match=f"{instance_id!r}.*'root'"):
                self.client.delete_instance(instance_id, force=force)
        assert 7 == self.client.get_system_metrics().total_instances

    def test_delete_tree_child_of_pruned(self) -> None:
        """A child of an execution that has been pruned is a root: nobody can wait for it, and the parent goes on for ever."""
        continued(self.provider, "root", 3)
        for instance_id, parent in [("a", "root"), ("a1", "a")]:
            ended(self.provider, instance_id, parent=parent)
        with raises(CannotDeleteSubOrchestration, match="'root'"):
            self.client.delete_instance("a")
        self.client.prune_executions("root", keep_last=2)

        with raises(CannotDeleteSubOrchestration, match="'a1'.*Delete the root, 'a'"):
            self.client.delete_instance("a1")
        assert DeleteResult(instances=2, executions=2, events=4) == self.client.delete_instance("a")

    def test_delete_tree_running_member(self) -> None:
        """[554] A tree with a running member is refused as a whole, without force; nothing is deleted."""
        self.family()
        begin(self.provider, "b2", parent="b")

        with raises(InstanceStillRunning, match="'root'.*'b2'"):
            self.client.delete_instance("root")
        assert 8 == self.client.get_system_metrics().total_instances
        assert 7 == self.client.delete_instance("root", force=True).instances

    def test_delete_tree_late_report(self) -> None:
        """A tree goes while its root is held for what a child has reported after both had ended: it was cancelled, say."""
        turn = ended(self.provider, "root")
        for instance_id, parent in [("a", "root"), ("other", None)]:
            ended(self.provider, instance_id, parent=parent)
        self.provider.enqueue([raised("root"), raised("a"), raised("other")])
        items = fetch(self.provider)
        assert DeleteResult(2, 2, 4, 2) == deleted(self.client, "root")

        by_id = {item.lock.instance_id: item for item in items}
        assert [CommitResult.LOCK_LOST, CommitResult.COMMITTED] == commit(
            self.provider, consuming(by_id["root"], turn), consuming(by_id["other"], evolve(turn, instance_id="other"))
        )
        assert {"instances": 1, "executions": 1, "events": 2} == stock(self.client)

    def test_delete_tree_child_about_to_start(self) -> None:
        """A child that is still a message keeps its parent from being deleted, and goes with it by force."""
        end(self.provider, with_child(self.provider, "root", "child"))

        with raises(InstanceStillRunning, match="'root'.*'child'"):
            self.client.delete_instance("root")
        assert 1 == self.client.delete_instance("root", force=True).queue_messages
        assert {} == stock(self.client)

    def test_delete_tree_child_being_started(self) -> None:
        """The first turn of a child whose parent was deleted meanwhile is refused."""
        with_child(self.provider, "root", "child")
        item = fetch_one(self.provider)
        self.client.delete_instance("root", force=True)

        assert [CommitResult.STALE] == commit(self.provider, under(item, first_turn("child")))
        assert None is self.provider.get_instance_info("child")

    def test_delete_tree_start_by_somebody_else(self) -> None:
        """A start of the same id by somebody else stays."""
        with_child(self.provider, "root", "child")
        self.provider.enqueue([start("child")])
        self.client.delete_instance("root", force=True)

        assert [None] == [getattr(message.message, "parent", "?") for message in fetch_one(self.provider).messages]

    def test_delete_tree_detached(self) -> None:
        """A detached instance is nobody's child: it stays."""
        turn = first_turn("root", messages=(start("free"),))
        must_commit(
            self.provider, evolve(turn, events=(*turn.events, e.OrchestrationChained(2, NOW, "fulfil", "free", "null")))
        )
        self.client.delete_instance("root", force=True)

        assert "free" == fetch_one(self.provider).lock.instance_id
