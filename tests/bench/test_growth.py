"""The benchmark of growth fills a database with what the engine would have left there, and finds times for everything."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from duroxide import Client, InstanceFilter, Runtime, RuntimeOptions, SqlProvider
from duroxide.bench.churn import churn
from duroxide.bench.filling import SHARES, Filled, fill, registry
from duroxide.bench.operations import BATCH, measure
from duroxide.bench.places import Place, fresh_place


FINISHED, SLEEPING = 1000, 50


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A database of the test's own."""
    urls = {"sqlite": "sqlite_url", "postgres": "postgres_url"}
    with fresh_place(request.getfixturevalue(urls[request.param])) as place:
        yield place


@pytest.fixture
def filled(place: Place) -> Iterator[tuple[SqlProvider, Filled]]:
    """A provider on a database with a thousand instances that have ended, and fifty that sleep."""
    with place.open() as provider:
        yield provider, fill(provider, place.schema, finished=FINISHED, sleeping=SLEEPING)


def test_filled(filled: tuple[SqlProvider, Filled]) -> None:
    """What is there is as many of each kind as was asked for, spread over a year, and keeps the conservation law."""
    provider, _ = filled
    client = Client(provider)
    metrics = client.get_system_metrics()
    page = client.list_instances(InstanceFilter(orchestration_name="seldom"))

    assert [] == provider.audit()
    assert FINISHED + SHARES["parent"] + SLEEPING == metrics.total_instances
    assert (SLEEPING, SHARES["failed"]) == (metrics.running_instances, metrics.failed_instances)
    assert SHARES["continued"] == metrics.total_executions - metrics.total_instances
    assert SLEEPING == client.get_queue_depths().timer_queue
    assert SHARES["rare"] == len(page)
    newest, *_, oldest = client.list_all_instances(limit=1000)
    assert 300 < (newest.created_at_ms - oldest.created_at_ms) / 86_400_000 <= 366


def test_it_lives(filled: tuple[SqlProvider, Filled]) -> None:
    """A runtime takes the instances for its own: nothing is due, and what sleeps can be cancelled."""
    provider, _ = filled
    with Runtime(provider, registry, RuntimeOptions()) as runtime:
        runtime.client.cancel_instance("sleeping-00000007")
        status = runtime.client.wait_for_orchestration("sleeping-00000007", 30)

    assert "Failed" == type(status).__name__
    assert [] == provider.audit()


def test_measured(filled: tuple[SqlProvider, Filled], place: Place) -> None:
    """Everything is measured, on instances of its own, and leaves nothing behind that breaks the law."""
    provider, _ = filled
    timings = measure(provider, repeat=1)
    windows = churn(provider, place, 2 * BATCH * 10, windows=2)

    assert {"start_instances", "commit_turns: short way", "idle: next_due_ms"} <= set(timings.seconds)
    assert all(seconds >= 0 for taken in timings.seconds.values() for seconds in taken)
    assert [1000, 2000] == [window["activities so far"] for window in windows]
    assert [] == provider.audit()
