"""Starting in a process that gets no more threads: nothing half done is left, and who waits does not need one."""

from __future__ import annotations

import threading

from collections.abc import Callable
from typing import Any

import pytest

from duroxide import Client, OrchestrationContext, Registry, Runtime

from .stage import PATIENCE


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Have no thread begin any more whose name begins with what is given; an empty one is for none."""
    refused = ""
    start = threading.Thread.start

    def refusing(thread: threading.Thread) -> None:
        if refused and thread.name.startswith(refused):
            msg = "can't start new thread"
            raise RuntimeError(msg)
        start(thread)

    def refuse(prefix: str) -> None:
        nonlocal refused
        refused = prefix

    monkeypatch.setattr(threading.Thread, "start", refusing)
    return refuse


@pytest.fixture
def registry_of_one() -> Registry:
    """An orchestration that is over at once."""
    registry = Registry()

    @registry.orchestration
    def one(ctx: OrchestrationContext) -> int:
        return 1

    return registry


@pytest.mark.parametrize("thread", ["duroxide-dispatch", "duroxide-fetch", "duroxide-leases"])
def test_all_or_nothing(store_url: str, registry_of_one: Registry, refuse: Callable[[str], None], thread: str) -> None:
    """A runtime that cannot begin as a whole has stopped: it takes no work that it could not keep its locks on."""
    before = set(threading.enumerate())
    refuse(thread)
    runtime = Runtime(store_url, registry_of_one)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        runtime.start()

    assert "stopped" in repr(runtime)
    assert set(threading.enumerate()) == before


def test_watcher(store_url: str, registry_of_one: Registry, refuse: Callable[[str], None]) -> None:
    """Without a thread that hears of other processes all goes on, and the next one who waits tries to get one."""

    def watchers() -> list[Any]:
        return [thread for thread in threading.enumerate() if thread.name.startswith("duroxide-watcher")]

    refuse("duroxide-watcher")
    with Runtime(store_url, registry_of_one), Client(store_url) as client:
        client.start_orchestration("i", "one")
        assert client.wait_for_result("i", PATIENCE) == 1
        assert not watchers()
        refuse("")
        client.wait_for_result("i", PATIENCE)

        assert len(watchers()) == 1
    assert not watchers()
