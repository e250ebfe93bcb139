"""An orchestration, ways in which its code may have changed since, and databases with instances of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from duroxide import (
    ActivityContext,
    Client,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
    SqlProvider,
    events,
)
from duroxide.providers.contract import Provider


Fn = Callable[..., Any]


def charge(ctx: ActivityContext, amount: int) -> str:
    """Return a receipt."""
    return f"receipt for {amount}"


def pay(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Charge, then wait for somebody to confirm."""
    receipt = yield from ctx.schedule_activity(charge, amount)
    ctx.set_custom_status("charged")
    yield from ctx.schedule_wait("confirmed")
    yield from ctx.schedule_timer(0)
    return receipt


def registry_of(fn: Fn, *, name: str = "pay", version: str = "1.0.0") -> Registry:
    """Return a registry with *fn* as an orchestration."""
    registry = Registry()
    registry.register_activity(charge)
    registry.register_orchestration(fn, name=name, version=version)
    return registry


def run_some(provider: Provider, fn: Fn = pay, *, running: int = 1, ended: int = 1) -> None:
    """Let some instances of *fn* wait for their event, and others end: ``running-0``, ``ended-0`` and so on."""
    with Runtime(provider, registry_of(fn)) as runtime:
        client = runtime.client
        ids = [f"ended-{number}" for number in range(ended)] + [f"running-{number}" for number in range(running)]
        for instance_id in ids:
            client.start_orchestration(instance_id, "pay", len(instance_id))
            client.wait_for_status_change(instance_id)
        for instance_id in ids[:ended]:
            client.raise_event(instance_id, "confirmed")
            client.wait_for_orchestration(instance_id)


def exported(fn: Fn = pay, *, running: int = 1, ended: int = 1) -> list[dict[str, Any]]:
    """Return the same as exported instances, the newest first."""
    with SqlProvider.in_memory() as provider:
        run_some(provider, fn, running=running, ended=ended)
        return list(Client(provider).export_instances())


def recorded(fn: Fn = pay) -> Sequence[events.Event]:
    """Return the history of an instance of *fn* that has ended."""
    with SqlProvider.in_memory() as provider:
        run_some(provider, fn, running=0)
        return Client(provider).read_execution_history("ended-0")


# Each is `pay` after a change that breaks.


def another_step(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Begin with another step."""
    yield from ctx.schedule_timer(5)
    return (yield from pay(ctx, amount))


def another_input(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Charge something else."""
    return (yield from pay(ctx, amount + 1))


def another_order(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Wait before it charges."""
    yield from ctx.schedule_wait("confirmed")
    receipt = yield from ctx.schedule_activity(charge, amount)
    yield from ctx.schedule_timer(0)
    return receipt


def another_output(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Return something else."""
    receipt = yield from pay(ctx, amount)
    return receipt.upper()


def one_step_less(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Leave the last step out, and return the same."""
    receipt = yield from ctx.schedule_activity(charge, amount)
    ctx.set_custom_status("charged")
    yield from ctx.schedule_wait("confirmed")
    return receipt


def one_step_more(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Do more at the end, and return the same."""
    receipt = yield from pay(ctx, amount)
    yield from ctx.schedule_activity(charge, 0)
    return receipt


def something_beside(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Start something at the end that nobody waits for."""
    receipt = yield from pay(ctx, amount)
    ctx.schedule_orchestration("pay", "another", 1)
    return receipt


def fails(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Fail at the end."""
    yield from pay(ctx, amount)
    raise ValueError("nobody pays")


def starts_over(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    """Continue as new at the end."""
    receipt = yield from pay(ctx, amount)
    ctx.continue_as_new(amount + 1)
    return receipt


#: What breaks, event of an ended instance at which that shows, and a part of what is said of it.
CHANGES: Sequence[tuple[Fn, int, str]] = (
    (another_step, 2, "got:      CreateTimer("),
    (another_input, 2, "got:      CallActivity(name='charge', input='8'"),
    (another_order, 2, "got:      WaitExternal(name='confirmed')"),
    (another_output, 9, 'got:      the code returns "RECEIPT FOR 7"'),
    (one_step_less, 7, 'got:      the code returns "receipt for 7"'),
    (one_step_more, 9, "got:      first event 9 ActivityScheduled(name='charge', input='0'"),
    (something_beside, 9, "got:      first event 9 OrchestrationChained(name='pay', instance_id='another'"),
    (fails, 9, "got:      the code fails with ValueError: nobody pays"),
    (starts_over, 9, "got:      the code continues as new with 8"),
)
