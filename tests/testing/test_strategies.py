"""The strategies that are shipped: payloads come back, programs run, histories are such as a store holds."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import attrs
import pytest

from hypothesis import find, given, settings
from hypothesis import strategies as st

from duroxide import run_turn
from duroxide._core import events as e
from duroxide._core.executor import Executor
from duroxide._core.payloads import decode, encode
from duroxide._core.verdicts import Continue, Turn
from duroxide.testing.strategies import History, cuts, histories, orchestrations, payloads
from duroxide.testing.strategies.programs import Program


@attrs.frozen
class Order:
    id: UUID
    amount: Decimal
    placed: datetime
    lines: tuple[str, ...]


@given(payloads())
def test_plain_payloads(value: Any) -> None:
    """Values of JSON's own kinds come back as they were."""
    assert value == decode(encode(value, where="here"), Any, where="here")


@pytest.mark.parametrize("kind", [int, float, str, list[int], dict[str, Decimal], timedelta, Order, int | None])
def test_typed_payloads(kind: Any) -> None:
    """Values of a type that a signature names come back through that type."""

    @settings(max_examples=20)
    @given(payloads(kind))
    def comes_back(value: Any) -> None:
        assert value == decode(encode(value, where="here", type_=kind), kind, where="here")

    comes_back()


@pytest.mark.parametrize(
    "kind", [object, dict[str, object], list[Any] | None, Annotated[list[Any], "note"], list, dict]
)
def test_untyped_payloads(kind: Any) -> None:
    """Where a signature says nothing, values of JSON's own kinds are drawn, and at once; containers are not left empty."""
    assert find(payloads(kind), bool, settings=settings(database=None, max_examples=100))


@settings(max_examples=50)
@given(orchestrations())
def test_orchestrations(program: Program) -> None:
    """A drawn program runs as an orchestration function, up to what it waits for."""
    started = e.OrchestrationStarted(1, 0, "i", 1, "generated", "1.0.0", "0")

    assert run_turn([started], program.function()) == run_turn([started], program.function())


@settings(max_examples=100)
@given(histories())
def test_histories(history: History) -> None:
    """A drawn history begins with its start event, and has no gaps."""
    assert isinstance(history.events[0], e.OrchestrationStarted)
    assert [event.event_id for event in history.events] == list(range(1, len(history.events) + 1))


@settings(max_examples=100)
@given(histories(prefixes=False))
def test_whole_histories(history: History) -> None:
    """A history that ends with a commit leaves nothing to decide."""
    assert Turn(Continue()) == run_turn(history.events, history.orchestration)


@settings(max_examples=100)
@given(histories(), st.data())
def test_cuts(history: History, data: st.DataObject) -> None:
    """The pieces of a history are the history, and feeding them decides what replaying the whole decides."""
    pieces = data.draw(cuts(history.events))
    assert history.events == tuple(event for piece in pieces for event in piece)

    started = history.events[0]
    assert isinstance(started, e.OrchestrationStarted)
    executor = Executor(history.orchestration, started)
    turn = executor.feed(pieces[0][1:])
    for piece in pieces[1:]:
        turn = executor.feed(piece)
    executor.close()

    assert run_turn(history.events, history.orchestration) == turn
