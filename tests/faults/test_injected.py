"""Every kind of orchestration on a database that fails all the time, in every way: slower, and otherwise the same."""

from __future__ import annotations

import logging

from contextlib import ExitStack
from pathlib import Path

import pytest

from duroxide import Client, Runtime, SqlProvider
from duroxide.testing.faults import KILLED, CallTwice, Delay, Fail, FaultPlan, FaultyProvider, LoseConnection

from ..workload.outcomes import RESULTS, check, start_one_of_each
from ..workload.process import Worker
from ..workload.programs import OPTIONS, registry


#: Instances of each kind.
ROUNDS = 5

FAULTS = (Fail(), Delay(0.02), CallTwice(), LoseConnection(), LoseConnection(after_commit=True))


def test_every_kind(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Two runtimes with a fault in every tenth call lose nothing, do nothing twice in history, and fail no instance."""
    caplog.set_level(logging.INFO, "duroxide")
    with ExitStack() as stack:
        provider = stack.enter_context(SqlProvider(store_url))
        faulty = [
            FaultyProvider(
                stack.enter_context(SqlProvider(store_url)), FaultPlan.at_random(*FAULTS, probability=0.1, seed=seed)
            )
            for seed in range(2)
        ]
        for each in faulty:
            stack.enter_context(Runtime(each, registry, OPTIONS))
        client = Client(provider)
        ids = [instance_id for number in range(ROUNDS) for instance_id in start_one_of_each(client, number)]
        check(provider, ids)
        assert len(ids) == ROUNDS * (len(RESULTS) + 2)
        for each in faulty:
            assert set(each.faults) == {"Fail", "Delay", "CallTwice", "LoseConnection"}
    records = [record for record in caplog.records if record.name in {"duroxide.runtime", "duroxide.provider"}]
    assert [] == [record.getMessage() for record in records if record.exc_info or record.levelno >= logging.ERROR]


@pytest.mark.slow
def test_suicidal_processes(store_url: str, tmp_path: Path) -> None:
    """Processes that end in the middle of a commit, or right after it, leave everything to the next one."""
    with SqlProvider(store_url) as provider:
        client = Client(provider)
        ids: list[str] = []
        for number in range(2):
            ids += start_one_of_each(client, number)
            worker = Worker(store_url, tmp_path / f"log-{number}", "--kills", "0.3", "--seed", str(number))
            worker.go()
            assert worker.wait_for_end() == KILLED
            assert [] == list(provider.audit())
        worker = Worker.running(store_url, tmp_path / "log")
        check(provider, ids)
        worker.stop()
