"""Deleting instances, as SqlProvider does it: every table is clean, and no transaction is large."""

from __future__ import annotations

from typing import Any

import pytest

from attrs import evolve
from sqlalchemy import update

from duroxide._core.events import KvEntry
from duroxide.client import Client
from duroxide.errors import InvalidInput
from duroxide.providers.management import ANY_INSTANCE, DeleteResult, InstanceFilter
from duroxide.providers.sql import SqlProvider, deletion, listing
from duroxide.providers.sql.schema import instances, orchestrator_queue
from duroxide.providers.sql.statements import Query
from duroxide.providers.sql.transaction import Transaction
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.populations import begin, continued, end, ended
from duroxide.testing.conformance.vocabulary import (
    NOW,
    activity,
    fetch,
    lock_of,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    timer,
)

from .populations import rows
from .stores import Store


class TestTables:
    def test_everything(self, store: Store, provider: SqlProvider) -> None:
        """[549] With force, every table is clean."""
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
        provider.delete_instance("a", force=True)

        assert {} == rows(store, provider)

    def test_unreadable_start(self, store: Store, provider: SqlProvider) -> None:
        """A start that cannot be read, so that nobody knows whose it is, goes with the instance of its id."""
        ended(provider, "a")
        provider.enqueue([start()])
        with provider._engine.begin() as connection:
            connection = connection.execution_options(schema_translate_map={None: store.schema})
            connection.execute(update(orchestrator_queue).values(data="{"))
        provider.delete_instance("a", force=False)

        assert {} == rows(store, provider)

    def test_orphan(self, store: Store, provider: SqlProvider) -> None:
        """A child whose parent is gone is nobody's child any more."""
        for instance_id, parent in [("root", None), ("b", "root"), ("b1", "b")]:
            ended(provider, instance_id, parent=parent)
        with provider._engine.begin() as connection:
            connection = connection.execution_options(schema_translate_map={None: store.schema})
            connection.execute(
                update(instances).where(instances.c.instance_id == "b").values(parent_instance_id="gone")
            )

        assert 2 == provider.delete_instance("b", force=False).instances


class TestMeanwhile:
    def test_used_again(
        self, postgres_url: str, postgres_schema: str, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An id that others delete and use again while its rows are being locked is deleted as it is then."""
        store = Store(postgres_url, postgres_schema, clock)
        provider, other = store.open(), store.open()
        ended(provider, "a")
        meanwhile = {
            deletion._HOLD_LOCKS: lambda: other.delete_instance("a", force=False),
            deletion._HOLD_INSTANCES: lambda: ended(other, "a"),
        }
        query = Transaction.query

        def query_and_wait(self: Transaction, asked: Query, *keys: Any, **parameters: Any) -> Any:
            found = query(self, asked, *keys, **parameters)
            if asked in meanwhile:
                with monkeypatch.context() as undisturbed:
                    undisturbed.setattr(Transaction, "query", query)
                    meanwhile.pop(asked)()
            return found

        monkeypatch.setattr(Transaction, "query", query_and_wait)

        assert DeleteResult(1, 1, 2) == provider.delete_instance("a", force=False)
        assert {} == rows(store, provider)
        store.close()


class TestArguments:
    @pytest.mark.parametrize("instance_id", ["", "a\0", "\ud800", 7])
    def test_no_id(self, memory: SqlProvider, instance_id: str) -> None:
        """What cannot be an id is refused before the database is asked."""
        with pytest.raises(InvalidInput, match=r"^instance id"):
            Client(memory).delete_instance(instance_id)

    @pytest.mark.parametrize("limit", [0, -1, True, "7"])
    def test_bad_limit(self, memory: SqlProvider, limit: int) -> None:
        """A limit that is no int from 1 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^limit is"):
            Client(memory).delete_instance_bulk(ANY_INSTANCE, limit=limit)


class TestBulk:
    def test_bounded(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
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

        assert 6 == provider.delete_instance_bulk(ANY_INSTANCE, limit=100).instances
        assert [(2, 4), (1, 2), (2, 4), (1, 8)] == [(size.instances, size.events) for size in sizes]

    def test_goes_on(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A call that has come to its limit says how far it was, so that the next one need not begin anew."""
        for number in range(3):
            clock.ms = NOW + number
            ended(provider, f"i{number}")

        results = [provider.delete_instance_bulk(ANY_INSTANCE, limit=2) for _ in range(2)]
        assert [(2, NOW + 1), (1, None)] == [(result.instances, result.up_to_ms) for result in results]

    def test_many_ids(self, provider: SqlProvider, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of many ids, no statement is asked about all, and the oldest go first all the same."""
        monkeypatch.setattr(listing, "MAX_IDS", 2)
        ids = ["d", "a", "c", "e", "b"]
        for number, instance_id in enumerate(ids):
            clock.ms = NOW + number
            ended(provider, instance_id)
        asked: list[int] = []
        query = type(provider._database.dialect).query

        def counting(self: Any, connection: Any, text: Any, keys: Any, parameters: Any) -> Any:
            asked.append(len(keys or ()))
            return query(self, connection, text, keys, parameters)

        monkeypatch.setattr(type(provider._database.dialect), "query", counting)
        which = InstanceFilter(ids=[*ids, "nobody"])
        result = provider.delete_instance_bulk(which, limit=3)
        most = max(asked)

        assert (3, NOW + 2) == (result.instances, result.up_to_ms)
        assert ["b", "e"] == sorted(info.instance_id for info in Client(provider).iterate_instances())
        assert 2 == most
        result = provider.delete_instance_bulk(which, limit=3)
        assert (2, None) == (result.instances, result.up_to_ms)
        assert 0 == provider.delete_instance_bulk(InstanceFilter(ids=[]), limit=3).instances

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

        assert DeleteResult() == provider.delete_instance_bulk(ANY_INSTANCE, limit=10)
        assert None is not provider.get_instance_info("a")

    def test_gone_meanwhile(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """What somebody else deletes between looking and deleting is gone, and holds up nothing else."""
        for instance_id in ["a", "b"]:
            ended(provider, instance_id)
        look = deletion._candidates

        def look_and_wait(*args: object) -> object:
            found = look(*args)  # type: ignore[arg-type]
            if provider.get_instance_info("a") is not None:
                provider.delete_instance("a", force=False)
            return found

        monkeypatch.setattr(deletion, "_candidates", look_and_wait)

        assert 1 == provider.delete_instance_bulk(ANY_INSTANCE, limit=10).instances
        assert None is provider.get_instance_info("b")
