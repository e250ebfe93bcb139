"""Killed for real: whatever moment SIGKILL comes at, every orchestration ends as if nothing had happened."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import duroxide

from duroxide import Client, SqlProvider
from duroxide._core import events as e


WORKER = Path(__file__).parent / "killed_worker.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(str(duroxide.__file__)).parent.parent)}

KILLS = 20

#: Longer than any run takes: what hangs fails the test instead of stopping it.
PATIENCE = 60.0

#: What each orchestration of the worker makes of a number.
RESULTS: Mapping[str, Callable[[int], object]] = {
    "sequence": lambda n: n + 7,
    "fan_out": lambda n: 6 * n + 21 + 3 * (n + 1),
    "race": lambda n: [0, 1, 1, n + 3],
    "persist": lambda n: [n + 1, n + 1, n + 2],
    "listen": lambda n: [n + 2, "word 0", "word 1"],
}


class Worker:
    """One process of the worker program."""

    def __init__(self, url: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(WORKER), url],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._watchdog = threading.Timer(PATIENCE, self._process.kill)
        self._watchdog.start()

    def wait_for(self, activities: int) -> list[str]:
        """Wait until it is ready and has begun so many activities; return what it printed."""
        assert self._process.stdout is not None
        lines: list[str] = []
        while len(lines) < activities + 1:
            line = self._process.stdout.readline()
            assert line, f"the worker ended or hung: {self._end()}"
            lines.append(line.strip())
        return lines[1:]

    def kill(self) -> None:
        """End it without a chance to do anything about it."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """Let it end; it must do so without complaint."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.stdin = None
        complaints = self._end()
        assert (self._process.returncode, complaints) == (0, "")

    def _end(self) -> str:
        _, complaints = self._process.communicate()
        self._watchdog.cancel()
        return complaints


class Feeder:
    """Raises the events that listening instances wait for, when they do, whoever is killed meanwhile."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._threads: list[threading.Thread] = []
        self._failures: list[BaseException] = []

    def feed(self, instance_id: str) -> None:
        """Feed *instance_id* with two events."""
        thread = threading.Thread(target=self._feed, args=(instance_id,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait until all have been fed."""
        for thread in self._threads:
            thread.join()
        assert self._failures == []

    def _feed(self, instance_id: str) -> None:
        try:
            for turn in range(2):
                self._client.wait_for_status_change(instance_id, turn, 2 * PATIENCE)
                self._client.raise_event(instance_id, "word", f"word {turn}")
        except Exception as failure:  # noqa: BLE001  # reported by join
            self._failures.append(failure)


@contextmanager
def opened(url: str) -> Iterator[tuple[SqlProvider, Client, Feeder]]:
    """Open the database for the test itself, and close it when everybody has been fed."""
    with SqlProvider(url) as provider:
        client = Client(provider)
        feeder = Feeder(client)
        yield provider, client, feeder
        feeder.join()


def start_one_of_each(client: Client, feeder: Feeder, number: int) -> list[str]:
    """Start an instance of each orchestration; return their ids."""
    ids = [f"{kind}-{number}" for kind in RESULTS]
    for instance_id, kind in zip(ids, RESULTS, strict=True):
        client.start_orchestration(instance_id, kind, number)
    feeder.feed(f"listen-{number}")
    return ids


def check(client: Client, provider: SqlProvider, ids: list[str]) -> None:
    """Every instance has the right result, and every activity's result is in its history exactly once."""
    for instance_id in ids:
        kind, number = instance_id.split("-")
        assert client.wait_for_result(instance_id, PATIENCE) == RESULTS[kind](int(number)), instance_id
        check_history(client.read_execution_history(instance_id))
    assert provider.audit() == []


def check_history(history: Any) -> None:
    """Each schedule was answered at most once, each activity exactly once, and nothing follows the end."""
    scheduled = {event.event_id for event in history if isinstance(event, e.ActivityScheduled)}
    answers = Counter(event.source_event_id for event in history if isinstance(event, e.CompletionEvent))
    assert scheduled <= set(answers)
    assert set(answers.values()) == {1}
    assert [event.event_id for event in history] == list(range(1, len(history) + 1))
    assert isinstance(history[-1], e.OrchestrationCompleted)
    assert sum(isinstance(event, e.TERMINAL_EVENTS) for event in history) == 1


@pytest.mark.slow
def test_killed_again_and_again(store_url: str) -> None:
    """A worker that is killed at random moments, over and over, loses nothing and does nothing twice in history."""
    moments = random.Random(20)
    ids: list[str] = []
    with opened(store_url) as (provider, client, feeder):
        for number in range(KILLS):
            # A round begins more than it lets be done, so that there is always something to interrupt.
            ids += start_one_of_each(client, feeder, number)
            worker = Worker(store_url)
            worker.wait_for(moments.choice([0, 1, moments.randrange(2, 20)]))
            worker.kill()
            assert provider.audit() == [], f"after kill {number}"
        worker = Worker(store_url)
        check(client, provider, ids)
        worker.stop()
        assert provider.audit() == []


def test_one_of_two(store_url: str) -> None:
    """When one of two workers is killed, the other takes over all of its work."""
    with opened(store_url) as (provider, client, feeder):
        victim, heir = Worker(store_url), Worker(store_url)
        victim.wait_for(0)
        heir.wait_for(0)
        ids: list[str] = []
        for number in range(12):
            ids += start_one_of_each(client, feeder, number)
        victim.wait_for(20)
        victim.kill()
        check(client, provider, ids)
        heir.stop()
        assert provider.audit() == []
