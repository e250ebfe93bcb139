"""Closed providers: every operation says so at once, also to those who wait already, and to runtimes."""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from sqlalchemy import create_engine

from duroxide import (
    ActivityContext,
    Client,
    OrchestrationContext,
    ProviderError,
    Registry,
    Runtime,
    SqlProvider,
    _waiting,
)
from duroxide._clock import monotonic
from duroxide.providers.contract import HistoryRequest, TagFilter
from duroxide.providers.management import InstanceFilter, PruneOptions
from duroxide.testing.conformance.vocabulary import activity, commit, first_turn, lock_of, must_commit, raised, start

from ..patience import PATIENCE, eventually
from .stores import Store


registry = Registry()


@registry.orchestration
def wait(ctx: OrchestrationContext) -> Any:
    """Wait for what never comes."""
    return (yield ctx.schedule_wait("never"))


#: One operation of each kind: sending, fetching, committing, keeping locks, asking, management.
OPERATIONS: dict[str, Callable[[SqlProvider], object]] = {
    "initialize": lambda provider: provider.initialize(),
    "enqueue": lambda provider: provider.enqueue([raised()]),
    "start_instances": lambda provider: provider.start_instances([start("b")]),
    "fetch_orchestration_items": lambda provider: provider.fetch_orchestration_items(1, 1000),
    "read_histories": lambda provider: provider.read_histories([HistoryRequest("a", 1)]),
    "commit_turns": lambda provider: commit(provider, first_turn("c")),
    "fetch_activities": lambda provider: provider.fetch_activities(1, 1000, tags=TagFilter(), session=None),
    "fetch_expired_activities": lambda provider: provider.fetch_expired_activities(1, 1000),
    "renew_activity_locks": lambda provider: provider.renew_activity_locks([lock_of(activity("a"))], 1000),
    "held_activity_locks": lambda provider: provider.held_activity_locks([lock_of(activity("a"))]),
    "renew_sessions": lambda provider: provider.renew_sessions("me", 1000, 1000),
    "next_due_ms": lambda provider: provider.next_due_ms(),
    "get_instance_info": lambda provider: provider.get_instance_info("a"),
    "get_kv_all_values": lambda provider: provider.get_kv_all_values("a"),
    "audit": lambda provider: provider.audit(),
    "list_instances": lambda provider: provider.list_instances(InstanceFilter(), limit=1, cursor=None),
    "delete_instance": lambda provider: provider.delete_instance("a", force=True),
    "prune_executions": lambda provider: provider.prune_executions("a", PruneOptions(keep_last=1)),
}


class TestOperations:
    @pytest.mark.parametrize("operation", OPERATIONS)
    def test_refused(self, store: Store, operation: str) -> None:
        """A closed provider refuses everything, for good; closing twice is fine."""
        provider = store.open()
        must_commit(provider, first_turn("a"))
        provider.close()
        provider.close()

        with pytest.raises(ProviderError, match=r"the provider is closed\. Make a new SqlProvider") as caught:
            OPERATIONS[operation](provider)
        assert not caught.value.retryable

    def test_in_the_callers_transaction(self, shared_store: Store) -> None:
        """A closed provider does not write in a caller's transaction either."""
        provider = shared_store.open()
        engine = create_engine(provider._engine.url)
        provider.close()
        with engine.connect() as connection:
            with pytest.raises(ProviderError, match=r"enqueue.*the provider is closed"):
                provider.enqueue([raised()], connection=connection)
            assert not connection.in_transaction()
        engine.dispose()

    def test_nothing_is_handed_over(self, shared_store: Store) -> None:
        """A closed client's messages do not reach a runtime of its process by the short way."""
        with Runtime(shared_store.open(), registry):
            provider = shared_store.open()
            client = Client(provider)
            client.start_orchestration("a", wait)
            provider.close()

            with pytest.raises(ProviderError, match="the provider is closed"):
                client.start_orchestration("b", wait)


class TestWaiting:
    def test_ends(self, shared_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """A wait that is under way ends when its provider is closed, and not because it would look again."""
        monkeypatch.setattr(_waiting, "LOOK_AGAIN", 10 * PATIENCE)
        provider = shared_store.open()
        client = Client(provider)
        must_commit(provider, first_turn("a"))
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(client.wait_for_result, "a", PATIENCE)
            eventually(lambda: provider.wakeups.waiting_for("a"))
            provider.close()

            with pytest.raises(ProviderError, match="the provider is closed"):
                waiting.result(PATIENCE)

    def test_does_not_begin(self, shared_store: Store) -> None:
        """Whoever would wait on a closed provider hears that at once."""
        provider = shared_store.open()
        client = Client(provider)
        client.start_orchestration("a", wait)
        provider.close()

        with pytest.raises(ProviderError, match="the provider is closed"):
            client.wait_for_result("a", PATIENCE)


class TestRuntimes:
    def test_does_not_start(self, store: Store) -> None:
        """A runtime does not start on a closed provider."""
        provider = store.open()
        provider.close()
        runtime = Runtime(provider, registry)

        with pytest.raises(ProviderError, match=r"initialize.*the provider is closed"):
            runtime.start()
        runtime.shutdown()

    def test_has_results_left(self, shared_store: Store, caplog: pytest.LogCaptureFixture) -> None:
        """Results that a closed provider does not take end with the runtime, which neither waits for it nor goes on about it."""
        go_on = threading.Event()
        local = Registry()

        @local.activity
        def hold(ctx: ActivityContext) -> None:
            go_on.wait(PATIENCE)

        @local.orchestration
        def holds(ctx: OrchestrationContext) -> Any:
            yield ctx.join(*(ctx.schedule_activity(hold) for _ in range(5)))

        provider = shared_store.open()
        runtime = Runtime(provider, local)
        runtime.start()
        runtime.client.start_orchestration("a", holds)
        eventually(lambda: provider.get_instance_info("a"))
        with caplog.at_level(logging.WARNING, "duroxide"):
            provider.close()
            go_on.set()
            began = monotonic()
            runtime.shutdown(PATIENCE)

        assert monotonic() - began < PATIENCE / 2
        assert len(caplog.records) < 30

    def test_goes_on_quietly(self, store: Store, caplog: pytest.LogCaptureFixture) -> None:
        """A runtime whose provider is closed does not spin: it says so ever less often, and stops when it is told."""
        provider = store.open()
        with Runtime(provider, registry) as runtime, caplog.at_level(logging.WARNING, "duroxide"):
            runtime.client.start_orchestration("a", wait)
            provider.close()
            eventually(lambda: "the provider is closed" in caplog.text)
            threading.Event().wait(0.5)  # who spins says so thousands of times meanwhile

        assert len(caplog.records) < 20
        assert all("the provider is closed" in record.getMessage() for record in caplog.records)
        assert not any(record.exc_info for record in caplog.records)
