"""Deleting instances: everything goes, nothing of it comes back, and nobody is left behind."""

from __future__ import annotations

import threading

from collections.abc import Sequence

import pytest

from attrs import evolve
from sqlalchemy import update

from duroxide._core import events as e
from duroxide._core.commit import CommitResult, ExecutionStatus, Outgoing, TurnCommit
from duroxide._core.events import KvEntry
from duroxide._core.messages import StartOrchestration
from duroxide.client import Client
from duroxide.errors import CannotDeleteSubOrchestration, InstanceNotFound, InstanceStillRunning, InvalidInput
from duroxide.providers.contract import ActivityAck, Release
from duroxide.providers.management import DeleteResult, InstanceFilter
from duroxide.providers.sql import SqlProvider, deletion
from duroxide.providers.sql.schema import instances

from .populations import begin, continued, end, ended, rows
from .stores import (
    NEW,
    NOW,
    HeldClock,
    Store,
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


ANY = InstanceFilter()


@pytest.fixture
def client(provider: SqlProvider) -> Client:
    """A client of the provider."""
    return Client(provider)


def start_of_child(child: str, parent: str, event_id: int = 2) -> Outgoing:
    """The message that starts *child*."""
    return Outgoing(StartOrchestration(child, "pack", "null", parent=e.Parent(parent, 1, event_id)))


def with_child(provider: SqlProvider, parent: str, child: str) -> TurnCommit:
    """A first turn of *parent* that has scheduled *child*, whose start message waits."""
    turn = first_turn(parent, messages=(start_of_child(child, parent),))
    turn = evolve(turn, events=(*turn.events, e.SubOrchestrationScheduled(2, NOW, "pack", child, "null")))
    must_commit(provider, turn)
    return turn


class TestDelete:
    @pytest.mark.parametrize("status", [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED])
    def test_ended(self, store: Store, provider: SqlProvider, client: Client, status: ExecutionStatus) -> None:
        """[459][546] An instance that has ended goes, with all its rows, and they are counted."""
        ended(provider, "a", status=status)
        provider.enqueue([raised()])

        assert DeleteResult(instances=1, executions=1, events=2, queue_messages=1) == client.delete_instance("a")
        assert {} == rows(store, provider)

    def test_everything(self, store: Store, provider: SqlProvider, client: Client) -> None:
        """[549] With force, every table is clean: history, executions, key-values, both queues, locks."""
        turn = continued(provider, "a", 3)
        works = [activity("a", 2, execution_id=3), activity("a", 3, execution_id=3, session_id="s")]
        busy = evolve(
            next_turn(turn, scheduled(2), scheduled(3)),
            activities=tuple(works),
            eager=(lock_of(works[0]),),
            messages=(timer("a", 9, NOW + 1000, 3),),
            kv={"k": KvEntry("1", NOW)},
        )
        must_commit(provider, busy)
        provider.enqueue([raised()])
        fetch(provider)

        result = client.delete_instance("a", force=True)
        assert DeleteResult(instances=1, executions=3, events=7, queue_messages=4) == result
        assert {} == rows(store, provider)

    def test_leaves_others_alone(self, store: Store, provider: SqlProvider, client: Client) -> None:
        """What belongs to other instances stays, however alike their ids are."""
        for instance_id in ["a", "ab", "A", "a%"]:
            must_commit(provider, first_turn(instance_id, activity(instance_id)))
            provider.enqueue([raised(instance_id)])
        client.delete_instance("a", force=True)

        assert {"instances": 3, "executions": 3, "history": 6, "worker_queue": 3, "orchestrator_queue": 3} == rows(
            store, provider
        )

    def test_unknown(self, client: Client) -> None:
        """[461][548] An unknown id is an error, with force too."""
        for force in [False, True]:
            with pytest.raises(InstanceNotFound, match="'nobody' not found"):
                client.delete_instance("nobody", force=force)

    @pytest.mark.parametrize("instance_id", ["", "a\0", "\ud800", 7])
    def test_no_id(self, client: Client, instance_id: str) -> None:
        """What cannot be an id is refused before the database is asked."""
        with pytest.raises(InvalidInput, match=r"^instance id"):
            client.delete_instance(instance_id)

    def test_running(self, provider: SqlProvider, client: Client) -> None:
        """A running instance is refused, with the remedy; nothing is deleted."""
        begin(provider, "a")

        with pytest.raises(InstanceStillRunning, match=r"'a' is Running\. Wait .* cancel_instance.* force=True"):
            client.delete_instance("a")
        assert [started()] == events_of(provider)

    def test_between_executions(self, provider: SqlProvider, client: Client) -> None:
        """An instance whose next execution is about to start still runs."""
        ended(provider, "a", status=ExecutionStatus.CONTINUED_AS_NEW)

        with pytest.raises(InstanceStillRunning, match="'a' is ContinuedAsNew"):
            client.delete_instance("a")

    def test_locked(self, provider: SqlProvider, client: Client, clock: HeldClock) -> None:
        """An instance that somebody holds is refused until the lock has expired."""
        ended(provider, "a")
        provider.enqueue([raised()])
        fetch(provider)

        with pytest.raises(InstanceStillRunning, match="'a' is locked"):
            client.delete_instance("a")
        clock.advance(1_000_000)
        assert 1 == client.delete_instance("a").instances


class TestTree:
    @pytest.fixture
    def family(self, provider: SqlProvider) -> SqlProvider:
        """A root with two children and three grandchildren, all ended, beside another one."""
        for instance_id, parent in [
            ("root", None),
            ("a", "root"),
            ("b", "root"),
            ("a1", "a"),
            ("a2", "a"),
            ("b1", "b"),
        ]:
            ended(provider, instance_id, parent=parent)
        ended(provider, "other")
        return provider

    def test_whole(self, family: SqlProvider, client: Client, store: Store) -> None:
        """[462] A root takes everything below it along, and the counts are of all."""
        assert DeleteResult(instances=6, executions=6, events=12) == client.delete_instance("root")
        assert {"instances": 1, "executions": 1, "history": 2} == rows(store, family)

    @pytest.mark.parametrize("instance_id", ["a", "a1"])
    @pytest.mark.parametrize("force", [False, True])
    def test_child(self, family: SqlProvider, client: Client, instance_id: str, *, force: bool) -> None:
        """[461] A child is refused, also with force; the error names the root."""
        with pytest.raises(CannotDeleteSubOrchestration, match=f"{instance_id!r} is a child .* the root, 'root'"):
            client.delete_instance(instance_id, force=force)
        assert 7 == client.get_system_metrics().total_instances

    def test_running_member(self, family: SqlProvider, client: Client) -> None:
        """[554] A tree with a running member is refused as a whole, without force; nothing is deleted."""
        begin(family, "b2", parent="b")

        with pytest.raises(InstanceStillRunning, match=r"'root' cannot be deleted: 'b2' is Running"):
            client.delete_instance("root")
        assert 8 == client.get_system_metrics().total_instances
        assert 7 == client.delete_instance("root", force=True).instances

    def test_orphan(self, family: SqlProvider, client: Client, store: Store) -> None:
        """A child whose parent is gone is nobody's child any more."""
        with family._engine.begin() as connection:
            connection = connection.execution_options(schema_translate_map={None: store.schema})
            connection.execute(
                update(instances).where(instances.c.instance_id == "b").values(parent_instance_id="gone")
            )

        assert 2 == client.delete_instance("b").instances

    def test_child_about_to_start(self, provider: SqlProvider, client: Client, store: Store) -> None:
        """A child that is still a message keeps its parent from being deleted, and goes with it by force."""
        end(provider, with_child(provider, "root", "child"))

        with pytest.raises(
            InstanceStillRunning, match=r"'root' cannot be deleted: its child 'child' is about to start"
        ):
            client.delete_instance("root")
        assert 1 == client.delete_instance("root", force=True).queue_messages
        assert {} == rows(store, provider)

    def test_child_being_started(self, provider: SqlProvider, client: Client) -> None:
        """The first turn of a child whose parent was deleted meanwhile is refused."""
        with_child(provider, "root", "child")
        item = fetch_one(provider)
        client.delete_instance("root", force=True)

        assert [CommitResult.STALE] == commit(provider, under(item, first_turn("child")))
        assert None is provider.get_instance_info("child")

    def test_start_by_somebody_else(self, provider: SqlProvider, client: Client) -> None:
        """A start of the same id by somebody else stays."""
        with_child(provider, "root", "child")
        provider.enqueue([start("child")])
        client.delete_instance("root", force=True)

        assert [None] == [getattr(message.message, "parent", "?") for message in fetch_one(provider).messages]

    def test_detached(self, provider: SqlProvider, client: Client) -> None:
        """A detached instance is nobody's child: it stays."""
        turn = first_turn("root", messages=(start("free"),))
        must_commit(
            provider, evolve(turn, events=(*turn.events, e.OrchestrationChained(2, NOW, "fulfil", "free", "null")))
        )
        client.delete_instance("root", force=True)

        assert "free" == fetch_one(provider).lock.instance_id


class TestReuse:
    """Of the former life of an id, nothing reaches the next one."""

    def test_clean(self, provider: SqlProvider, client: Client) -> None:
        """[549] An id can be used again, and starts from nothing."""
        must_commit(provider, evolve(first_turn(), kv={"k": KvEntry("1", NOW)}))
        client.delete_instance("a", force=True)
        provider.enqueue([start()])
        item = fetch_one(provider)

        assert (0, 0, 1) == (item.execution_id, item.last_event_id, len(item.messages))
        must_commit(provider, under(item, evolve(first_turn(), incarnation=8)))
        assert {} == provider.get_kv_all_values("a")

    def test_turn_under_way(self, provider: SqlProvider, client: Client) -> None:
        """[551] A turn that began before is refused, and does not bring the instance back."""
        turn = begin(provider, "a")
        provider.enqueue([raised()])
        item = fetch_one(provider)
        client.delete_instance("a", force=True)

        stale = under(item, next_turn(turn, scheduled(2)))
        assert [CommitResult.LOCK_LOST] == commit(provider, stale)
        assert [False] == provider.release_orchestration_items([Release(item.lock)])
        assert None is provider.get_instance_info("a")

    def test_short_way(self, provider: SqlProvider, client: Client) -> None:
        """A turn from memory is refused: before the id is used again, and after, although the event ids fit."""
        turn = begin(provider, "a")
        client.delete_instance("a", force=True)
        stale = next_turn(turn, scheduled(2))

        assert [CommitResult.STALE] == commit(provider, stale)
        begin(provider, "a", incarnation=8)
        assert [CommitResult.STALE] == commit(provider, stale)
        assert [started()] == events_of(provider)

    def test_next_execution(self, provider: SqlProvider, client: Client) -> None:
        """A next execution from memory is refused."""
        turn = ended(provider, "a", status=ExecutionStatus.CONTINUED_AS_NEW)
        client.delete_instance("a", force=True)
        begin(provider, "a", incarnation=8)
        stale = evolve(
            turn,
            execution_id=2,
            last_event_id=0,
            started=NEW,
            events=(started("a", 2),),
            status=ExecutionStatus.RUNNING,
        )

        assert [CommitResult.STALE] == commit(provider, stale)

    def test_activity(self, provider: SqlProvider, client: Client) -> None:
        """[555] A worker's token of the former life is worth nothing, and its result is never seen."""
        must_commit(provider, first_turn("a", activity()))
        (item,) = fetch_work(provider)
        client.delete_instance("a", force=True)
        must_commit(provider, evolve(first_turn("a", activity()), incarnation=8))

        assert [False] == provider.ack_activities([ActivityAck(item.lock, completed(0, 2))])
        assert frozenset() == provider.renew_activity_locks([item.lock], 1000)
        assert [] == fetch(provider)
        assert 1 == len(fetch_work(provider))

    def test_finished_activity(self, provider: SqlProvider, client: Client) -> None:
        """A result on the short way is refused as well."""
        work = activity()
        turn = first_turn("a", work, eager=(lock_of(work),))
        must_commit(provider, turn)
        client.delete_instance("a", force=True)
        must_commit(provider, evolve(turn, incarnation=8))
        stale = evolve(next_turn(turn, completed(3, 2)), finished_activities=(lock_of(work),))

        assert [CommitResult.STALE] == commit(provider, stale)

    def test_completion_on_its_way(self, provider: SqlProvider, client: Client) -> None:
        """A completion that waits as a message goes with the instance."""
        must_commit(provider, first_turn("a", activity()))
        (item,) = fetch_work(provider)
        assert [True] == provider.ack_activities([ActivityAck(item.lock, completed(0, 2))])
        client.delete_instance("a", force=True)
        must_commit(provider, evolve(first_turn("a", activity()), incarnation=8))

        assert [] == fetch(provider)


class TestAtOnce:
    def test_two_deletions(self, shared_store: Store) -> None:
        """[465] Of deletions at the same time one succeeds, and the others find nothing."""
        providers = [shared_store.open() for _ in range(4)]
        for instance_id, parent in [("root", None), ("a", "root"), ("b", "root"), ("c", "a")]:
            ended(providers[0], instance_id, parent=parent)
        outcomes: list[DeleteResult | InstanceNotFound] = []
        together = threading.Barrier(len(providers))

        def delete(provider: SqlProvider) -> None:
            together.wait()
            try:
                outcomes.append(provider.delete_instance("root", force=False))
            except InstanceNotFound as error:
                outcomes.append(error)

        run_all([threading.Thread(target=delete, args=(provider,)) for provider in providers])

        assert [DeleteResult(4, 4, 8)] == [outcome for outcome in outcomes if isinstance(outcome, DeleteResult)]
        assert len(providers) == len(outcomes)
        assert {} == rows(shared_store, providers[0])

    def test_children_that_come_meanwhile(self, shared_store: Store) -> None:
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


def run_all(threads: Sequence[threading.Thread]) -> None:
    """Run *threads* to their ends."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestBulk:
    @pytest.fixture
    def stocked(self, provider: SqlProvider, clock: HeldClock) -> SqlProvider:
        """Six instances that ended a second after each other, and two that run."""
        for number in range(6):
            ended(provider, f"done-{number}")
            clock.advance(1000)
        begin(provider, "running")
        ended(provider, "between", status=ExecutionStatus.CONTINUED_AS_NEW)
        return provider

    def left(self, client: Client) -> list[str]:
        """Return the ids of what is left."""
        return sorted(info.instance_id for info in client.list_all_instances())

    def test_all(self, stocked: SqlProvider, client: Client) -> None:
        """[467][556] Without conditions, everything that has ended goes; what runs is skipped."""
        assert DeleteResult(instances=6, executions=6, events=12) == client.delete_instance_bulk(ANY)
        assert ["between", "running"] == self.left(client)

    def test_ids(self, stocked: SqlProvider, client: Client) -> None:
        """[467][556] Of a list of ids, those that are there and have ended go; an empty list is nothing."""
        result = client.delete_instance_bulk(InstanceFilter(ids=["done-1", "done-3", "running", "nobody"]))

        assert 2 == result.instances
        assert DeleteResult() == client.delete_instance_bulk(InstanceFilter(ids=["nobody"]))
        assert DeleteResult() == client.delete_instance_bulk(InstanceFilter(ids=[]))
        assert ["between", "done-0", "done-2", "done-4", "done-5", "running"] == self.left(client)

    def test_completed_before(self, stocked: SqlProvider, client: Client) -> None:
        """[558] What ended at the time or later stays; the condition adds to the others."""
        before = NOW + 3000
        assert (
            1
            == client.delete_instance_bulk(InstanceFilter(completed_before=before, ids=["done-2", "done-4"])).instances
        )
        assert 2 == client.delete_instance_bulk(InstanceFilter(completed_before=before)).instances

        assert ["between", "done-3", "done-4", "done-5", "running"] == self.left(client)

    def test_limit(self, stocked: SqlProvider, client: Client) -> None:
        """[467] A limit counts roots, the oldest first; calling again goes on."""
        assert [4, 2, 0] == [client.delete_instance_bulk(ANY, limit=4).instances for _ in range(3)]

    def test_limit_counts_what_went(self, stocked: SqlProvider, client: Client) -> None:
        """What is skipped does not count: it cannot keep the rest from ever being deleted."""
        begin(stocked, "child", parent="done-0")

        assert 2 == client.delete_instance_bulk(ANY, limit=2).instances
        assert ["between", "child", "done-0", "done-3", "done-4", "done-5", "running"] == self.left(client)

    @pytest.mark.parametrize("limit", [0, -1, True, "7"])
    def test_bad_limit(self, client: Client, limit: int) -> None:
        """A limit that is no int from 1 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^limit is"):
            client.delete_instance_bulk(ANY, limit=limit)

    @pytest.mark.parametrize("children", [0, 1, 3])
    def test_cascade(self, provider: SqlProvider, client: Client, children: int) -> None:
        """[467][559] Each root takes its children along, and only roots are chosen."""
        for root in ["r1", "r2"]:
            ended(provider, root)
            for number in range(children):
                ended(provider, f"{root}-{number}", parent=root)

        assert 0 == client.delete_instance_bulk(InstanceFilter(id_prefix="r1-")).instances
        assert 2 + 2 * children == client.delete_instance_bulk(ANY).instances

    def test_running_child(self, provider: SqlProvider, client: Client) -> None:
        """A root of which anything runs, is locked or is about to start is skipped."""
        for instance_id in ["waits", "locked", "free"]:
            ended(provider, instance_id)
        begin(provider, "child", parent="waits")
        end(provider, with_child(provider, "starts", "other"))
        provider.enqueue([raised("locked")])
        fetch(provider)

        assert 1 == client.delete_instance_bulk(ANY).instances
        assert ["child", "locked", "starts", "waits"] == self.left(client)

    def test_bounded(self, provider: SqlProvider, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
        """No transaction deletes more than its share, of instances or of events, unless one tree alone is more."""
        for number in range(5):
            ended(provider, f"small-{number}")
        turn = begin(provider, "small-large")
        must_commit(provider, more := next_turn(turn, *(scheduled(event_id) for event_id in range(2, 8))))
        end(provider, more)
        monkeypatch.setattr(deletion, "MAX_EVENTS", 5)
        monkeypatch.setattr(deletion, "MAX_INSTANCES", 3)
        sizes: list[DeleteResult] = []
        delete = deletion._Trees.delete

        def record(*args: object) -> DeleteResult:
            sizes.append(delete(*args))  # type: ignore[arg-type]
            return sizes[-1]

        monkeypatch.setattr(deletion._Trees, "delete", record)

        assert 6 == client.delete_instance_bulk(ANY).instances
        assert [(2, 4), (1, 2), (2, 4), (1, 8)] == [(size.instances, size.events) for size in sizes]

    def test_used_again_meanwhile(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """An id that is used again between looking and deleting is another instance: it stays."""
        ended(provider, "a")
        look = deletion._candidates

        def look_and_wait(*args: object) -> object:
            found = look(*args)  # type: ignore[arg-type]
            if found[0]:
                provider.delete_instance("a", force=False)
                end(provider, begin(provider, "a", incarnation=8))
            return found

        monkeypatch.setattr(deletion, "_candidates", look_and_wait)

        assert DeleteResult() == provider.delete_instance_bulk(ANY, limit=10)
        assert None is not provider.get_instance_info("a")
