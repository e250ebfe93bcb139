"""Starting and sending in the caller's own transaction: with the application's data, or not at all."""

from __future__ import annotations

import threading

from collections.abc import Iterator
from typing import Any

import pytest

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.orm import Session

from duroxide import (
    InstanceAlreadyExists,
    InvalidInput,
    NotFound,
    Orchestration,
    OrchestrationContext,
    PayloadError,
    Registry,
)
from duroxide._core import events as e

from .stage import Stage


pytestmark = pytest.mark.usefixtures("nobody_looks_again")

#: The slow poll of runtimes that must not need it: longer than any test has patience.
NEVER = 3600


@pytest.fixture
def engine(stage: Stage) -> Iterator[Engine]:
    """The application's own engine on the same database."""
    engine = create_engine(stage.url)
    try:
        yield engine
    finally:
        engine.dispose()


@pytest.fixture
def orders(stage: Stage, engine: Engine) -> str:
    """The name of a table of the application's own."""
    name = "orders" if stage.schema is None else f'"{stage.schema}".orders'
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE {name} (id TEXT PRIMARY KEY)"))
    return name


@pytest.fixture
def fulfil(registry: Registry) -> Any:
    """Returns what its event and its queue tell it."""

    @registry.orchestration
    def fulfil(ctx: OrchestrationContext, is_patient: bool = False) -> Orchestration[Any]:
        if not is_patient:
            return "fulfilled"
        ctx.set_custom_status("waiting")
        event = ctx.schedule_wait("approved")
        return (yield from ctx.join(event, ctx.dequeue_event("box")))

    return fulfil


def insert(connection: Connection | Session, orders: str, order_id: str) -> None:
    """Write an order."""
    connection.execute(text(f"INSERT INTO {orders} VALUES (:id)"), {"id": order_id})  # noqa: S608  # our own name


def count(engine: Engine, orders: str) -> int:
    """Return how many orders there are."""
    with engine.connect() as connection:
        return int(connection.execute(text(f"SELECT COUNT(*) FROM {orders}")).scalar_one())  # noqa: S608  # as above


class TestConnection:
    @pytest.mark.parametrize("kind", ["connection", "session"])
    def test_commit(self, stage: Stage, engine: Engine, orders: str, fulfil: Any, kind: str) -> None:
        """An order and the start of its instance commit together, and the runtime is woken by the commit."""
        stage.start(poll_interval=NEVER)
        with engine.connect() if kind == "connection" else Session(engine) as transaction:
            insert(transaction, orders, "o1")
            start = stage.client.start_orchestration("o1", fulfil, connection=transaction)
            assert start.is_new
            assert count(engine, orders) == 0
            assert isinstance(stage.client.get_orchestration_status("o1"), NotFound)
            transaction.commit()

        assert stage.result("o1") == "fulfilled"
        assert count(engine, orders) == 1

    @pytest.mark.parametrize("kind", ["connection", "session"])
    def test_rollback(self, stage: Stage, engine: Engine, orders: str, fulfil: Any, kind: str) -> None:
        """When the transaction is rolled back there is neither order nor instance, and the id is free."""
        stage.start()
        with engine.connect() if kind == "connection" else Session(engine) as transaction:
            insert(transaction, orders, "o1")
            stage.client.start_orchestration("o1", fulfil, connection=transaction)
            transaction.rollback()

        assert count(engine, orders) == 0
        assert stage.client.get_queue_depths().orchestrator_queue == 0
        assert stage.client.start_orchestration("o1", fulfil, if_exists="reject").is_new
        assert stage.result("o1") == "fulfilled"

    def test_an_error_in_between(self, stage: Stage, engine: Engine, orders: str, fulfil: Any) -> None:
        """An exception in the block takes the start back with the rest."""
        with pytest.raises(PayloadError), engine.begin() as connection:  # noqa: PT012  # that is the point
            stage.client.start_orchestration("o1", fulfil, connection=connection)
            stage.client.enqueue_event("o1", "box", object(), connection=connection)
        assert stage.client.get_queue_depths().orchestrator_queue == 0

    def test_savepoint(self, stage: Stage, engine: Engine, orders: str, fulfil: Any) -> None:
        """Rolled back to a savepoint, only what came after it is undone."""
        stage.start()
        with engine.begin() as connection:
            stage.client.start_orchestration("kept", fulfil, connection=connection)
            with connection.begin_nested() as savepoint:
                stage.client.start_orchestration("undone", fulfil, connection=connection)
                savepoint.rollback()

        assert stage.result("kept") == "fulfilled"
        assert stage.client.start_orchestration("undone", fulfil).is_new
        assert stage.result("undone") == "fulfilled"

    def test_one_connection_many_times(self, stage: Stage, engine: Engine, orders: str, fulfil: Any) -> None:
        """A connection may be used for one transaction after the other, with several sends in each."""
        stage.start(poll_interval=NEVER)
        with engine.connect() as connection:
            for batch in range(3):
                for number in range(3):
                    stage.client.start_orchestration(f"{batch}-{number}", fulfil, connection=connection)
                connection.commit()

        assert [stage.result(f"{batch}-{number}") for batch in range(3) for number in range(3)] == ["fulfilled"] * 9


class TestSending:
    def test_events_and_messages(self, stage: Stage, engine: Engine, orders: str, fulfil: Any) -> None:
        """Events, messages and cancellations go out with the commit, in order; with a rollback they do not."""
        client = stage.client
        stage.start(poll_interval=NEVER)
        client.start_orchestration("o1", fulfil, True)
        stage.until_status("o1")

        with engine.connect() as connection:
            client.raise_event("o1", "approved", "lost", connection=connection)
            client.enqueue_event("o1", "box", "lost", connection=connection)
            client.cancel_instance("o1", "lost", connection=connection)
            connection.rollback()
        with Session(engine) as session, session.begin():
            insert(session, orders, "o1")
            client.raise_event("o1", "approved", "yes", connection=session)
            client.enqueue_event("o1", "box", 7, connection=session)
            client.enqueue_event("o1", "box", 8, connection=session)

        assert stage.result("o1") == ["yes", 7]
        assert [event.data for event in stage.of_kind("o1", e.ExternalEvent)] == ['"yes"']
        assert stage.of_kind("o1", e.OrchestrationCancelRequested) == []

    def test_start_and_send(self, stage: Stage, engine: Engine, fulfil: Any) -> None:
        """A start and the first message for it in one transaction: the message is there."""
        stage.start()
        with engine.begin() as connection:
            stage.client.start_orchestration("o1", fulfil, True, connection=connection)
            stage.client.enqueue_event("o1", "box", 1, connection=connection)
        stage.until_status("o1")
        stage.client.raise_event("o1", "approved", "yes")

        assert stage.result("o1") == ["yes", 1]


class TestRefusals:
    def test_id_that_exists(self, stage: Stage, engine: Engine, orders: str, fulfil: Any) -> None:
        """An id that exists is refused, and the caller's transaction is as good as before."""
        stage.start()
        stage.run("taken", fulfil)
        with engine.begin() as connection:
            insert(connection, orders, "before")
            with pytest.raises(InstanceAlreadyExists, match="'taken'"):
                stage.client.start_orchestration("taken", fulfil, if_exists="reject", connection=connection)
            assert not stage.client.start_orchestration("taken", fulfil, connection=connection).is_new
            insert(connection, orders, "after")
            stage.client.start_orchestration("free", fulfil, if_exists="reject", connection=connection)

        assert count(engine, orders) == 2
        assert stage.result("free") == "fulfilled"

    def test_twice_in_one_transaction(self, stage: Stage, engine: Engine, fulfil: Any) -> None:
        """A start sees the one before it in the same transaction."""
        stage.start()
        with engine.begin() as connection:
            assert stage.client.start_orchestration("o1", fulfil, connection=connection).is_new
            assert not stage.client.start_orchestration("o1", fulfil, connection=connection).is_new

        assert stage.result("o1") == "fulfilled"

    def test_bad_argument(self, stage: Stage, engine: Engine, orders: str, fulfil: Any) -> None:
        """An argument that is no good is refused before anything is written; the transaction goes on."""
        with engine.begin() as connection:
            with pytest.raises(InvalidInput):
                stage.client.start_orchestration("", fulfil, connection=connection)
            with pytest.raises(PayloadError):
                stage.client.start_orchestration("o1", "fulfil", object(), connection=connection)
            insert(connection, orders, "o1")

        assert count(engine, orders) == 1
        assert stage.client.get_queue_depths().orchestrator_queue == 0

    def test_another_database(self, stage: Stage, fulfil: Any, tmp_path: Any) -> None:
        """A connection to another database is refused: the start would be lost."""
        other = create_engine(f"sqlite:///{tmp_path / 'other.db'}")
        with other.begin() as connection, pytest.raises(InvalidInput, match="use one database"):
            stage.client.start_orchestration("o1", fulfil, connection=connection)
        other.dispose()


class TestRaces:
    @pytest.mark.parametrize("ends", ["commit", "rollback"])
    def test_against_an_open_transaction(self, stage: Stage, engine: Engine, fulfil: Any, ends: str) -> None:
        """Who starts an id that an open transaction has started gets the right answer, however that one ends."""
        outcome: list[object] = []

        def rival() -> None:
            try:
                outcome.append(stage.client.start_orchestration("o1", fulfil, if_exists="reject").is_new)
            except InstanceAlreadyExists as error:
                outcome.append(error.instance_id)

        stage.start()
        thread = threading.Thread(target=rival)
        with engine.connect() as connection:
            stage.client.start_orchestration("o1", fulfil, connection=connection)
            thread.start()
            _end(connection, ends)
        thread.join()

        assert outcome == (["o1"] if ends == "commit" else [True])
        assert stage.result("o1") == "fulfilled"


def _end(connection: Connection, how: str) -> None:
    connection.commit() if how == "commit" else connection.rollback()
