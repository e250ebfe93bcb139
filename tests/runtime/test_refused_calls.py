"""What a client is given and cannot use is refused at the call, alike on every database, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.orm import Session

from duroxide import Client, InvalidInput, Orchestration, OrchestrationContext, Registry

from .stage import Stage


Call = Callable[[Client, Any], object]


def flow(ctx: OrchestrationContext) -> Orchestration[Any]:
    """Wait for a word."""
    ctx.set_kv_value("key", 1)
    ctx.set_custom_status("waiting")
    return (yield from ctx.dequeue_event("box"))


#: What takes an instance id, and what else it needs.
WITH_ID: dict[str, Call] = {
    "start": lambda client, id_: client.start_orchestration(id_, "flow"),
    "raise_event": lambda client, id_: client.raise_event(id_, "n"),
    "enqueue_event": lambda client, id_: client.enqueue_event(id_, "q"),
    "cancel_instance": lambda client, id_: client.cancel_instance(id_),
    "get_orchestration_status": lambda client, id_: client.get_orchestration_status(id_),
    "read_execution_history": lambda client, id_: client.read_execution_history(id_),
    "get_kv_value": lambda client, id_: client.get_kv_value(id_, "k"),
    "get_kv_all_values": lambda client, id_: client.get_kv_all_values(id_),
    "wait_for_kv_value": lambda client, id_: client.wait_for_kv_value(id_, "k", 0),
    "wait_for_orchestration": lambda client, id_: client.wait_for_orchestration(id_, 0),
    "wait_for_result": lambda client, id_: client.wait_for_result(id_, 0),
    "wait_for_status_change": lambda client, id_: client.wait_for_status_change(id_, 0, 0),
}

WITH_KEY: dict[str, Call] = {
    "get_kv_value": lambda client, key: client.get_kv_value("i", key),
    "wait_for_kv_value": lambda client, key: client.wait_for_kv_value("i", key, 0),
}

WITH_TYPE: dict[str, Call] = {
    "get_kv_value": lambda client, type_: client.get_kv_value("i", "k", type_),
    "wait_for_kv_value": lambda client, type_: client.wait_for_kv_value("i", "k", 0, type_),
    "wait_for_result": lambda client, type_: client.wait_for_result("i", 0, type_),
}

CALLS: dict[str, tuple[Callable[[Client], object], str]] = {
    "number as orchestration": (
        lambda client: client.start_orchestration("z", 5),  # type: ignore[call-overload]
        "5 is no orchestration: give its function, or the name",
    ),
    "nothing as orchestration": (
        lambda client: client.start_orchestration("z", None),  # type: ignore[call-overload]
        "None is no orchestration",
    ),
    "class as orchestration": (lambda client: client.start_orchestration("z", ValueError), "a class, and no orch"),
    "reserved name": (lambda client: client.start_orchestration("z", "__duroxide_x"), "reserved for the library"),
    "version": (
        lambda client: client.start_orchestration("z", "flow", version=5),  # type: ignore[call-overload]
        "5 is not a version",
    ),
    "list of inputs": (
        lambda client: client.start_orchestrations("flow", ["a"]),  # type: ignore[arg-type]
        "inputs is ['a']: give a mapping of instance id to input",
    ),
    "seen version": (
        lambda client: client.wait_for_status_change("i", "x", 0),  # type: ignore[arg-type]
        "last_seen_version is 'x': use an int from 0",
    ),
    "event name": (lambda client: client.raise_event("i", 5), "event name is 5: give a str"),  # type: ignore[arg-type]
    "queue name": (lambda client: client.enqueue_event("i", None), "queue name is None"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("call", "said"), CALLS.values(), ids=CALLS)
def test_calls(stage: Stage, call: Callable[[Client], object], said: str) -> None:
    """The value is named, with the remedy that this call has."""
    with pytest.raises(InvalidInput) as caught:
        call(stage.client)

    assert said in str(caught.value)
    assert stage.client.get_queue_depths().orchestrator_queue == 0


@pytest.mark.parametrize("reason", [None, 5, b"no", ["no"]])
def test_reason(stage: Stage, registry: Registry, reason: Any) -> None:
    """A reason that is no text would be in the history for ever, where nobody could read it."""
    registry.register_orchestration(flow)
    stage.start()
    stage.client.start_orchestration("i", flow)
    stage.until_status("i")
    with pytest.raises(InvalidInput, match=r"reason of a cancellation is .*: give a str"):
        stage.client.cancel_instance("i", reason)
    stage.client.enqueue_event("i", "box", "on")

    assert stage.result("i") == "on"
    assert "OrchestrationCancelRequested" not in stage.kinds("i")


class TestLookingFor:
    """What cannot have been written cannot be looked for either: it is a mistake, and not something that is missing."""

    @pytest.mark.parametrize("name", WITH_ID)
    def test_ids(self, stage: Stage, name: str) -> None:
        """An id is refused by all calls for the same reasons."""
        for id_ in (None, 5, [1], b"i", "", "a\0", "\ud800", "a\nb", "x" * 513):
            with pytest.raises(InvalidInput, match="instance id"):
                WITH_ID[name](stage.client, id_)

    @pytest.mark.parametrize("name", WITH_KEY)
    def test_keys(self, stage: Stage, name: str) -> None:
        """A key is refused for the reasons that it could not be set for."""
        for key in (None, 5, [1], "a\0", "\ud800", "x" * 513):
            with pytest.raises(InvalidInput, match="KV key"):
                WITH_KEY[name](stage.client, key)

    @pytest.mark.parametrize("name", WITH_TYPE)
    def test_types(self, stage: Stage, name: str) -> None:
        """What is no type is refused before anybody waits for what is to be read as it."""
        for type_ in ("int", 5, flow):
            with pytest.raises(InvalidInput, match="which is no type"):
                WITH_TYPE[name](stage.client, type_)

    def test_executions(self, stage: Stage) -> None:
        """An execution has a number, which begins at 1."""
        for number in ("1", 1.0, True, 0, -1, 2**63):
            with pytest.raises(InvalidInput, match="execution_id is"):
                stage.client.read_execution_history("i", number)  # type: ignore[arg-type]
            with pytest.raises(InvalidInput, match="execution_id is"):
                stage.client.get_execution_info("i", number)  # type: ignore[arg-type]

        assert stage.client.read_execution_history("i", 1) == ()


class TestConnections:
    @pytest.fixture
    def engine(self, stage: Stage) -> Iterator[Engine]:
        """The application's own engine on the same database."""
        engine = create_engine(stage.url)
        try:
            yield engine
        finally:
            engine.dispose()

    def refusal(self, stage: Stage, connection: object) -> str:
        """Return what starting on *connection* is refused with."""
        with pytest.raises(InvalidInput) as caught:
            stage.client.start_orchestration("i", "flow", connection=connection)
        return str(caught.value)

    @pytest.mark.parametrize("connection", [5, "x", Connection, object()])
    def test_none(self, stage: Stage, connection: object) -> None:
        """What is no connection is refused."""
        assert "give the SQLAlchemy Connection or Session" in self.refusal(stage, connection)

    def test_engine(self, stage: Stage, engine: Engine) -> None:
        """An Engine has many connections, and none of them is the caller's transaction."""
        assert "give the SQLAlchemy Connection or Session" in self.refusal(stage, engine)

    def test_raw(self, stage: Stage, engine: Engine) -> None:
        """A cursor of the driver has a connection, but none that will do."""
        raw = engine.raw_connection()
        try:
            assert "give the SQLAlchemy Connection or Session" in self.refusal(stage, raw.cursor())
        finally:
            raw.close()

    def test_closed(self, stage: Stage, engine: Engine) -> None:
        """A connection that was closed has no transaction any more."""
        with engine.connect() as connection:
            pass

        assert "is closed: call within the `with` that opens it" in self.refusal(stage, connection)

    def test_session_without_engine(self, stage: Stage) -> None:
        """A Session that works on no database cannot be used, and says so."""
        with Session() as session:
            assert "cannot be used" in self.refusal(stage, session)
