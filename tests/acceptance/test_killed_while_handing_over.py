"""A process dies in the commit of what its client has handed over to its runtime: what was said to be stored, is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from duroxide import Client, Runtime, SqlProvider
from duroxide._core.events import QueueEventDelivered
from duroxide.providers.management import InstanceFilter
from duroxide.testing.faults import KILLED

from ..workload import starter
from ..workload.process import ENVIRONMENT, PATIENCE
from ..workload.starter import WORDS


PROGRAM = "tests.workload.starter"

#: In a start, in the first word, and in the last word of the second instance.
COMMITS = (1, 2, 8)


@pytest.mark.parametrize("when", [pytest.param("before", marks=pytest.mark.thorough), "after"])
def test_killed_in_a_commit(store_url: str, when: str) -> None:
    """Instances and words are there that the client was told of, once and in order, and at most one more of each."""
    with SqlProvider(store_url) as provider:
        client = Client(provider)
        for nth in COMMITS:
            told = run(store_url, f"run{nth}", nth, when)
            assert [] == list(provider.audit())
            check(client, told, nth, when)
        with Runtime(provider, starter.registry):
            for instance_id in ids(client):
                for word in [*WORDS[len(words_of(client, instance_id)) :], "last"]:
                    client.enqueue_event(instance_id, "words", word)
                assert client.wait_for_result(instance_id, PATIENCE) == [*WORDS, "last"]
        assert [] == list(provider.audit())


def run(url: str, name: str, nth: int, when: str) -> list[str]:
    """Let a process end in its commit number *nth*; return what it has said."""
    command = [sys.executable, "-m", PROGRAM, url, name, str(nth), when]
    ended = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (ended.returncode, ended.stderr) == (KILLED, "")
    return ended.stdout.splitlines()


def check(client: Client, told: list[str], nth: int, when: str) -> None:
    """What was *told* is there, and what was written last if it was."""
    assert len(told) == nth - 1
    calls = [f"started run{nth}-{number // 4}" if number % 4 == 0 else _sent(nth, number) for number in range(nth)]
    assert told == calls[:-1]
    written = calls if when == "after" else calls[:-1]
    found = [
        line
        for number in range(nth)
        if (instance_id := f"run{nth}-{number}") in ids(client)
        for line in [
            f"started {instance_id}",
            *(f"sent {instance_id} {word}" for word in words_of(client, instance_id)),
        ]
    ]
    assert found == written


def ids(client: Client) -> list[str]:
    """Return the ids of all instances."""
    return [info.instance_id for info in client.list_instances(InstanceFilter(), limit=100)]


def words_of(client: Client, instance_id: str) -> list[str]:
    """Return the words in the history of an instance."""
    history = client.read_execution_history(instance_id)
    return [event.data.strip('"') for event in history if isinstance(event, QueueEventDelivered)]


def _sent(nth: int, number: int) -> str:
    return f"sent run{nth}-{number // 4} {WORDS[number % 4 - 1]}"
