"""What a child that was forked may use, and what it is told about the rest. Each test forks in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from typing import Any

import pytest


pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")

PRELUDE = """
import gc, json, os, signal, sys
from sqlalchemy import create_engine, text
from duroxide import Client, Registry, Runtime, SqlProvider
from duroxide.errors import ProviderError
from duroxide.providers.forking import PROCESS
from duroxide.providers.sql import shared as sharing

signal.alarm(100)  # ends a program that hangs; a child has no alarm but its own
url = sys.argv[1]
registry = Registry()

@registry.activity
def step(ctx, number):
    return number + 1

@registry.orchestration
def first(ctx, number):
    return (yield from ctx.schedule_activity(step, number))

def in_child(work):
    '''Return what *work* returns in a child, which ends as programs do: whatever it has is closed or collected.'''
    reading, writing = os.pipe()
    if os.fork() == 0:
        signal.alarm(50)
        os.close(reading)
        with os.fdopen(writing, "w") as out:
            json.dump(work(), out)
        sys.exit()
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    assert os.wait()[1] == 0
    return json.loads(said)

def refusal(work):
    '''Return what *work* is refused with, and whether trying again helps.'''
    try:
        work()
    except ProviderError as error:
        return error.message, error.retryable
    return None
"""

MADE_BEFORE = ["made before the process was forked", False]


def run(body: str, *arguments: str) -> Any:
    """Return what the program *body* shows."""
    program = f"{PRELUDE}\n{body}"
    # Python 3.12 and later warn of what these tests are about.
    python = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", program]
    done = subprocess.run([*python, *arguments], capture_output=True, text=True, timeout=120, check=False)
    assert 0 == done.returncode, done.stderr
    assert "" == done.stderr
    return json.loads(done.stdout)


def kinds(refusals: list[Any]) -> list[Any]:
    """Return *refusals*, each cut to what it is about."""
    return [each and [MADE_BEFORE[0] if str(MADE_BEFORE[0]) in each[0] else each[0], each[1]] for each in refusals]


def test_names(sqlite_url: str) -> None:
    """Each child is a process of its own to those who listen, and so is its child."""
    names = run(
        """
def names():
    return [PROCESS.token, in_child(lambda: PROCESS.token)]
print(json.dumps([PROCESS.token, *in_child(names), *in_child(names)]))
""",
        sqlite_url,
    )

    assert 5 == len(set(names))


def test_made_before(store_url: str) -> None:
    """Clients and runtimes of the parent refuse everything in the child, at once and for good."""
    refusals = run(
        """
client = Client(url)
runtime, other = Runtime(url, registry), Runtime(url, registry)
runtime.start()
client.start_orchestration("a", first, 1)
client.wait_for_result("a", 60)

def child():
    engine = create_engine(client._provider._engine.url)
    refusals = [
        refusal(lambda: client.start_orchestration("b", first, 1)),
        refusal(lambda: runtime.client.start_orchestration("b", first, 1)),
        refusal(lambda: client.raise_event("a", "x", 1)),
        refusal(lambda: client.wait_for_result("a", 60)),
        refusal(lambda: client.get_orchestration_status("a")),
        refusal(lambda: client.get_kv_value("a", "k")),
        refusal(lambda: client.cancel_instance("a", "why")),
        refusal(lambda: client.get_queue_depths()),
        refusal(runtime.metrics_snapshot),
        refusal(other.start),
    ]
    with engine.connect() as connection:
        refusals.append(refusal(lambda: client.start_orchestration("c", first, 1, connection=connection)))
    return refusals

print(json.dumps(in_child(child)))
runtime.shutdown()
other.shutdown()
client.close()
""",
        store_url,
    )

    assert [MADE_BEFORE] * 11 == kinds(refusals)


def test_parents_locks(store_url: str) -> None:
    """Whatever lock a thread of the parent holds at the fork, the child is refused, and does not wait for it."""
    refusals = run(
        """
client = Client(url)
shared = client._provider._shared

def child():
    return [
        refusal(lambda: client.start_orchestration("a", first, 1)),
        refusal(lambda: client.wait_for_result("a", 60)),
        refusal(lambda: Client("sqlite:///" + sys.argv[2])),
    ]

with sharing._lock, shared.write_lock, shared._lock, shared.wakeups._lock:
    refusals = in_child(child)
print(json.dumps(refusals))
client.close()
""",
        store_url,
        ":memory:",
    )

    assert [MADE_BEFORE, MADE_BEFORE, None] == kinds(refusals)


def test_parents_connections(postgres_database_url: str) -> None:
    """Whatever becomes of them in the child, the parent's connections are as they were."""
    before, after = run(
        """
runtime = Runtime(url, registry)
runtime.start()  # and so it is the runtime's provider that watches: nobody else uses the client's
client = Client(url)
database = client._provider._database
ask = lambda: database.read("ask", lambda transaction: transaction.connection.exec_driver_sql(
    "SELECT pg_backend_pid()").scalar_one())

def child():
    global client, database
    client.close()
    runtime.shutdown()
    del client, database
    gc.collect()

before = ask()
in_child(child)
print(json.dumps([before, ask()]))
runtime.shutdown()
client.close()
""",
        postgres_database_url,
    )

    assert before == after


def test_made_after_on_postgres(postgres_database_url: str) -> None:
    """Clients and runtimes that are made in the child work, while the parent works on."""
    results = run(
        """
def go(instance_id):
    with Runtime(url, registry) as runtime:
        runtime.client.start_orchestration(instance_id, first, 1)
        return runtime.client.wait_for_result(instance_id, 60)

with Runtime(url, registry) as runtime:
    results = [go("a"), in_child(lambda: go("b")), go("c")]
    runtime.client.start_orchestration("d", first, 1)
    print(json.dumps([*results, runtime.client.wait_for_result("d", 60)]))
""",
        postgres_database_url,
    )

    assert [2, 2, 2, 2] == results


def test_engine_of_the_parents(postgres_database_url: str) -> None:
    """An Engine whose connections are the parent's is refused, until it has let go of them."""
    before, after = run(
        """
engine = create_engine(url)
client = Client(engine)

def child():
    before = refusal(lambda: Client(engine))
    engine.dispose(close=False)
    with Client(engine) as mine:
        return before, mine.get_orchestration_status("nobody").__class__.__name__

print(json.dumps(in_child(child)))
client.close()
engine.dispose()
""",
        postgres_database_url,
    )

    assert "engine.dispose(close=False)" in before[0]
    assert (False, "NotFound") == (before[1], after)


def test_made_after_on_sqlite(sqlite_url: str) -> None:
    """A file that the parent had open is refused, to its child and to that one's, with what to do instead."""
    refusals = run(
        """
client = Client(url)
child = lambda: refusal(lambda: Client(url))
print(json.dumps([in_child(child), in_child(lambda: in_child(child)), child()]))
client.close()
""",
        sqlite_url,
    )

    assert ["spawn" in refusals[0][0], refusals[0], None] == [True, refusals[1], refusals[2]]
    assert refusals[0][1] is False


def test_closed_before_on_sqlite(sqlite_url: str) -> None:
    """What the parent has closed before it forks is free; so are other files."""
    results = run(
        """
def go(url):
    with Runtime(url, registry) as runtime:
        runtime.client.start_orchestration(f"a{PROCESS}", first, 1)
        return runtime.client.wait_for_result(f"a{PROCESS}", 60)

before = go(url)
with Client(url + ".other"):
    print(json.dumps([before, in_child(lambda: go(url))]))
""",
        sqlite_url,
    )

    assert [2, 2] == results
