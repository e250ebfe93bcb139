"""Activities on an executor of the user's."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import pickle
import signal
import threading

from collections.abc import Callable, Iterator
from concurrent import futures
from concurrent.futures import BrokenExecutor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from pickle import PicklingError
from typing import Any

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext, OrchestrationFailed
from duroxide._core import events as e
from duroxide._runtime import activities, resting
from duroxide._runtime.event_loop import LoopThread
from duroxide._runtime.threads import WorkerThreads

from .stage import PATIENCE, Stage, eventually


# Processes get functions by name, so they are at the top level.


def square(ctx: ActivityContext, number: int) -> list[int]:
    """Return the square, and the process that made it."""
    return [number * number, os.getpid()]


async def square_async(ctx: ActivityContext, number: int) -> int:
    """Return the square."""
    return number * number


def refuse(ctx: ActivityContext) -> None:
    """Fail."""
    raise ValueError(ctx.activity_name)


def die_once(ctx: ActivityContext, marker: str) -> str:
    """Take the process along the first time."""
    if not Path(marker).exists():
        Path(marker).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


@pytest.fixture
def processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes that know this module."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as executor:
        # Both are forked now, while this process has no threads whose locks they would inherit.
        assert executor.submit(abs, -1).result() == 1
        yield executor


def squares(ctx: OrchestrationContext) -> Orchestration[list[list[int]]]:
    """Fan out to the executor."""
    return (yield from ctx.join(*(ctx.schedule_activity(square, number) for number in range(6))))


def mixed(ctx: OrchestrationContext) -> Orchestration[str]:
    """Take a result and a failure from the executor."""
    number = yield from ctx.schedule_activity(square_async, 3)
    try:
        yield from ctx.schedule_activity(refuse)
    except ValueError as error:
        return f"{number} {error}"
    return "not refused"


def survive(ctx: OrchestrationContext, marker: str) -> Orchestration[str]:
    """Run what kills its process."""
    return (yield from ctx.schedule_activity(die_once, marker))


def queue_up(ctx: OrchestrationContext) -> Orchestration[int]:
    """Schedule more than a thread begins, and lose interest when the event comes."""
    all_of_them = ctx.join(*(ctx.schedule_activity("hold", number) for number in range(4)))
    return (yield from ctx.select(all_of_them, ctx.schedule_wait("enough"))).index


def both(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    """Run an activity of each kind."""
    return (yield from ctx.join(ctx.schedule_activity(square, 2), ctx.schedule_activity(square_async, 3)))


def register(stage: Stage) -> None:
    """Register everything of this module."""
    for activity in (square, square_async, refuse, die_once):
        stage.registry.register_activity(activity)
    for orchestration in (squares, mixed, survive, both):
        stage.registry.register_orchestration(orchestration)


def test_threads(stage: Stage) -> None:
    """Activities run on the user's threads, and the executor stays usable afterwards."""
    register(stage)
    with ThreadPoolExecutor(2) as executor:
        runtime = stage.start(executor=executor)
        stage.client.start_orchestration("threads", squares)
        results = stage.client.wait_for_result("threads")
        stage.client.start_orchestration("mixed", mixed)
        answer = stage.client.wait_for_result("mixed")
        runtime.shutdown()

        assert executor.submit(abs, -1).result() == 1
    assert [square for square, _ in results] == [0, 1, 4, 9, 16, 25]
    assert answer == "9 refuse"


async def pause() -> None:
    """Let the event loop turn."""
    await asyncio.sleep(0.01)


class Held:
    """An activity that runs until it is let go, on an executor with a single thread."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.begun: list[int] = []
        self.let_go = threading.Event()
        stage.registry.register_activity(self.hold)
        stage.registry.register_orchestration(queue_up)

    def hold(self, ctx: ActivityContext, number: int) -> int:
        """Run until it is let go."""
        self.begun.append(number)
        assert self.let_go.wait(PATIENCE)
        return number


def test_given_up_in_its_queue(stage: Stage) -> None:
    """What still waits in the executor when nobody wants it any more never runs."""
    held = Held(stage)
    with ThreadPoolExecutor(1) as executor:
        runtime = stage.start(executor=executor)
        stage.client.start_orchestration("given-up", queue_up)
        eventually(lambda: held.begun and len(runtime._worker.running()) == 4)
        stage.client.raise_event("given-up", "enough")
        assert stage.result("given-up") == 1
        eventually(lambda: len(runtime._worker.running()) == 1)
        held.let_go.set()
        runtime.shutdown()

        assert executor.submit(abs, -1).result() == 1
    assert held.begun == [0]


def test_shut_down_with_a_queue(stage: Stage) -> None:
    """What waits in the executor at shutdown is another runtime's, uncounted, and is not run here as well."""
    held = Held(stage)
    with ThreadPoolExecutor(1) as executor:
        runtime = stage.start(executor=executor, max_attempts=1)
        stage.client.start_orchestration("handed-over", queue_up)
        eventually(lambda: held.begun and len(runtime._worker.running()) == 4)
        stopping = threading.Thread(target=runtime.shutdown, args=(PATIENCE,))
        stopping.start()
        eventually(lambda: len(runtime._worker.running()) == 1)
        held.let_go.set()
        stopping.join(PATIENCE)
        assert executor.submit(abs, -1).result() == 1
        assert held.begun == [0]

        stage.start(max_attempts=1)
        assert stage.result("handed-over") == 0
    assert sorted(held.begun) == [0, 1, 2, 3]


def test_async_on_threads(stage: Stage) -> None:
    """On the user's threads an `async def` activity has a client, and learns that it was cancelled."""
    began, noticed = threading.Event(), threading.Event()

    @stage.registry.activity(name="hold")
    async def hold(ctx: ActivityContext, number: int) -> None:
        assert ctx.client.get_orchestration_status(ctx.instance_id)
        began.set()
        while not ctx.is_cancelled:
            await pause()
        noticed.set()

    stage.registry.register_orchestration(queue_up)
    with ThreadPoolExecutor(4) as executor:
        runtime = stage.start(executor=executor)
        stage.client.start_orchestration("async", queue_up)
        assert began.wait(PATIENCE)
        stage.client.raise_event("async", "enough")

        assert stage.result("async") == 1
        assert noticed.wait(PATIENCE)
        runtime.shutdown()


class Recording(ThreadPoolExecutor):
    """Remembers what it was given."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it."""
        self.fn = fn
        return super().submit(fn, *args, **kwargs)


def test_interpreters(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pool of interpreters is a pool of threads, and shares no memory with them: it is given what can be pickled."""
    monkeypatch.setattr(futures, "InterpreterPoolExecutor", Recording, raising=False)
    register(stage)
    with Recording(1) as executor:
        runtime = stage.start(executor=executor)

        assert stage.run("interpreters", mixed) == "9 refuse"
        runtime.shutdown()
    assert pickle.loads(pickle.dumps(executor.fn)) is executor.fn  # noqa: S301  # what we have pickled


def test_processes(processes: ProcessPoolExecutor, stage: Stage) -> None:
    """Activities run in other processes; results and exceptions come back."""
    register(stage)
    stage.start(executor=processes)
    stage.client.start_orchestration("processes", squares)
    results = stage.client.wait_for_result("processes")
    stage.client.start_orchestration("mixed", mixed)

    assert [square for square, _ in results] == [0, 1, 4, 9, 16, 25]
    assert os.getpid() not in {process for _, process in results}
    assert stage.client.wait_for_result("mixed") == "9 refuse"


def test_broken(processes: ProcessPoolExecutor, stage: Stage, tmp_path: Path) -> None:
    """An executor that breaks fails no activity: another runtime takes it over when it may, and not when it polls."""
    register(stage)
    marker = tmp_path / "marker"
    runtime = stage.start(executor=processes, poll_interval=3600)
    stage.client.start_orchestration("broken", survive, str(marker))
    eventually(marker.exists)  # from now on it survives, also in this process
    stage.start(poll_interval=3600)

    assert stage.client.wait_for_result("broken") == "survived"
    runtime.shutdown()


class Refusing(ThreadPoolExecutor):
    """Refuses to take the first activities that it is given."""

    def __init__(self, times: int, error: BaseException) -> None:
        super().__init__(2)
        self.times = times
        self.error = error
        self.refusals = 0

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Refuse, or take it."""
        if self.refusals < self.times:
            self.refusals += 1
            raise self.error
        return super().submit(fn, *args, **kwargs)


@pytest.fixture
def short_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that could not begin something tries again at once."""
    monkeypatch.setattr(resting, "FIRST", 0.01)
    monkeypatch.setattr(resting, "LONGEST", 0.01)


@pytest.mark.parametrize(
    "error", [OSError("the scheduler is away"), RuntimeError("shut down"), SystemExit(3)], ids=repr
)
@pytest.mark.usefixtures("short_rests")
def test_refused(stage: Stage, error: BaseException) -> None:
    """What an executor did not take, whatever it raised, is not lost and not counted, and is tried again without a poll."""
    register(stage)
    with Refusing(5, error) as executor:
        runtime = stage.start(executor=executor, poll_interval=3600, max_attempts=1)
        results = stage.run("refused", squares)
        runtime.shutdown()

    assert [square for square, _ in results] == [0, 1, 4, 9, 16, 25]
    assert executor.refusals == 5


@pytest.mark.usefixtures("short_rests")
def test_broken_for_good(stage: Stage) -> None:
    """Behind an executor that takes nothing, innocent activities wait for another worker, however often it is tried."""
    register(stage)
    with Refusing(1_000_000, BrokenExecutor("a process died")) as executor:
        broken = stage.start(executor=executor, max_attempts=2)
        stage.client.start_orchestration("innocent", squares)
        eventually(lambda: executor.refusals > 12)  # six activities, and two deliveries each
        stage.start(max_attempts=2)

        assert [square for square, _ in stage.result("innocent")] == [0, 1, 4, 9, 16, 25]
        broken.shutdown()


@pytest.mark.usefixtures("short_rests")
def test_made_again(stage: Stage) -> None:
    """What a function makes is replaced when it is broken, also while it is made, and shut down with the runtime."""
    register(stage)
    broken, whole = Refusing(1_000_000, BrokenExecutor("a process died")), ThreadPoolExecutor(2)
    makes = [None, broken, whole]
    runtime = stage.start(executor=lambda: makes.pop(0), poll_interval=3600, max_attempts=1)
    assert len(makes) == 3  # nothing to run yet

    results = stage.run("a", squares)
    runtime.shutdown()

    assert [square for square, _ in results] == [0, 1, 4, 9, 16, 25]
    assert broken.refusals == 1
    for executor in (super(Refusing, broken), whole):
        with pytest.raises(RuntimeError, match="after shutdown"):
            executor.submit(int)


def test_rest(stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A worker whose executor took nothing takes nothing itself for a while, says so once, and is in nobody's way."""
    monkeypatch.setattr(resting, "FIRST", 3600.0)
    monkeypatch.setattr(resting, "LONGEST", 3600.0)
    register(stage)
    with Refusing(1_000_000, BrokenExecutor("a process died")) as executor:
        broken = stage.start(executor=executor, poll_interval=0.01)
        stage.client.start_orchestration("first", squares)
        eventually(lambda: executor.refusals)
        stage.client.start_orchestration("second", squares)
        stage.until_kind("second", e.ActivityScheduled, 6)
        stage.start(poll_interval=0.01)

        for instance_id in ("first", "second"):
            assert [square for square, _ in stage.result(instance_id)] == [0, 1, 4, 9, 16, 25]
        broken.shutdown()
    assert executor.refusals == 1
    (message,) = [each.getMessage() for each in caplog.records if getattr(each, "action", "") == "executor_failed"]
    assert "BrokenExecutor('a process died')" in message
    assert "takes no activities for 3600 s" in message
    assert "start a runtime with a new one" in message


class Breaking(ThreadPoolExecutor):
    """Takes what it is given, and breaks, or is told to forget it."""

    def __init__(self, times: int, error: BaseException | None) -> None:
        super().__init__(2)
        self.left = times
        self.error = error

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Break, or run it."""
        if not self.left:
            return super().submit(fn, *args, **kwargs)
        self.left -= 1
        future: Future[Any] = Future()
        if self.error is None:
            assert future.cancel()
        else:
            future.set_exception(self.error)
        return future


def test_what_breaks_it_is_poison(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An activity that an executor took before it broke was tried, and is failed when that has happened too often."""
    monkeypatch.setattr(activities, "_EXECUTOR_DELAY_MS", 0)
    register(stage)
    with Breaking(1_000_000, BrokenExecutor("a process died")) as executor:
        runtime = stage.start(executor=executor, max_attempts=2)
        with pytest.raises(OrchestrationFailed, match="poison"):
            stage.run("poison", mixed)
        runtime.shutdown()


def test_what_it_forgets_is_not_poison(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An activity whose future was cancelled was not tried."""
    monkeypatch.setattr(activities, "_EXECUTOR_DELAY_MS", 0)
    register(stage)
    with Breaking(5, None) as executor:
        runtime = stage.start(executor=executor, max_attempts=1)

        assert stage.run("forgotten", mixed) == "9 refuse"
        runtime.shutdown()


def test_what_cannot_be_pickled(stage: Stage) -> None:
    """An executor that pickles at once says of the activity that it cannot be run, not of itself: it fails."""
    register(stage)
    with Refusing(1, PicklingError("a lambda")) as executor:
        runtime = stage.start(executor=executor)
        with pytest.raises(OrchestrationFailed, match="a lambda"):
            stage.run("lambda", mixed)
        runtime.shutdown()


@pytest.mark.parametrize(("kind", "method"), [(WorkerThreads, "post"), (LoopThread, "run")], ids=["threads", "loop"])
@pytest.mark.usefixtures("short_rests")
def test_no_threads(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, kind: type[Any], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Without an executor: what cannot begin, since the system gives no more threads, is given back, and tried again."""
    register(stage)
    real = getattr(kind, method)
    refusals = iter(range(3))

    def run(pool: Any, work: Any, **options: Any) -> None:
        if next(refusals, None) is not None:
            if kind is LoopThread:
                work.close()
            msg = "can't start new thread"
            raise RuntimeError(msg)
        real(pool, work, **options)

    monkeypatch.setattr(kind, method, run)
    stage.start(poll_interval=3600, max_attempts=1)
    (two_squared, _), three_squared = stage.run("both", both)

    assert (two_squared, three_squared) == (4, 9)
    assert next(refusals, None) is None
    assert "begin_failed" in {getattr(record, "action", None) for record in caplog.records}
