"""Pruning: old executions go, everything that matters stays."""

from __future__ import annotations

import pytest

from attrs import evolve

from duroxide._core.commit import ExecutionStatus
from duroxide._core.events import KvEntry
from duroxide.client import Client
from duroxide.errors import InstanceNotFound, InvalidInput
from duroxide.providers.management import InstanceFilter, PruneResult
from duroxide.providers.sql import SqlProvider, pruning

from .populations import begin, continued, end, ended, rows
from .stores import NEW, NOW, HeldClock, Store, events_of, must_commit, next_turn, raised, scheduled, started


ANY = InstanceFilter()


@pytest.fixture
def client(provider: SqlProvider) -> Client:
    """A client of the provider."""
    return Client(provider)


def left(client: Client, instance_id: str = "a") -> list[int]:
    """Return the executions that are left."""
    return [info.execution_id for info in client.list_executions(instance_id)]


def aged(provider: SqlProvider, clock: HeldClock) -> None:
    """An instance whose executions 1 to 4 ended a second after each other, and whose fifth runs."""
    turn = begin(provider, "a")
    for execution_id in range(2, 6):
        clock.advance(1000)
        end(provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        turn = evolve(turn, execution_id=execution_id, started=NEW, events=(started("a", execution_id),))
        must_commit(provider, turn)


class TestOne:
    def test_chain(self, provider: SqlProvider, client: Client) -> None:
        """[468] The n newest stay, the current one included; the counts are of what went."""
        continued(provider, "a", 5)

        assert PruneResult(instances=1, executions=3, events=6) == client.prune_executions("a", keep_last=2)
        assert [4, 5] == left(client)
        assert PruneResult() == client.prune_executions("a", keep_last=2)

    @pytest.mark.parametrize("keep_last", [None, 0, 1])
    def test_none_zero_one(self, provider: SqlProvider, client: Client, keep_last: int | None) -> None:
        """[561] Nothing, 0 and 1 mean the same: the current one stays."""
        continued(provider, "a", 3)
        client.prune_executions("a", keep_last=keep_last)

        assert [3] == left(client)

    @pytest.mark.parametrize("status", [ExecutionStatus.RUNNING, *ExecutionStatus])
    def test_current(self, provider: SqlProvider, client: Client, status: ExecutionStatus) -> None:
        """[561] The current execution stays, however it stands."""
        turn = continued(provider, "a", 2)
        if status is not ExecutionStatus.RUNNING:
            end(provider, turn, status)
        client.prune_executions("a", keep_last=0, completed_before=NOW + 1_000_000)

        assert [2] == left(client)
        assert events_of(provider)

    def test_more_than_there_are(self, provider: SqlProvider, client: Client) -> None:
        """Keeping more than there are prunes nothing."""
        continued(provider, "a", 2)

        assert PruneResult() == client.prune_executions("a", keep_last=9)

    def test_completed_before(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """[468] What ended at the time or later stays."""
        aged(provider, clock)
        client.prune_executions("a", completed_before=NOW + 3000)

        assert [3, 4, 5] == left(client)

    def test_both(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """[468] Both conditions must hold."""
        aged(provider, clock)
        client.prune_executions("a", keep_last=4, completed_before=NOW + 3000)
        assert [2, 3, 4, 5] == left(client)

        client.prune_executions("a", keep_last=1, completed_before=NOW + 3000)
        assert [3, 4, 5] == left(client)

    def test_everything_else_stays(self, store: Store, provider: SqlProvider, client: Client) -> None:
        """The instance, its key-values, its messages and its current history stay, and it goes on."""
        turn = continued(provider, "a", 3)
        must_commit(provider, evolve(next_turn(turn, scheduled(2)), kv={"k": KvEntry("1", NOW)}))
        provider.enqueue([raised()])
        client.prune_executions("a")

        assert {"instances": 1, "executions": 1, "history": 2, "kv": 1, "orchestrator_queue": 1} == rows(
            store, provider
        )
        assert [started("a", 3), scheduled(2)] == events_of(provider)

    def test_unknown(self, client: Client) -> None:
        """[561] An unknown id is an error."""
        with pytest.raises(InstanceNotFound):
            client.prune_executions("nobody")

    @pytest.mark.parametrize("keep_last", [-1, True, "2", 1.5])
    def test_bad_count(self, client: Client, keep_last: int) -> None:
        """A count that is no int from 0 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^keep_last is"):
            client.prune_executions("a", keep_last=keep_last)

    def test_bad_time(self, client: Client) -> None:
        """A time that is none is refused by name."""
        with pytest.raises(InvalidInput, match=r"^completed_before is"):
            client.prune_executions("a", completed_before="today")  # type: ignore[arg-type]


class TestBulk:
    def test_running_and_ended(self, provider: SqlProvider, client: Client) -> None:
        """[468] All that match are pruned, running or not; those with nothing to prune do not count."""
        continued(provider, "runs", 3)
        end(provider, continued(provider, "done", 3))
        ended(provider, "single")

        assert PruneResult(instances=2, executions=4, events=8) == client.prune_executions_bulk(ANY)
        assert ([3], [3], [1]) == (left(client, "runs"), left(client, "done"), left(client, "single"))

    def test_ids(self, provider: SqlProvider, client: Client) -> None:
        """[562] With ids, exactly those are pruned."""
        for instance_id in ["a", "b", "c"]:
            continued(provider, instance_id, 2)

        assert 2 == client.prune_executions_bulk(InstanceFilter(ids=["a", "c", "nobody"])).instances
        assert ([2], [1, 2], [2]) == (left(client, "a"), left(client, "b"), left(client, "c"))

    def test_limit(self, provider: SqlProvider, client: Client) -> None:
        """[468] A limit counts instances of which something went, so that calling again goes on."""
        for number in range(5):
            continued(provider, f"i{number}", 2)

        assert [2, 2, 1, 0] == [client.prune_executions_bulk(ANY, limit=2).instances for _ in range(4)]

    def test_times_of_both(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """The instance's age and the executions' are asked about apart."""
        aged(provider, clock)
        which = InstanceFilter(created_before=NOW + 1, updated_after=NOW + 4000)

        assert 2 == client.prune_executions_bulk(which, completed_before=NOW + 3000).executions
        assert [3, 4, 5] == left(client)
        assert 0 == client.prune_executions_bulk(InstanceFilter(completed_before=NOW + 1_000_000)).executions

    def test_bounded(self, provider: SqlProvider, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """No transaction removes more events than its share, and many executions take several looks."""
        for instance_id in ["a", "b"]:
            continued(provider, instance_id, 8)
        monkeypatch.setattr(pruning, "MAX_EVENTS", 6)
        monkeypatch.setattr(pruning, "MAX_EXECUTIONS", 4)
        sizes: list[int] = []
        remove = pruning._remove

        def record(*args: object, **named: object) -> object:
            removed = remove(*args, **named)  # type: ignore[arg-type]
            sizes.append(removed.events)
            return removed

        monkeypatch.setattr(pruning, "_remove", record)

        assert PruneResult(instances=2, executions=14, events=28) == client.prune_executions_bulk(ANY)
        assert [6, 2, 6, 2, 6, 2, 4] == sizes

    def test_another_life(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """An execution of the same number of another life of the id is not what was to go."""
        continued(provider, "a", 3)
        client = Client(provider)
        # Outside of the transaction, as the other life comes from elsewhere.
        monkeypatch.setattr(pruning, "_batches", _first_doing(pruning._batches, lambda: _replace(provider)))

        assert PruneResult() == client.prune_executions("a")
        assert [1] == left(client)


def _replace(provider: SqlProvider) -> None:
    provider.delete_instance("a", force=True)
    begin(provider, "a", incarnation=8)


def _first_doing(function: object, what: object) -> object:
    """Return *function*, preceded by *what* the first time."""
    todo = [what]

    def both(*args: object) -> object:
        if todo:
            todo.pop()()  # type: ignore[operator]
        return function(*args)  # type: ignore[operator]

    return both
