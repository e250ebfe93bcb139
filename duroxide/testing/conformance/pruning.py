"""Pruning: old executions go, everything that matters stays."""

from __future__ import annotations

from attrs import evolve

from ..._core.commit import (
    ExecutionStatus,
)
from ..._core.events import KvEntry, Parent
from ...client import Client
from ...errors import (
    InstanceNotFound,
    InstanceStillRunning,
)
from ...providers.contract import (
    Provider,
)
from ...providers.management import (
    ANY_INSTANCE,
    InstanceFilter,
    PruneResult,
)
from .checks import Checks, HeldClock, raises
from .populations import begin, continued, end, ended, stock, with_child
from .vocabulary import (
    NEW,
    NOW,
    events_of,
    fetch_one,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    started,
    under,
)


def left(client: Client, instance_id: str = "a") -> list[int]:
    """Return the executions that are left."""
    return [info.execution_id for info in client.list_executions(instance_id)]


def aged(provider: Provider, clock: HeldClock) -> None:
    """An instance whose executions 1 to 4 ended a second after each other, and whose fifth runs."""
    turn = begin(provider, "a")
    for execution_id in range(2, 6):
        clock.advance(1000)
        end(provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        turn = evolve(turn, execution_id=execution_id, started=NEW, events=(started("a", execution_id),))
        must_commit(provider, turn)


class Pruning(Checks):
    """Pruning one instance."""

    def test_prune_chain(self) -> None:
        """[468] The n newest stay, the current one included; the counts are of what went."""
        continued(self.provider, "a", 5)

        assert PruneResult(instances=1, executions=3, events=6) == self.client.prune_executions("a", keep_last=2)
        assert [4, 5] == left(self.client)
        assert PruneResult() == self.client.prune_executions("a", keep_last=2)

    def test_prune_none_zero_one(self) -> None:
        """[561] Nothing, 0 and 1 mean the same: the current one stays."""
        for keep_last in [None, 0, 1]:
            instance_id = f"keeps {keep_last}"
            continued(self.provider, instance_id, 3)
            self.client.prune_executions(instance_id, keep_last=keep_last)

            assert [3] == left(self.client, instance_id)

    def test_prune_current(self) -> None:
        """[561] The current execution stays, however it stands."""
        for status in ExecutionStatus:
            turn = continued(self.provider, status.value, 2)
            if status is not ExecutionStatus.RUNNING:
                end(self.provider, turn, status)
            self.client.prune_executions(status.value, keep_last=0, completed_before=NOW + 1_000_000)

            assert [2] == left(self.client, status.value)
            assert events_of(self.provider, status.value)

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

        assert {"instances": 1, "executions": 1, "events": 2, "messages": 1} == stock(self.client)
        assert {"k": KvEntry("1", NOW)} == self.provider.get_kv_all_values("a")
        assert [started("a", 3), scheduled(2)] == events_of(self.provider)

    def test_prune_child_about_to_start(self) -> None:
        """An execution of which a child is about to start stays until it has: nothing else says whose it is."""
        end(self.provider, turn := with_child(self.provider, "a", "child"), ExecutionStatus.CONTINUED_AS_NEW)
        for execution_id in range(2, 4):
            turn = evolve(first_turn(), execution_id=execution_id, events=(started("a", execution_id),))
            must_commit(self.provider, turn)
            if execution_id == 2:
                end(self.provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        assert 1 == self.client.prune_executions("a").executions
        assert [1, 3] == left(self.client)

        end(self.provider, turn)
        with raises(InstanceStillRunning, match="'child' is about to start"):
            self.client.delete_instance("a")
        above = evolve(NEW, parent=Parent("a", 1, 2))
        must_commit(self.provider, under(fetch_one(self.provider), evolve(first_turn("child"), started=above)))
        assert 1 == self.client.prune_executions("a").executions

    def test_prune_unknown(self) -> None:
        """[561] An unknown id is an error."""
        with raises(InstanceNotFound):
            self.client.prune_executions("nobody")


class BulkPruning(Checks):
    """Pruning by filter."""

    def test_bulk_prune_running_and_ended(self) -> None:
        """[468] All that match are pruned, running or not; those with nothing to prune do not count."""
        continued(self.provider, "runs", 3)
        end(self.provider, continued(self.provider, "done", 3))
        ended(self.provider, "single")

        assert PruneResult(instances=2, executions=4, events=8) == self.client.prune_executions_bulk(ANY_INSTANCE)
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

        assert [2, 2, 1, 0] == [self.client.prune_executions_bulk(ANY_INSTANCE, limit=2).instances for _ in range(4)]

    def test_bulk_prune_times_of_both(self) -> None:
        """The instance's age and the executions' are asked about apart."""
        aged(self.provider, self.clock)
        which = InstanceFilter(created_before=NOW + 1, updated_after=NOW + 4000)

        assert 2 == self.client.prune_executions_bulk(which, completed_before=NOW + 3000).executions
        assert [3, 4, 5] == left(self.client)
        assert 0 == self.client.prune_executions_bulk(InstanceFilter(completed_before=NOW + 1_000_000)).executions
