"""Killed for real: whatever moment SIGKILL comes at, every orchestration ends as if nothing had happened."""

from __future__ import annotations

import random

from pathlib import Path

import pytest

from duroxide import Client, SqlProvider

from ..workload.outcomes import check, start_one_of_each
from ..workload.process import Worker


KILLS = 8


@pytest.mark.slow
def test_killed_again_and_again(store_url: str, tmp_path: Path) -> None:
    """A worker that is killed at random moments, over and over, loses nothing and does nothing twice in history."""
    moments = random.Random(20)
    ids: list[str] = []
    with SqlProvider(store_url) as provider:
        client = Client(provider)
        successor = Worker(store_url, tmp_path / "log-0")
        for number in range(KILLS):
            # A round begins more than it lets be done, so that there is always something to interrupt.
            ids += start_one_of_each(client, number)
            worker, successor = successor, Worker(store_url, tmp_path / f"log-{number + 1}")
            worker.go()
            worker.wait_for("ready")
            worker.wait_for("begun", moments.choice([0, 1, moments.randrange(2, 40)]))
            worker.kill()
            assert [] == list(provider.audit()), f"after kill {number}"
        successor.go()
        check(provider, ids)
        successor.stop()
        assert [] == list(provider.audit())
    assert complaints(successor) == []


def test_one_of_two(store_url: str, tmp_path: Path) -> None:
    """When one of two workers is killed, the other takes over all of its work."""
    with SqlProvider(store_url) as provider:
        victim, heir = (Worker.running(store_url, tmp_path / f"log-{number}") for number in range(2))
        ids = [instance_id for number in range(6) for instance_id in start_one_of_each(Client(provider), number)]
        victim.wait_for("begun", 20)
        victim.kill()
        check(provider, ids)
        heir.stop()
        assert [] == list(provider.audit())
    assert complaints(heir) == []


def complaints(worker: Worker) -> list[str]:
    """Return what a worker logged that somebody should look at."""
    return [line for line in worker.log().splitlines() if not line.startswith("INFO")]
