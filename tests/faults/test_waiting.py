"""Clients that wait while the database goes away: the wait goes on, and ends for no other reason than it would have."""

from __future__ import annotations

import logging

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from duroxide import (
    Client,
    Orchestration,
    OrchestrationContext,
    ProviderError,
    Registry,
    Runtime,
    SqlProvider,
    WaitTimeout,
)
from duroxide.testing.faults import Fail, FaultPlan, FaultyProvider, LoseConnection, Rule

from ..patience import PATIENCE
from ..runtime.stage import eventually
from ..workload.programs import OPTIONS


registry = Registry()


@registry.orchestration
def report(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Wait for a message in the queue ``go``; then set a key-value and a status, and end."""
    yield from ctx.dequeue_event("go")
    ctx.set_kv_value("number", number)
    ctx.set_custom_status("reported")
    return number


#: The ways to wait for `report`, and what each of them waits for.
WAITS = {
    "result": lambda client: client.wait_for_result("a", PATIENCE),
    "status": lambda client: client.wait_for_status_change("a", 0, PATIENCE).custom_status,
    "key": lambda client: client.wait_for_kv_value("a", "number", PATIENCE),
}


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the client's log says, without the reasons; there are no tracebacks in it."""
    records = [record for record in caplog.records if record.name == "duroxide.client"]
    assert [] == [record.getMessage() for record in records if record.exc_info]
    return [record.getMessage().partition(": ")[0] for record in records]


class TestStopped:
    def test_back_in_time(self, server: Any, server_url: str, caplog: pytest.LogCaptureFixture) -> None:
        """Waits that begin before or during an outage of the server hear of what happens after it."""
        caplog.set_level(logging.INFO, "duroxide")
        with SqlProvider(server_url) as provider, ThreadPoolExecutor(4) as pool:
            client = Client(provider)
            client.start_orchestration("a", "report", 7)
            early = [pool.submit(wait, client) for wait in WAITS.values()]
            server.stop()
            late = pool.submit(client.wait_for_result, "a", PATIENCE)
            eventually(
                lambda: lines(caplog).count("the database does not answer; waiting for instance 'a' goes on") == 4,
                PATIENCE,
            )
            server.start()
            with Runtime(server_url, registry, OPTIONS):
                client.enqueue_event("a", "go")
                assert [wait.result(PATIENCE) for wait in early] == [7, "reported", 7]
                assert late.result(PATIENCE) == 7
        resumed = "the database answers again; still waiting for instance 'a'"
        assert lines(caplog).count(resumed) == 4
        assert len(lines(caplog)) <= 16

    def test_not_back_in_time(self, server: Any, server_url: str) -> None:
        """A wait whose time is over before the server is back says so, with the server's error as its cause."""
        with SqlProvider(server_url) as provider:
            client = Client(provider)
            client.start_orchestration("a", "report", 7)
            server.stop()
            with pytest.raises(WaitTimeout, match=r"'a' did end within 0\.5 s is not known: the database") as caught:
                client.wait_for_result("a", 0.5)
            server.start()

        assert isinstance(caught.value.__cause__, ProviderError)
        assert caught.value.__cause__.retryable


@pytest.fixture
def provider() -> Iterator[SqlProvider]:
    """An empty store in memory."""
    with SqlProvider.in_memory() as provider:
        yield provider


class TestOnPurpose:
    @pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
    def test_brief(self, provider: SqlProvider, wait: Any, caplog: pytest.LogCaptureFixture) -> None:
        """The answer comes when looking works again; an outage is one warning, and its end one line."""
        caplog.set_level(logging.INFO, "duroxide")
        looks = ("get_instance_info", "get_kv_value")
        plan = FaultPlan((Rule(LoseConnection(), on=looks, nth=(1, 2)),))
        client = Client(provider)
        client.start_orchestration("a", "report", 7)
        client.enqueue_event("a", "go")
        with Runtime(provider, registry, OPTIONS):
            client.wait_for_result("a", PATIENCE)

        assert wait(Client(FaultyProvider(provider, plan))) in {7, "reported"}
        assert lines(caplog) == [
            "the database does not answer; waiting for instance 'a' goes on",
            "the database answers again; still waiting for instance 'a'",
        ]

    def test_for_good(self, provider: SqlProvider) -> None:
        """A failure that will not pass ends the wait at once, as itself."""
        plan = FaultPlan((Rule(Fail(retryable=False), on="get_instance_info"),))
        broken = FaultyProvider(provider, plan)
        with pytest.raises(ProviderError, match="get_instance_info"):
            Client(broken).wait_for_result("a", PATIENCE)

        assert broken.calls["get_instance_info"] == 1

    def test_does_not_spin(self, provider: SqlProvider) -> None:
        """A database that does not answer is asked again with growing pauses."""
        broken = FaultyProvider(provider)
        broken.break_down()
        with pytest.raises(WaitTimeout):
            Client(broken).wait_for_result("a", 1.0)

        assert broken.calls["get_instance_info"] <= 6
