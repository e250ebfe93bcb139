"""
What the type checkers must infer, and what they must refuse. Never run: tests/test_types.py has it checked.

Every expected error has an ignore comment for each checker, and both complain of comments that are not needed.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, assert_type

import attrs

from duroxide import Action, ActivityContext, Client, Orchestration, OrchestrationContext, Registry, RetryPolicy, Winner


registry = Registry()


@attrs.frozen
class Order:
    """An input."""

    id: str


@attrs.frozen
class Receipt:
    """An output."""

    total: int


@registry.activity
def charge(ctx: ActivityContext, order: Order) -> Receipt:
    """A sync activity."""
    return Receipt(len(order.id))


@registry.activity
async def ship(ctx: ActivityContext, order: Order) -> str:
    """An async activity."""
    return order.id


@registry.activity
def ping(ctx: ActivityContext) -> int:
    """A sync activity without input."""
    return 1


@registry.activity
async def pong(ctx: ActivityContext) -> bytes:
    """An async activity without input."""
    return b""


@registry.activity(name="named")
def named(ctx: ActivityContext, text: str) -> float:
    """An activity registered under another name."""
    return float(text)


@registry.orchestration
def pack(ctx: OrchestrationContext, order: Order) -> Orchestration[list[str]]:
    """A child with input."""
    yield from ctx.schedule_timer(1)
    return [order.id]


@registry.orchestration(version="2.0.0")
def audit(ctx: OrchestrationContext) -> Orchestration[int]:
    """A child without input."""
    yield from ctx.schedule_timer(timedelta(seconds=1))
    return 1


def steps(ctx: OrchestrationContext, order: Order) -> Orchestration[bool]:
    """A branch."""
    yield from ctx.schedule_activity(charge, order)
    return True


def activities(ctx: OrchestrationContext, order: Order) -> Orchestration[None]:
    """Activities, with and without input, sync and async, by function and by name."""
    assert_type((yield from ctx.schedule_activity(charge, order)), Receipt)
    assert_type((yield from ctx.schedule_activity(ship, order)), str)
    assert_type((yield from ctx.schedule_activity(ping)), int)
    assert_type((yield from ctx.schedule_activity(pong)), bytes)
    assert_type((yield from ctx.schedule_activity(named, "1")), float)
    assert_type((yield from ctx.schedule_activity("charge", order)), Any)
    retry = RetryPolicy(max_attempts=5)
    assert_type((yield from ctx.schedule_activity(charge, order, retry=retry)), Receipt)
    assert_type((yield from ctx.schedule_activity(ship, order, retry=retry, tag="gpu", session_id="s")), str)
    assert_type((yield from ctx.schedule_activity(pong, retry=retry)), bytes)
    assert_type(ctx.schedule_activity(charge, order), Action[Receipt])


def mistakes(ctx: OrchestrationContext, order: Order) -> Orchestration[None]:
    """Wrong inputs and wrong results."""
    yield from ctx.schedule_activity(charge, "order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    yield from ctx.schedule_activity(ship, 17)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    yield from ctx.schedule_sub_orchestration(pack, "order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    yield from ctx.schedule_orchestration(pack, "id", "order")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType, reportCallIssue]
    yield from ctx.schedule_orchestration(pack, "id")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    receipt: str = yield from ctx.schedule_activity(charge, order)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    label: int = yield from ctx.schedule_activity(ship, order)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    print(receipt, label)


def wrong_result(ctx: OrchestrationContext, order: Order) -> Orchestration[int]:
    """The result of the orchestration is checked, too."""
    receipt = yield from ctx.schedule_activity(charge, order)
    return receipt  # type: ignore[return-value]  # pyright: ignore[reportReturnType]


def others(ctx: OrchestrationContext, order: Order) -> Orchestration[None]:
    """Timers, events, queues, children."""
    assert_type(ctx.schedule_timer(1.5), Action[None])
    assert_type((yield from ctx.schedule_wait("approved")), Any)
    assert_type((yield from ctx.schedule_wait("approved", type=Order)), Order)
    assert_type((yield from ctx.dequeue_event("orders")), Any)
    assert_type((yield from ctx.dequeue_event("orders", type=datetime)), datetime)
    assert_type((yield from ctx.dequeue_event("orders", type=list[Order])), list[Order])
    # A union is no type[...]: what comes out has to be looked at.
    found: Order | Receipt | None = yield from ctx.dequeue_event("orders", type=Order | Receipt)
    found = yield from ctx.schedule_wait("approved", type=Order | None)
    found = ctx.get_kv_value("key", type=Order | Receipt)
    del found
    assert_type((yield from ctx.schedule_sub_orchestration(pack, order)), list[str])
    assert_type((yield from ctx.schedule_sub_orchestration(pack, order, instance_id="x", version="1.0.0")), list[str])
    assert_type((yield from ctx.schedule_sub_orchestration(audit)), int)
    assert_type((yield from ctx.schedule_sub_orchestration("pack", order)), Any)
    assert_type((yield from ctx.schedule_orchestration(pack, "id", order)), str)
    assert_type((yield from ctx.schedule_orchestration(audit, "id")), str)
    assert_type((yield from ctx.schedule_orchestration("pack", "id", order)), str)
    assert_type(ctx.get_kv_value("key", type=int), int | None)
    assert_type(ctx.utc_now(), datetime)


def combining(ctx: OrchestrationContext, order: Order) -> Orchestration[None]:
    """Joins, races and branches."""
    receipts = yield from ctx.join(*(ctx.schedule_activity(charge, order) for _ in range(3)))
    assert_type(receipts, list[Receipt])
    assert_type(
        (yield from ctx.join(ctx.schedule_activity(ship, order), ctx.schedule_activity(ship, order))), list[str]
    )
    assert_type((yield from ctx.join(steps(ctx, order), steps(ctx, order))), list[bool])
    winner = yield from ctx.select(ctx.schedule_activity(charge, order), ctx.schedule_activity(charge, order))
    either: Winner[Receipt] = winner
    index: int = winner.index
    assert_type(winner.value, Receipt)
    assert_type((yield from ctx.select(*(steps(ctx, order) for _ in range(9)))), Winner[bool])
    del either, index
    nested = yield from ctx.select(ctx.join(steps(ctx, order)), ctx.join(steps(ctx, order)), cancel_losers=False)
    assert_type(nested.value, list[bool])
    ctx.cancel(ctx.schedule_timer(1))
    yield ctx.continue_as_new(order)


def deadline(ctx: OrchestrationContext, order: Order) -> Orchestration[str]:
    """The index of a winner says of which type its value is: what most selects are for."""
    winner = yield from ctx.select(ctx.dequeue_event("orders", type=Order), ctx.schedule_timer(1))
    if winner.index == 1:
        assert_type(winner.value, None)
        return "too late"
    assert_type(winner.value, Order)
    branch = yield from ctx.select(steps(ctx, order), ctx.schedule_timer(1))
    assert_type(branch.value if branch.index == 0 else False, bool)
    race = yield from ctx.select(ctx.schedule_activity(charge, order), steps(ctx, order), ctx.schedule_timer(1))
    if race.index == 0:
        assert_type(race.value, Receipt)
    elif race.index == 1:
        assert_type(race.value, bool)
    else:
        assert_type(race.value, None)
    return winner.value.id


def mixed(ctx: OrchestrationContext, order: Order) -> Orchestration[None]:
    """Actions of different types can be combined; what comes out has to be looked at."""
    yield from ctx.join(ctx.schedule_activity(charge, order), ctx.schedule_timer(1), steps(ctx, order))


def clients(client: Client, order: Order) -> None:
    """What clients are given."""
    client.start_orchestration("id", pack, order)
    client.start_orchestrations(pack, {"id": order, "other": Order("17")})
    client.start_orchestrations(audit, {"id": None})
    client.start_orchestrations("pack", {"id": order, "other": 17})
    client.start_orchestrations(pack, {"id": "order"})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert_type(client.wait_for_result("id", timeout=1, type=Receipt), Receipt)
    assert_type(client.wait_for_result("id", 1, Receipt), Receipt)
    assert_type(client.wait_for_result("id", 1), Any)
    found: Order | Receipt | None = client.wait_for_result("id", timeout=1, type=Receipt | None)
    found = client.get_kv_value("id", "key", type=Order | Receipt)
    found = client.wait_for_kv_value("id", "key", type=Order | Receipt)
    del found
