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




    @pytest.mark.parametrize("instance_id", ["", "a\0", "\ud800", 7])
    def test_no_id(self, client: Client, instance_id: str) -> None:
        """What cannot be an id is refused before the database is asked."""
        with pytest.raises(InvalidInput, match=r"^instance id"):
            client.delete_instance(instance_id)





class TestTree:




    def test_orphan(self, family: SqlProvider, client: Client, store: Store) -> None:
        """A child whose parent is gone is nobody's child any more."""
        with family._engine.begin() as connection:
            connection = connection.execution_options(schema_translate_map={None: store.schema})
            connection.execute(
                update(instances).where(instances.c.instance_id == "b").values(parent_instance_id="gone")
            )

        assert 2 == client.delete_instance("b").instances






class TestReuse:









class TestAtOnce:



def run_all(threads: Sequence[threading.Thread]) -> None:
    """Run *threads* to their ends."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class TestBulk:







    @pytest.mark.parametrize("limit", [0, -1, True, "7"])
    def test_bad_limit(self, client: Client, limit: int) -> None:
        """A limit that is no int from 1 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^limit is"):
            client.delete_instance_bulk(ANY, limit=limit)



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
