"""XXX."""

from __future__ import annotations




class Deletion(Checks):
    """XXX."""

    @pytest.mark.parametrize("status", [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED])
    def test_delete_ended(self, status: ExecutionStatus) -> None:
        """[459][546] An instance that has ended goes, with all its rows, and they are counted."""
        ended(self.provider, "a", status=status)
        self.provider.enqueue([raised()])

        assert DeleteResult(instances=1, executions=1, events=2, queue_messages=1) == self.client.delete_instance("a")
        assert {} == rows(store, self.provider)

    def test_delete_everything(self) -> None:
        """[549] With force, every table is clean: history, executions, key-values, both queues, locks."""
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
        assert {} == rows(store, self.provider)

    def test_delete_leaves_others_alone(self) -> None:
        """What belongs to other instances stays, however alike their ids are."""
        for instance_id in ["a", "ab", "A", "a%"]:
            must_commit(self.provider, first_turn(instance_id, activity(instance_id)))
            self.provider.enqueue([raised(instance_id)])
        self.client.delete_instance("a", force=True)

        assert {"instances": 3, "executions": 3, "history": 6, "worker_queue": 3, "orchestrator_queue": 3} == rows(
            store, self.provider
        )

    def test_delete_unknown(self) -> None:
        """[461][548] An unknown id is an error, with force too."""
        for force in [False, True]:
            with pytest.raises(InstanceNotFound, match="'nobody' not found"):
                self.client.delete_instance("nobody", force=force)

    def test_delete_running(self) -> None:
        """A running instance is refused, with the remedy; nothing is deleted."""
        begin(self.provider, "a")

        with pytest.raises(InstanceStillRunning, match=r"'a' is Running\. Wait .* cancel_instance.* force=True"):
            self.client.delete_instance("a")
        assert [started()] == events_of(self.provider)

    def test_delete_between_executions(self) -> None:
        """An instance whose next execution is about to start still runs."""
        ended(self.provider, "a", status=ExecutionStatus.CONTINUED_AS_NEW)

        with pytest.raises(InstanceStillRunning, match="'a' is ContinuedAsNew"):
            self.client.delete_instance("a")

    def test_delete_locked(self) -> None:
        """An instance that somebody holds is refused until the lock has expired."""
        ended(self.provider, "a")
        self.provider.enqueue([raised()])
        fetch(self.provider)

        with pytest.raises(InstanceStillRunning, match="'a' is locked"):
            self.client.delete_instance("a")
        self.clock.advance(1_000_000)
        assert 1 == self.client.delete_instance("a").instances


class DeletingTrees(Checks):
    """XXX."""

    @pytest.fixture
    def family(self) -> SqlProvider:
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
        return self.provider

    def test_delete_tree_whole(self, family: SqlProvider) -> None:
        """[462] A root takes everything below it along, and the counts are of all."""
        assert DeleteResult(instances=6, executions=6, events=12) == self.client.delete_instance("root")
        assert {"instances": 1, "executions": 1, "history": 2} == rows(store, family)

    @pytest.mark.parametrize("instance_id", ["a", "a1"])
    @pytest.mark.parametrize("force", [False, True])
    def test_delete_tree_child(self, family: SqlProvider, instance_id: str, *, force: bool) -> None:
        """[461] A child is refused, also with force; the error names the root."""
        with pytest.raises(CannotDeleteSubOrchestration, match=f"{instance_id!r} is a child .* the root, 'root'"):
            self.client.delete_instance(instance_id, force=force)
        assert 7 == self.client.get_system_metrics().total_instances

    def test_delete_tree_running_member(self, family: SqlProvider) -> None:
        """[554] A tree with a running member is refused as a whole, without force; nothing is deleted."""
        begin(family, "b2", parent="b")

        with pytest.raises(InstanceStillRunning, match=r"'root' cannot be deleted: 'b2' is Running"):
            self.client.delete_instance("root")
        assert 8 == self.client.get_system_metrics().total_instances
        assert 7 == self.client.delete_instance("root", force=True).instances

    def test_delete_tree_child_about_to_start(self) -> None:
        """A child that is still a message keeps its parent from being deleted, and goes with it by force."""
        end(self.provider, with_child(self.provider, "root", "child"))

        with pytest.raises(
            InstanceStillRunning, match=r"'root' cannot be deleted: its child 'child' is about to start"
        ):
            self.client.delete_instance("root")
        assert 1 == self.client.delete_instance("root", force=True).queue_messages
        assert {} == rows(store, self.provider)

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
