"""XXX."""

from __future__ import annotations




class Reuse(Checks):
    """XXX."""

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
    """XXX."""

    def test_delete_at_once_two_deletions(self) -> None:
        """[465] Of deletions at the same time one succeeds, and the others find nothing."""
        providers = [shared_store.open() for _ in range(4)]
        for instance_id, parent in [("root", None), ("a", "root"), ("b", "root"), ("c", "a")]:
            ended(providers[0], instance_id, parent=parent)
        outcomes: list[DeleteResult | InstanceNotFound] = []
        together = threading.Barrier(len(providers))

        def delete(provider: SqlProvider) -> None:
            together.wait()
            try:
                outcomes.append(self.provider.delete_instance("root", force=False))
            except InstanceNotFound as error:
                outcomes.append(error)

        run_all([threading.Thread(target=delete, args=(self.provider,)) for self.provider in providers])

        assert [DeleteResult(4, 4, 8)] == [outcome for outcome in outcomes if isinstance(outcome, DeleteResult)]
        assert len(providers) == len(outcomes)
        assert {} == rows(shared_store, providers[0])

    def test_delete_at_once_children_that_come_meanwhile(self) -> None:
        """However a child's first turn and the deletion of its parent race, no child is left without its parent."""
        first, second = shared_store.open(), shared_store.open()
        for number in range(15):
            root, child = f"root-{number}", f"child-{number}"
            with_child(first, root, child)
            item = fetch_one(first)
            above = evolve(NEW, parent=e.Parent(root, 1, 2))
            turn = under(item, evolve(first_turn(child), started=above))
            together = threading.Barrier(2)

            def start_child(turn: TurnCommit = turn, together: threading.Barrier = together) -> None:
                together.wait()
                commit(first, turn)

            def delete(root: str = root, together: threading.Barrier = together) -> None:
                together.wait()
                second.delete_instance(root, force=True)

            run_all([threading.Thread(target=start_child), threading.Thread(target=delete)])

        assert {} == {name: count for name, count in rows(shared_store, first).items() if name != "instance_locks"}
