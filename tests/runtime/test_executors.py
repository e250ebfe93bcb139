"""Activities on an executor of the user's."""

from __future__ import annotations

import multiprocessing
import os
import signal

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext

from .stage import Stage, eventually


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


def register(stage: Stage) -> None:
    """Register everything of this module."""
    for activity in (square, square_async, refuse, die_once):
        stage.registry.register_activity(activity)
    for orchestration in (squares, mixed, survive):
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
