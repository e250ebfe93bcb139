"""Shutting down: what runs is finished and recorded, what does not finish is free for others at once."""

from __future__ import annotations

import asyncio
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    Client,
    InvalidInput,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
    TagFilter,
)
from duroxide._clock import monotonic
from duroxide._core import events as e
from duroxide._runtime import stopping
from duroxide.providers.sql import SqlProvider, database, watcher
from duroxide.providers.sql.watcher import Watcher
from duroxide.providers.wakeups import Wakeups
from duroxide.testing.faults import FaultPlan, FaultyProvider, LoseConnection, ProviderCall, Rule

from ..patience import in_time
from .stage import PATIENCE, Stage, eventually


@pytest.fixture
def gates(registry: Registry) -> tuple[threading.Event, threading.Event]:
    """Set when the activity of `gated` begins; to be set for it to end."""
    began, release = threading.Event(), threading.Event()

    @registry.activity
    def pass_gate(ctx: ActivityContext) -> str:
        began.set()
        release.wait(PATIENCE)
        return ctx.worker_id

    @registry.activity
    def follow(ctx: ActivityContext, who: str) -> list[str]:
        return [who, ctx.worker_id]

    @registry.orchestration
    def gated(ctx: OrchestrationContext) -> Orchestration[list[str]]:
        who = yield from ctx.schedule_activity(pass_gate)
        return (yield from ctx.schedule_activity(follow, who))

    return began, release


def shut_down_while(runtime: Any, release: threading.Event, timeout: float = PATIENCE) -> None:
    """Shut *runtime* down, with what it runs being released only after that has begun."""
    stopping = threading.Thread(target=runtime.shutdown, args=(timeout,))
    stopping.start()
    eventually(lambda: runtime._worker._slots.is_closed)
    release.set()
    stopping.join(PATIENCE)
    assert not stopping.is_alive()


class TestGraceful:
    def test_idle(self, stage: Stage, registry: Registry) -> None:
        """A runtime that has nothing to do stops at once; stopping twice is no mistake, starting again is one."""
        runtime = stage.start(shutdown_timeout=PATIENCE)
        before = monotonic()
        runtime.shutdown()
        runtime.shutdown()

        assert monotonic() - before < PATIENCE / 3
        with pytest.raises(RuntimeError, match="started once"):
            runtime.start()

    def test_durations(self, stage: Stage, registry: Registry) -> None:
        """Its time-out is a duration like others, and so is that of `wait_cancelled`; what is none stops nothing."""

        @registry.activity
        def patient(ctx: ActivityContext) -> bool:
            return ctx.wait_cancelled(timedelta(milliseconds=1))

        @registry.orchestration
        def one(ctx: OrchestrationContext) -> Orchestration[bool]:
            return (yield from ctx.schedule_activity(patient))

        runtime = stage.start()
        with pytest.raises(InvalidInput, match=r"timeout of shutdown\(\) is 'soon'"):
            runtime.shutdown("soon")  # type: ignore[arg-type]
        assert stage.run("a", "one") is False

        runtime.shutdown(timedelta(seconds=PATIENCE))

    def test_idle_with_a_history(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """A runtime that has worked, and waits for events and timers, stops at once."""
        _, release = gates
        release.set()

        @stage.registry.orchestration
        def patient(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_custom_status("waiting")
            yield from ctx.select(ctx.schedule_wait("never"), ctx.schedule_timer(3600))

        runtime = stage.start(shutdown_timeout=PATIENCE)
        stage.run("before", "gated")
        stage.client.start_orchestration("patient", patient)
        stage.until_status("patient")
        before = monotonic()
        runtime.shutdown()

        assert monotonic() - before < PATIENCE / 3

    def test_in_flight(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """What runs when the shutdown begins ends, and its result is recorded; what follows is for others."""
        began, release = gates
        first = stage.start(worker_node_id="first")
        stage.client.start_orchestration("flight", "gated")
        assert began.wait(PATIENCE)
        shut_down_while(first, release)
        if stage.has_short_cuts:
            assert "ActivityCompleted" in stage.kinds("flight")
        stage.start(worker_node_id="second")

        assert stage.result("flight") == ["first", "second"]

    def test_the_result_is_stored_whatever_it_takes(
        self, stage: Stage, gates: tuple[threading.Event, threading.Event]
    ) -> None:
        """A database in trouble during the shutdown costs no result."""
        began, release = gates
        faulty = FaultyProvider(stage.open())
        first = stage.start(on=faulty, worker_node_id="first")
        stage.client.start_orchestration("trouble", "gated")
        assert began.wait(PATIENCE)
        faulty.follow(
            FaultPlan(
                (
                    Rule(LoseConnection(), on=("commit_turns", "ack_activities"), nth=(1, 2)),
                    Rule(LoseConnection(after_commit=True), on="ack_activities", nth=3),
                )
            )
        )
        shut_down_while(first, release)
        stage.start(worker_node_id="second")

        assert stage.result("trouble") == ["first", "second"]

    def test_busy(self, stage: Stage, registry: Registry) -> None:
        """Runtimes that come and go in the middle of much work lose nothing and need no lock to expire."""

        @registry.activity
        def add(ctx: ActivityContext, number: int) -> int:
            return number + 1

        @registry.orchestration
        def count(ctx: OrchestrationContext) -> Orchestration[int]:
            number = 0
            for _ in range(10):
                number = max((yield from ctx.join(*(ctx.schedule_activity(add, number) for _ in range(3)))))
            return number

        for number in range(20):
            stage.client.start_orchestration(f"count-{number}", count)
        for goal in (3, 30, 90):
            runtime = stage.start()
            heard: list[str | None] = []
            with stage.provider.wakeups.on_instance("count-0", heard.append):
                stage.until_kind("count-0", e.ActivityCompleted, goal // 5)
            runtime.shutdown()
        stage.start()

        for number in range(20):
            assert stage.result(f"count-{number}") == 10
            assert stage.kinds(f"count-{number}").count("ActivityCompleted") == 30

    @pytest.mark.parametrize("timeout", [timedelta(seconds=PATIENCE), float("inf"), 1e12])
    def test_timeouts(self, stage: Stage, gates: tuple[threading.Event, threading.Event], timeout: Any) -> None:
        """A time-out is any duration, however long."""
        entered, release = gates
        runtime = stage.start()
        stage.client.start_orchestration("x", "gated")
        entered.wait(PATIENCE)
        release.set()
        runtime.shutdown(timeout)

        assert "stopped" in repr(runtime)


class TestImpatient:
    def test_given_back(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """What does not end in time is free at once for another runtime; the late result is dropped."""
        began, release = gates
        first = stage.start(worker_node_id="first")
        stage.client.start_orchestration("late", "gated")
        assert began.wait(PATIENCE)
        began.clear()
        before = monotonic()
        first.shutdown(0.05)
        assert monotonic() - before < PATIENCE / 3
        stage.start(worker_node_id="second")
        assert began.wait(PATIENCE)  # half the time of its lock
        release.set()

        assert stage.result("late") == ["second", "second"]
        assert stage.kinds("late").count("ActivityCompleted") == 2

    def test_given_back_is_not_tried(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """However often runtimes are shut down while it runs, an activity is not poison for it: nothing was wrong with it."""
        began, release = gates
        stage.client.start_orchestration("long", "gated")
        for _ in range(2):
            runtime = stage.start(max_attempts=1)
            assert began.wait(PATIENCE)
            began.clear()
            runtime.shutdown(0)
        release.set()
        stage.start(worker_node_id="last", max_attempts=1)

        assert stage.result("long") == ["last", "last"]

    def test_not_begun(self, stage: Stage, registry: Registry) -> None:
        """What was fetched but has not begun is given back, and that delivery does not count."""
        began, release = threading.Event(), threading.Event()

        @registry.activity
        def work(ctx: ActivityContext, number: int) -> int:
            if number == 0:
                began.set()
                release.wait(PATIENCE)
            return number

        @registry.orchestration
        def fan_out(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            return (yield from ctx.join(*(ctx.schedule_activity(work, number) for number in range(40))))

        first = stage.start(worker_concurrency=1)
        stage.client.start_orchestration("fan", fan_out)
        assert began.wait(PATIENCE)
        shut_down_while(first, release)
        waiting = stage.provider.fetch_activities(100, 50, tags=TagFilter(), session=None)
        assert {item.attempt_count for item in waiting} <= {1}
        stage.start(poll_interval=0.05)

        assert stage.result("fan") == list(range(40))

    def test_async_given_back(self, stage: Stage, registry: Registry) -> None:
        """An `async def` activity that does not end in time is given back, too."""
        began = threading.Event()

        @registry.activity
        async def dawdle(ctx: ActivityContext) -> str:
            began.set()
            if ctx.worker_id == "first":
                await asyncio.sleep(PATIENCE)
            return ctx.worker_id

        @registry.orchestration
        def wait(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(dawdle))

        first = stage.start(worker_node_id="first")
        stage.client.start_orchestration("async", wait)
        assert began.wait(PATIENCE)
        first.shutdown(0.05)
        stage.start(worker_node_id="second")

        assert stage.result("async") == "second"


class Hang:
    """The store does not answer until the test lets it."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.release = threading.Event()

    def around(self, call: ProviderCall) -> Any:
        """Wait, and do it."""
        self.began.set()
        self.release.wait(PATIENCE)
        return call.make()


@pytest.fixture
def hang() -> Iterator[Hang]:
    """What happens to some calls; in the end they are answered."""
    hang = Hang()
    yield hang
    hang.release.set()


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody gives what hangs a moment more."""
    monkeypatch.setattr(stopping, "GRACE", 0.05)


@pytest.mark.usefixtures("no_grace")
class TestTimeout:
    @pytest.mark.parametrize(
        "operation",
        ["fetch_activities", "fetch_orchestration_items", "renew_activity_locks", "commit_turns", "release_activities"],
    )
    def test_store_hangs(
        self,
        stage: Stage,
        gates: tuple[threading.Event, threading.Event],
        hang: Hang,
        caplog: pytest.LogCaptureFixture,
        operation: str,
    ) -> None:
        """Whatever call the store does not answer: the shutdown keeps to its time-out, says so, and goes on behind."""
        began, release = gates
        faulty = FaultyProvider(stage.open())
        runtime = stage.start(on=faulty, poll_interval=0.05, worker_lock_timeout=1)
        stage.client.start_orchestration("held", "gated")
        assert began.wait(PATIENCE)
        faulty.follow(FaultPlan((Rule(hang, on=operation),)))
        stage.client.start_orchestration("more", "gated")
        if operation != "release_activities":
            assert hang.began.wait(PATIENCE)
        in_time(lambda: runtime.shutdown(0.05))

        assert "stopping" in repr(runtime)
        assert "left_behind" in {getattr(record, "action", None) for record in caplog.records}
        release.set()
        hang.release.set()
        runtime.shutdown(PATIENCE)
        assert "stopped" in repr(runtime)

    def test_signal_handler(self, sqlite_url: str, registry_of_one: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whose thread was interrupted while it had the turn to write, as a signal handler's may be, comes back."""
        monkeypatch.setattr(database, "WRITER_ENDS_WITHIN", 0.05)
        runtime = Runtime(sqlite_url, registry_of_one)
        runtime.start()
        provider = runtime.provider
        assert isinstance(provider, SqlProvider)
        lock = provider._database.shared.write_lock

        def handler() -> None:
            with lock:
                runtime.shutdown(0.05)

        in_time(handler)
        runtime.shutdown(PATIENCE)
        assert "stopped" in repr(runtime)
        provider.close()  # the connection that was in use

    def test_second(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """Who calls while another one shuts down waits for that, within a time-out of its own."""
        began, release = gates
        runtime = stage.start()
        stage.client.start_orchestration("held", "gated")
        assert began.wait(PATIENCE)
        first = threading.Thread(target=runtime.shutdown, args=(PATIENCE,))
        first.start()
        eventually(lambda: "stopping" in repr(runtime))
        runtime.shutdown(0.05)
        assert "stopping" in repr(runtime)
        assert first.is_alive()
        release.set()
        runtime.shutdown(PATIENCE)

        assert "stopped" in repr(runtime)
        first.join(PATIENCE)
        assert not first.is_alive()


@pytest.fixture
def registry_of_one() -> Registry:
    """A registry with one orchestration."""
    registry = Registry()
    registry.register_orchestration(lambda ctx: "done", name="done")
    return registry


class TestFromInside:
    @pytest.mark.parametrize("name", ["plain", "coroutine", "orchestration"])
    def test_refused(self, stage: Stage, registry: Registry, name: str) -> None:
        """An activity or an orchestration that shuts its own runtime down is told that it cannot, and nothing happens."""

        @registry.activity
        def plain(ctx: ActivityContext) -> None:
            runtime.shutdown()

        @registry.activity
        async def coroutine(ctx: ActivityContext) -> None:
            runtime.shutdown()

        @registry.orchestration
        def suicidal(ctx: OrchestrationContext, how: str) -> Orchestration[str]:
            try:
                if how == "orchestration":
                    runtime.shutdown()
                else:
                    yield from ctx.schedule_activity(how)
            except RuntimeError as error:
                return str(error)
            return "it worked"

        runtime = stage.start(shutdown_timeout=0.05)

        assert "by its own activities and orchestrations" in stage.run("suicidal", suicidal, name)
        assert "running" in repr(runtime)
        assert "by its own activities and orchestrations" in stage.run("again", suicidal, name)

    def test_refused_on_an_executor(self, stage: Stage, registry: Registry) -> None:
        """It is told the same on threads of an executor of the user's, which may as well shut it down afterwards."""

        @registry.activity
        def plain(ctx: ActivityContext) -> str:
            with pytest.raises(RuntimeError, match="by its own activities"):
                runtime.shutdown()
            return "refused"

        @registry.orchestration
        def suicidal(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(plain))

        with ThreadPoolExecutor(1) as executor:
            runtime = stage.start(executor=executor)
            assert stage.run("suicidal", suicidal) == "refused"
            executor.submit(runtime.shutdown).result(PATIENCE)
        assert "stopped" in repr(runtime)

    def test_another_one(self, stage: Stage, registry: Registry) -> None:
        """An activity may shut another runtime down."""
        other = stage.start(registry=Registry(), worker_concurrency=0, orchestration_concurrency=0)

        @registry.activity
        def plain(ctx: ActivityContext) -> str:
            other.shutdown()
            return repr(other)

        @registry.orchestration
        def murderous(ctx: OrchestrationContext) -> Orchestration[str]:
            return (yield from ctx.schedule_activity(plain))

        stage.start()

        assert "stopped" in stage.run("murderous", murderous)


def test_watcher_that_hangs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A watcher whose server does not answer is left behind."""
    monkeypatch.setattr(watcher, "ENDS_WITHIN", 0.05)
    listening, answer, interrupted, closed = (threading.Event() for _ in range(4))

    class Ear:
        def listen(self, stop: threading.Event) -> None:
            listening.set()
            answer.wait(PATIENCE)

        def interrupt(self) -> None:
            interrupted.set()

        def close(self) -> None:
            closed.set()

    watching = Watcher("watching", Wakeups(), Ear)
    watching.start()
    assert listening.wait(PATIENCE)
    in_time(watching.stop)

    assert interrupted.is_set()
    assert "thread watching is left behind" in caplog.text
    answer.set()
    assert closed.wait(PATIENCE)


class TestLife:
    def test_threads_end(self, stage: Stage, gates: tuple[threading.Event, threading.Event]) -> None:
        """After the shutdown, no thread of the runtime is left."""
        _, release = gates
        release.set()
        before = set(threading.enumerate())
        runtime = stage.start()
        stage.run("once", "gated")
        runtime.shutdown()

        left = {thread.name for thread in set(threading.enumerate()) - before}
        assert {name for name in left if not name.startswith("duroxide-watcher")} == set()


def test_own_provider(store_url: str) -> None:
    """A runtime and a client that were given a URL open providers of their own, and close them."""
    registry = Registry()
    registry.register_orchestration(lambda ctx: "done", name="done")
    before = set(threading.enumerate())
    with Runtime(store_url, registry) as runtime, Client(store_url) as client:
        client.start_orchestration("own", "done")

        assert client.wait_for_result("own", PATIENCE) == "done"
        assert runtime.client.get_orchestration_status("own") == client.get_orchestration_status("own")
    assert set(threading.enumerate()) - before == set()
