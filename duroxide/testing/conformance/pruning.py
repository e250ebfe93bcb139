"""XXX."""

from __future__ import annotations




class Pruning(Checks):
    """XXX."""

    def test_prune_chain(self) -> None:
        """[468] The n newest stay, the current one included; the counts are of what went."""
        continued(self.provider, "a", 5)

        assert PruneResult(instances=1, executions=3, events=6) == self.client.prune_executions("a", keep_last=2)
        assert [4, 5] == left(self.client)
        assert PruneResult() == self.client.prune_executions("a", keep_last=2)

    @pytest.mark.parametrize("keep_last", [None, 0, 1])
    def test_prune_none_zero_one(self, keep_last: int | None) -> None:
        """[561] Nothing, 0 and 1 mean the same: the current one stays."""
        continued(self.provider, "a", 3)
        self.client.prune_executions("a", keep_last=keep_last)

        assert [3] == left(self.client)

    @pytest.mark.parametrize("status", [ExecutionStatus.RUNNING, *ExecutionStatus])
    def test_prune_current(self, status: ExecutionStatus) -> None:
        """[561] The current execution stays, however it stands."""
        turn = continued(self.provider, "a", 2)
        if status is not ExecutionStatus.RUNNING:
            end(self.provider, turn, status)
        self.client.prune_executions("a", keep_last=0, completed_before=NOW + 1_000_000)

        assert [2] == left(self.client)
        assert events_of(self.provider)

    def test_prune_more_than_there_are(self) -> None:
        """Keeping more than there are prunes nothing."""
        continued(self.provider, "a", 2)

        assert PruneResult() == self.client.prune_executions("a", keep_last=9)

    def test_prune_completed_before(self) -> None:
        """[468] What ended at the time or later stays."""
        aged(self.provider, self.clock)
        self.client.prune_executions("a", completed_before=NOW + 3000)

        assert [3, 4, 5] == left(self.client)

    def test_prune_both(self) -> None:
        """[468] Both conditions must hold."""
        aged(self.provider, self.clock)
        self.client.prune_executions("a", keep_last=4, completed_before=NOW + 3000)
        assert [2, 3, 4, 5] == left(self.client)

        self.client.prune_executions("a", keep_last=1, completed_before=NOW + 3000)
        assert [3, 4, 5] == left(self.client)

    def test_prune_everything_else_stays(self) -> None:
        """The instance, its key-values, its messages and its current history stay, and it goes on."""
        turn = continued(self.provider, "a", 3)
        must_commit(self.provider, evolve(next_turn(turn, scheduled(2)), kv={"k": KvEntry("1", NOW)}))
        self.provider.enqueue([raised()])
        self.client.prune_executions("a")

        assert {"instances": 1, "executions": 1, "history": 2, "kv": 1, "orchestrator_queue": 1} == rows(
            store, self.provider
        )
        assert [started("a", 3), scheduled(2)] == events_of(self.provider)

    def test_prune_unknown(self) -> None:
        """[561] An unknown id is an error."""
        with pytest.raises(InstanceNotFound):
            self.client.prune_executions("nobody")


class BulkPruning(Checks):
    """XXX."""

    def test_bulk_prune_running_and_ended(self) -> None:
        """[468] All that match are pruned, running or not; those with nothing to prune do not count."""
        continued(self.provider, "runs", 3)
        end(self.provider, continued(self.provider, "done", 3))
        ended(self.provider, "single")

        assert PruneResult(instances=2, executions=4, events=8) == self.client.prune_executions_bulk(ANY)
        assert ([3], [3], [1]) == (left(self.client, "runs"), left(self.client, "done"), left(self.client, "single"))

    def test_bulk_prune_ids(self) -> None:
        """[562] With ids, exactly those are pruned."""
        for instance_id in ["a", "b", "c"]:
            continued(self.provider, instance_id, 2)

        assert 2 == self.client.prune_executions_bulk(InstanceFilter(ids=["a", "c", "nobody"])).instances
        assert ([2], [1, 2], [2]) == (left(self.client, "a"), left(self.client, "b"), left(self.client, "c"))

    def test_bulk_prune_limit(self) -> None:
        """[468] A limit counts instances of which something went, so that calling again goes on."""
        for number in range(5):
            continued(self.provider, f"i{number}", 2)

        assert [2, 2, 1, 0] == [self.client.prune_executions_bulk(ANY, limit=2).instances for _ in range(4)]

    def test_bulk_prune_times_of_both(self) -> None:
        """The instance's age and the executions' are asked about apart."""
        aged(self.provider, self.clock)
        which = InstanceFilter(created_before=NOW + 1, updated_after=NOW + 4000)

        assert 2 == self.client.prune_executions_bulk(which, completed_before=NOW + 3000).executions
        assert [3, 4, 5] == left(self.client)
        assert 0 == self.client.prune_executions_bulk(InstanceFilter(completed_before=NOW + 1_000_000)).executions
