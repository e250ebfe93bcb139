"""
A simulation and a runtime do the same: whole histories, with their times, and all that a client can ask for.

The runtime is a real one with its threads; see `driven`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from attrs import asdict
from hypothesis import given, settings
from hypothesis import strategies as st

from duroxide import Client, Registry
from duroxide.testing import Simulator
from duroxide.testing.simulation.clock import VirtualClock
from duroxide.testing.simulation.store import SimulatedStore
from duroxide.testing.strategies import Program, orchestrations
from duroxide.testing.strategies.programs import NAMES

from . import primitives
from .driven import DrivenRuntime, Sent
from .test_generated import INSTANCE, registry_of


NOTHING: Mapping[str, int] = {}


def raising(at_ms: int, name: str, data: object) -> Sent:
    """Return an event that is raised at a time."""
    return Sent(at_ms, lambda client: client.raise_event(INSTANCE, name, data))


def enqueuing(at_ms: int, queue: str, data: object) -> Sent:
    """Return a message that is sent at a time."""
    return Sent(at_ms, lambda client: client.enqueue_event(INSTANCE, queue, data))


def cancelling(at_ms: int, reason: str) -> Sent:
    """Return a cancellation at a time."""
    return Sent(at_ms, lambda client: client.cancel_instance(INSTANCE, reason))


def told(client: Client, instance_ids: list[str]) -> dict[str, Any]:
    """Return what a client is told of each instance: what it did, when, and what it left."""
    assert [] == client.audit()
    statuses = {each: client.get_orchestration_status(each) for each in sorted(instance_ids)}
    return {
        instance_id: {
            "executions": without_tracebacks(client.export_instance(instance_id)["executions"]),
            "status": without_tracebacks(asdict(status)),
            "stands": type(status),
            "values": client.get_kv_all_values(instance_id),
            "parent": client.get_instance_info(instance_id).parent_instance_id,
        }
        for instance_id, status in statuses.items()
    }


def without_tracebacks(told: Any) -> Any:
    """Return *told* without the texts that say through which of our functions an activity was called."""
    match told:
        case dict():
            return {key: without_tracebacks(value) for key, value in told.items() if key != "traceback"}
        case list():
            return list(map(without_tracebacks, told))
        case _:
            return told


def simulated(registry: Registry, sent: list[Sent], takes_ms: Mapping[str, int], store: SimulatedStore) -> Any:
    """Return what is told in a simulation."""
    store.clear()
    with Simulator(registry, store=store) as sim:
        for name, takes in takes_ms.items():
            sim.fake(name, takes=timedelta(milliseconds=takes))
        for each in sent:
            sim._inputs.add(timedelta(milliseconds=each.at_ms), "it", partial(each.send, sim.client))
        sim.run()
        return told(sim.client, sim.instances)


def run(registry: Registry, sent: list[Sent], takes_ms: Mapping[str, int], **options: Any) -> Any:
    """Return what is told of a runtime."""
    with DrivenRuntime(registry, takes_ms=takes_ms, **options) as runtime:
        runtime.run(sent)
        return told(runtime.client, runtime.instances)


@pytest.fixture(scope="module")
def store() -> Any:
    """A store for all simulations of this module."""
    store = SimulatedStore(VirtualClock())
    yield store
    store.close()


#: Not at whole seconds, when timers fire, nor two at the same time: what comes first would be open.
_AT_MS = st.lists(st.integers(0, 40), max_size=8, unique=True).map(lambda times: [170 * each + 50 for each in times])
_DATA = st.integers(0, 9)


@st.composite
def inputs(draw: st.DrawFn) -> list[Sent]:
    """Draw what is sent to the instance, and when."""
    kinds = st.sampled_from([raising, raising, enqueuing, enqueuing, enqueuing, cancelling])
    sent = []
    for at_ms in draw(_AT_MS):
        kind = draw(kinds)
        reason = f"reason {draw(_DATA)}"
        name = draw(st.sampled_from(NAMES))
        sent.append(cancelling(at_ms, reason) if kind is cancelling else kind(at_ms, name, draw(_DATA)))
    return sent


TAKES = st.fixed_dictionaries({name: st.sampled_from([0, 0, 370, 1370]) for name in NAMES})
#: The short way round, and longer ones. (Which activity is first may be another one without eager dispatch.)
WAYS = st.sampled_from([{}, {}, {"short_way_round": False}, {"cache_size": 1}, {"batch_size": 1}])


@settings(max_examples=40)
@given(orchestrations(), inputs(), TAKES, WAYS)
def test_generated(
    store: SimulatedStore, program: Program, sent: list[Sent], takes_ms: dict[str, int], ways: dict[str, Any]
) -> None:
    """Whatever the code, what it is sent, how long activities take, and which ways the runtime goes."""
    registry = registry_of(program)
    start = Sent(0, lambda client: client.start_orchestration(INSTANCE, INSTANCE, 0))

    assert simulated(registry, [start, *sent], takes_ms, store) == run(registry, [start, *sent], takes_ms, **ways)


INPUTS = {"reports": "nobody", "fails": 3}
SENT = {
    "continues": [enqueuing(500, "work", "x"), enqueuing(1500, "work", "y"), enqueuing(2500, "work", "z")],
    "listens": [raising(500, "go", 1), raising(7000, "go", 2)],
    "reads_queues": [enqueuing(500, "b", 1), enqueuing(600, "a", 2), enqueuing(700, "a", 3)],
    "waits": [raising(1000, "never", 1)],
}


@pytest.mark.parametrize("cancelled_at_ms", [None, 650])
@pytest.mark.parametrize("name", primitives.registry.orchestrations.list_names())
def test_primitives(store: SimulatedStore, name: str, cancelled_at_ms: int | None) -> None:
    """Each primitive, also with a cancellation in the middle."""
    sent = [Sent(0, lambda client: client.start_orchestration(INSTANCE, name, INPUTS.get(name))), *SENT.get(name, [])]
    sent += [] if cancelled_at_ms is None else [cancelling(cancelled_at_ms, "why")]
    takes_ms = {"double": 370} if cancelled_at_ms else NOTHING

    assert simulated(primitives.registry, sent, takes_ms, store) == run(primitives.registry, sent, takes_ms)
