"""
What an activity, a timer and a signal cost: transactions, statements and rows, exactly. The guard against getting slower.

These are not laws: when a number falls, or rises for a good reason, change it here, and say why in the commit.
Everything is counted at the provider's door (`duroxide.bench.counting`), the same on SQLite and Postgres.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from attrs import define, field

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions
from duroxide._clock import monotonic
from duroxide._core.events import ExternalSubscribed
from duroxide.bench.counting import Calls, Counts, watch
from duroxide.errors import UnreadableHistory
from duroxide.providers.contract import HistoryRequest
from duroxide.providers.sql import SqlProvider


PATIENCE = 15.0
STEPS = 10

#: Transactions, statements and rows written of a first turn that schedules one thing.
START = (1, 8, 8)
#: Of an instance with one message: the lock and the message are written.
FETCH_OF_START = Counts(commits=1, statements=4, rows_written=2, rows_read=1)
#: … and of one that exists, whose row is read too.
FETCH_OF_MESSAGE = Counts(commits=1, statements=4, rows_written=2, rows_read=2)

registry = Registry()

#: Held back until the test lets them go.
gate = threading.Event()


@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    return number + 1


@registry.activity
def held_step(ctx: ActivityContext, number: int) -> int:
    assert gate.wait(PATIENCE)
    return number + 1


@registry.orchestration
def nothing(ctx: OrchestrationContext, _: None) -> Orchestration[None]:
    yield from ()


@registry.orchestration
def chain(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
    number = 0
    for _ in range(steps):
        number = yield from ctx.schedule_activity(step, number)
    return number


@registry.orchestration
def fan_out(ctx: OrchestrationContext, width: int) -> Orchestration[int]:
    results = yield from ctx.join(*(ctx.schedule_activity(held_step, number) for number in range(width)))
    return len(results)


@registry.orchestration
def timers(ctx: OrchestrationContext, count: int) -> Orchestration[None]:
    for _ in range(count):
        yield from ctx.schedule_timer(0.001)


@registry.orchestration
def signals(ctx: OrchestrationContext, count: int) -> Orchestration[None]:
    for _ in range(count):
        yield from ctx.schedule_wait("go")


def eventually(condition: Callable[[], object]) -> None:
    """Wait for something that sends no signal; fail if it does not come."""
    deadline = monotonic() + PATIENCE
    while not condition():
        assert monotonic() < deadline, "what was waited for did not happen"
        threading.Event().wait(0.005)


def written(counts: Counts) -> tuple[int, int, int]:
    """Return transactions, statements and rows; without what depends on the moment, such as who waits for what."""
    return counts.commits, counts.statements, counts.rows_written


@define
class Counted:
    """A runtime whose provider is watched, and a second provider to look at the outcome with."""

    runtime: Runtime
    calls: Calls
    unwatched: SqlProvider
    #: The commit of this instance waits for `resume`, and the whole dispatcher with it.
    paused_at: str | None = None
    paused: threading.Event = field(factory=threading.Event)
    resume: threading.Event = field(factory=threading.Event)

    def run(self, orchestration: Callable[..., Any], argument: object) -> None:
        """Run one instance to its end, and stop: nothing is counted any more."""
        self.runtime.client.start_orchestration("counted", orchestration, argument)
        self.finish()

    def finish(self) -> None:
        self.runtime.client.wait_for_result("counted", PATIENCE)
        self.runtime.shutdown()

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if operation == "commit_turns" and self.paused_at in {commit.instance_id for commit in arguments[0]}:
            self.paused.set()
            assert self.resume.wait(PATIENCE)

    def commits(self) -> list[Counts]:
        """What each round committed."""
        return [call.counts for call in self.calls.of("commit_turns")]

    def fetches(self) -> list[Counts]:
        """What each fetch cost that found something."""
        return [call.counts for call in self.calls.of("fetch_orchestration_items", writing=True)]

    def subscriptions(self) -> int:
        """How often the instance has asked for an event, as far as is stored."""
        (history,) = self.unwatched.read_histories([HistoryRequest("counted", None)])
        assert not isinstance(history, UnreadableHistory)
        return sum(isinstance(event, ExternalSubscribed) for event in history)


@pytest.fixture(params=["sqlite", "postgres"])
def counted(request: pytest.FixtureRequest) -> Iterator[Counted]:
    """A runtime on an empty database, with all short cuts."""
    schema = None
    if request.param == "postgres":
        schema = request.getfixturevalue("postgres_schema")
    url = request.getfixturevalue("sqlite_url" if schema is None else "postgres_url")
    gate.clear()
    with SqlProvider(url, schema=schema) as provider, SqlProvider(url, schema=schema) as unwatched:
        found: list[Counted] = []
        watched, calls = watch(provider, before=lambda name, arguments: found and found[0].before(name, arguments))
        runtime = Runtime(watched, registry, RuntimeOptions(poll_interval=3600))
        found.append(Counted(runtime, calls, unwatched))
        with runtime:
            # The two first looks for work that somebody may have left.
            eventually(lambda: calls.of("fetch_activities"))
            eventually(lambda: calls.of("next_due_ms"))
            calls.clear()
            yield found[0]


@contextmanager
def one_round(counted: Counted, outcomes: int) -> Iterator[None]:
    """Make the dispatcher wait in a commit until *outcomes* are in its inbox, so that one round takes them all."""
    counted.paused_at = "in between"
    counted.runtime.client.start_orchestration("in between", nothing)
    assert counted.paused.wait(PATIENCE)
    yield
    inbox = counted.runtime._dispatcher._inbox
    eventually(lambda: len(inbox) == outcomes)
    counted.resume.set()


def test_chain(counted: Counted) -> None:
    """A sequential activity costs one transaction of four statements and five rows, and reads nothing."""
    counted.run(chain, STEPS)

    first, *between, last = counted.commits()
    # Advance the instance, remove the activity's row; append its completion and the next schedule; insert its row.
    assert [Counts(commits=1, statements=4, rows_written=5)] * (STEPS - 1) == between
    # Unlock, consume, create the instance and its execution, append 2 events; insert the first activity's row.
    assert START == written(first)
    # The end of the execution instead of another activity.
    assert (1, 4, 5) == written(last)
    assert [FETCH_OF_START] == counted.fetches()
    assert [] == counted.calls.of("ack_activities") + counted.calls.of("read_histories")


def test_fan_out(counted: Counted) -> None:
    """Activities that are scheduled together, or end together, cost rows but no statements of their own."""
    counted.runtime.client.start_orchestration("counted", fan_out, STEPS)
    eventually(lambda: len(counted.calls.of("commit_turns")) == 1)
    with one_round(counted, STEPS):
        gate.set()
    counted.finish()

    scheduled, _, ended = counted.commits()
    # For each: an event and a row of the worker queue; then that row again, and another event.
    assert (1, START[1], START[2] + 2 * (STEPS - 1)) == written(scheduled)
    assert (1, 4, 3 + 2 * STEPS) == written(ended)
    assert [] == counted.calls.of("ack_activities") + counted.calls.of("read_histories")


def test_timers(counted: Counted) -> None:
    """A timer costs a transaction to fetch it and one to go on."""
    counted.run(timers, STEPS)

    first, *between, last = counted.commits()
    assert START == written(first)
    assert [(1, 7, 7)] * (STEPS - 1) == [written(each) for each in between]
    assert (1, 7, 7) == written(last)
    assert [FETCH_OF_START, *[FETCH_OF_MESSAGE] * STEPS] == counted.fetches()
    assert [] == counted.calls.of("read_histories")


def test_signals(counted: Counted) -> None:
    """A signal costs a transaction to send it, one to fetch it and one to go on."""
    client = counted.runtime.client
    client.start_orchestration("counted", signals, STEPS)
    for number in range(STEPS):
        eventually(lambda n=number: counted.subscriptions() == n + 1)
        client.raise_event("counted", "go")
    counted.finish()

    _, *between, last = counted.commits()
    assert [Counts(commits=1, statements=6, rows_written=6)] * (STEPS - 1) == between
    assert (1, 7, 7) == written(last)
    assert [FETCH_OF_START, *[FETCH_OF_MESSAGE] * STEPS] == counted.fetches()
    assert [(1, 1, 1)] * STEPS == [written(call.counts) for call in counted.calls.of("enqueue")]
    assert [] == counted.calls.of("read_histories")


def test_local_work_notifies_nobody(counted: Counted) -> None:
    """A NOTIFY makes Postgres commit one transaction at a time: only the start and the end are announced."""
    counted.run(chain, STEPS)

    announcing = [call.operation for call in counted.calls.all if call.counts.notifications]
    assert set(announcing) <= {"start_instances", "commit_turns"}
    assert len(announcing) <= 2
