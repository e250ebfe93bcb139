"""
What an activity, a timer and a signal cost: transactions, statements and rows, exactly. The guard against getting slower.

These are not laws: when a number falls, or rises for a good reason, change it in `COSTS`, and say why in the commit.
Everything is counted at the provider's door (`duroxide.bench.counting`), the same on SQLite and Postgres.
Nothing depends on timing: the clock stands still, one instance has one thing to do at a time, or one round is made to
take all there is. Messages go through the queue, except where a test says that they are handed over.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest

from attrs import define, field, frozen

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions, _sending
from duroxide._core.events import Event, ExternalSubscribed
from duroxide.bench.counting import Call, Calls, watch
from duroxide.errors import UnreadableHistory
from duroxide.providers.contract import HistoryRequest
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.watcher import NotificationEar
from duroxide.providers.wakeups import Changes
from duroxide.testing.conformance import HeldClock

from ..patience import PATIENCE, eventually
from ..workload.idling import first_look, until_idle


STEPS = 10
HOUR_MS = 3_600_000


@frozen
class Cost:
    """Of one call of the provider."""

    transactions: int
    statements: int
    rows_written: int
    history_rows_read: int = 0


#: What is paid for. A width of a fan-out, or a number of events, is `STEPS`.
COSTS = {
    # A client's calls: insert the message.
    "start": Cost(1, 1, 1),
    "raise an event": Cost(1, 1, 1),
    # Lock an instance that has messages, count the attempt, read where the instance stands.
    "fetch": Cost(1, 3, 2),
    # Unlock, consume, look for more messages, create the instance and its execution, append 2 events; insert what they schedule.
    "first turn": Cost(1, 8, 8),
    # Advance the instance, remove the activity's row; append its completion and the next schedule; insert its row.
    "activity ended, next one": Cost(1, 4, 5),
    # The end of the execution instead of another activity.
    "activity ended, the last": Cost(1, 4, 5),
    # The same without a queue: no lock, no message, nothing to look for.
    "first turn, handed over": Cost(1, 4, 5),
    # For each more: an event and a row of the worker queue; then that row again, and another event.
    "first turn of a fan-out": Cost(1, 8, 8 + 2 * (STEPS - 1)),
    "fan-out ended": Cost(1, 4, 3 + 2 * STEPS),
    # Advance, remove the timer's message; append; insert the next timer, or end the execution.
    "timer fired, next one": Cost(1, 4, 5),
    "timer fired, the last": Cost(1, 4, 5),
    # Waiting for an event is an event of history, and no row elsewhere.
    "event arrived, next one": Cost(1, 6, 6),
    "event arrived, the last": Cost(1, 7, 7),
    "event handed over, next one": Cost(1, 2, 3),
    "event handed over, the last": Cost(1, 3, 4),
    # Of an instance that this process has not in memory: its whole history, once.
    "take over": Cost(0, 1, 0, history_rows_read=2),
}

#: What is not the same on Postgres.
COSTS_ON_POSTGRES = {
    # Keep others from starting the same id, and insert the message.
    "start": Cost(1, 2, 1),
    "first turn, handed over": Cost(1, 5, 5),
}

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
        yield from ctx.schedule_timer(HOUR_MS / 1000)


@registry.orchestration
def signals(ctx: OrchestrationContext, count: int) -> Orchestration[None]:
    for _ in range(count):
        yield from ctx.schedule_wait("go")


def costs_of(calls: Iterable[Call]) -> list[Cost]:
    """Return what each call cost; without what depends on the moment, such as who waits for what."""
    return [
        Cost(each.counts.commits, each.counts.statements, each.counts.rows_written, each.counts.history_rows_read)
        for each in calls
    ]


@define
class Counted:
    """A runtime whose provider is watched, and a second provider to look at the outcome with."""

    runtime: Runtime
    calls: Calls
    unwatched: SqlProvider
    clock: HeldClock
    is_postgres: bool
    begun: threading.Event
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

    def cost(self, name: str) -> Cost:
        """What *name* costs on this database."""
        return COSTS_ON_POSTGRES.get(name, COSTS[name]) if self.is_postgres else COSTS[name]

    def before(self, operation: str, arguments: tuple[Any, ...]) -> None:
        if operation == "commit_turns" and self.paused_at in {commit.instance_id for commit in arguments[0]}:
            self.paused.set()
            assert self.resume.wait(PATIENCE)

    def commits(self) -> list[Cost]:
        """What each round's commit cost."""
        return costs_of(self.calls.of("commit_turns"))

    def fetches(self) -> list[Cost]:
        """What each fetch cost that found something."""
        return costs_of(self.calls.of("fetch_orchestration_items", writing=True))

    def histories(self) -> list[Cost]:
        """What each reading of histories cost."""
        return costs_of(self.calls.of("read_histories"))

    def until_stored(self, kind: type[Event], count: int) -> None:
        """Wait until the history of the instance has *count* events of *kind*."""
        eventually(lambda: self.stored(kind) == count)

    def stored(self, kind: type[Event]) -> int:
        """How many events of *kind* are in the history of the instance."""
        (history,) = self.unwatched.read_histories([HistoryRequest("counted", None)])
        assert not isinstance(history, UnreadableHistory)
        return sum(isinstance(event, kind) for event in history)

    def until_idle(self, commits: int) -> None:
        """Wait until the dispatcher has committed so often, and has then asked when there will be more to do."""
        own = {"commit_turns", "fetch_orchestration_items", "next_due_ms"}

        def is_idle() -> bool:
            calls = [call.operation for call in self.calls.so_far() if call.operation in own]
            return calls.count("commit_turns") == commits and calls[-1] == "next_due_ms"

        eventually(is_idle)

    def until_offers_are_taken(self) -> None:
        """Wait until the dispatcher waits; nothing but an offer wakes it then."""
        until_idle(self.runtime, self.begun)

    def an_hour_later(self) -> None:
        """Let an hour pass, and tell the runtime, whose clock stands still otherwise."""
        self.clock.advance(HOUR_MS)
        self.unwatched.wakeups.publish(Changes(messages=True))


@contextmanager
def counting(url: str, *, takes_offers: bool = False) -> Iterator[Counted]:
    """Give a running runtime on the database at *url*, with all short cuts; it need not take what clients hand over."""
    gate.clear()
    clock = HeldClock()
    with SqlProvider(url, clock=clock) as provider, SqlProvider(url, clock=clock) as unwatched:
        found: list[Counted] = []
        begun = first_look(provider.wakeups)
        watched, calls = watch(provider, before=lambda name, arguments: found and found[0].before(name, arguments))
        runtime = Runtime(watched, registry, RuntimeOptions(poll_interval=3600))
        found.append(Counted(runtime, calls, unwatched, clock, url.startswith("postgres"), begun))
        with runtime:
            # The first looks for work that somebody may have left.
            for operation in ("fetch_activities", "fetch_orchestration_items"):
                eventually(partial(calls.of, operation))
            # Both sides then ask when there will be more.
            eventually(lambda: len(calls.of("next_due_ms")) >= 2)
            if not takes_offers:
                runtime._dispatcher.desk.rest(3600)
            calls.clear()
            yield found[0]


@pytest.fixture
def counted(store_url: str) -> Iterator[Counted]:
    """A runtime on an empty database."""
    with counting(store_url) as found:
        yield found


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
    """A sequential activity costs one transaction, and reads no history."""
    counted.run(chain, STEPS)

    steps = [counted.cost("activity ended, next one")] * (STEPS - 1)
    assert [counted.cost("first turn"), *steps, counted.cost("activity ended, the last")] == counted.commits()
    assert [counted.cost("fetch")] == counted.fetches()
    assert [] == counted.calls.of("ack_activities") + counted.calls.of("read_histories")


def test_idle_way(counted: Counted) -> None:
    """From start to result, one activity on an idle runtime costs these writing transactions and no other."""
    counted.run(chain, 1)

    writing = [call for call in counted.calls.all if call.counts.commits and call.counts.rows_written]
    assert [
        counted.cost("start"),
        counted.cost("fetch"),
        counted.cost("first turn"),
        counted.cost("activity ended, the last"),
    ] == costs_of(sorted(writing, key=lambda call: call.begun))


def test_fan_out(counted: Counted) -> None:
    """Activities that are scheduled together, or end together, cost rows but no statements of their own."""
    counted.runtime.client.start_orchestration("counted", fan_out, STEPS)
    eventually(lambda: len(counted.calls.of("commit_turns")) == 1)
    with one_round(counted, STEPS):
        gate.set()
    counted.finish()

    scheduled, _, ended = counted.commits()
    assert [counted.cost("first turn of a fan-out"), counted.cost("fan-out ended")] == [scheduled, ended]
    assert [] == counted.calls.of("ack_activities") + counted.calls.of("read_histories")


def test_timers(counted: Counted) -> None:
    """A timer of an execution in memory costs one transaction, and is not fetched."""
    counted.runtime.client.start_orchestration("counted", timers, STEPS)
    for number in range(STEPS):
        counted.until_idle(commits=number + 1)
        counted.an_hour_later()
    counted.finish()

    fired = [counted.cost("timer fired, next one")] * (STEPS - 1)
    assert [counted.cost("first turn"), *fired, counted.cost("timer fired, the last")] == counted.commits()
    assert [counted.cost("fetch")] == counted.fetches()
    assert [] == counted.histories()


def test_signals(counted: Counted) -> None:
    """A signal costs a transaction to send it, one to fetch it and one to go on."""
    client = counted.runtime.client
    client.start_orchestration("counted", signals, STEPS)
    for number in range(STEPS):
        counted.until_stored(ExternalSubscribed, number + 1)
        client.raise_event("counted", "go")
    counted.finish()

    _, *arrived = counted.commits()
    assert [
        *[counted.cost("event arrived, next one")] * (STEPS - 1),
        counted.cost("event arrived, the last"),
    ] == arrived
    assert [counted.cost("fetch")] * (1 + STEPS) == counted.fetches()
    assert [counted.cost("raise an event")] * STEPS == costs_of(counted.calls.of("enqueue"))
    assert [] == counted.histories()


@pytest.fixture
def idle(store_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    """A runtime that is handed messages; however slow this machine is, no client withdraws what it has offered."""
    monkeypatch.setattr(_sending, "PATIENCE", 3600.0)
    monkeypatch.setattr(NotificationEar, "BEHIND", 3600.0)
    with counting(store_url, takes_offers=True) as found:
        yield found


def test_handed_over_start(idle: Counted) -> None:
    """What a client of an idle runtime's process starts costs the transactions of its turns, and no other."""
    counted = idle
    counted.until_offers_are_taken()
    counted.run(chain, 1)

    writing = [call for call in counted.calls.all if call.counts.commits and call.counts.rows_written]
    assert [
        counted.cost("first turn, handed over"),
        counted.cost("activity ended, the last"),
    ] == costs_of(sorted(writing, key=lambda call: call.begun))


def test_handed_over_signals(idle: Counted) -> None:
    """A signal from the process of an idle runtime costs the transaction of its turn, and no other."""
    counted, client = idle, idle.runtime.client
    counted.until_offers_are_taken()
    client.start_orchestration("counted", signals, STEPS)
    for _ in range(STEPS):
        counted.until_offers_are_taken()
        client.raise_event("counted", "go")
    counted.finish()

    writing = [call for call in counted.calls.all if call.counts.commits and call.counts.rows_written]
    _, *arrived = costs_of(sorted(writing, key=lambda call: call.begun))
    assert [
        *[counted.cost("event handed over, next one")] * (STEPS - 1),
        counted.cost("event handed over, the last"),
    ] == arrived
    assert [] == counted.histories()


def test_taking_over(store_url: str) -> None:
    """Of an instance that another runtime began, the history is read once, whole, and never again."""
    with SqlProvider(store_url, clock=HeldClock()) as provider, Runtime(provider, registry) as runtime:
        runtime.client.start_orchestration("counted", signals, 2)
        eventually(
            lambda: len(runtime.client.read_execution_history("counted")) == COSTS["take over"].history_rows_read
        )
    with counting(store_url) as counted:
        for number in range(1, 3):
            counted.until_stored(ExternalSubscribed, number)
            counted.runtime.client.raise_event("counted", "go")
        counted.finish()

        assert [counted.cost("take over")] == counted.histories()


def test_local_work_notifies_nobody(counted: Counted) -> None:
    """A NOTIFY makes Postgres commit one transaction at a time: only the start and the end are, and the shutdown."""
    counted.run(chain, STEPS)

    announcing = [call.operation for call in counted.calls.all if call.counts.notifications]
    announcing = announcing[:-1] if announcing[-1:] == ["rouse"] else announcing
    assert set(announcing) <= {"start_instances", "commit_turns"}
    assert len(announcing) <= 2
