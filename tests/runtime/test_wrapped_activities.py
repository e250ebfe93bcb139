"""Activities behind decorators: what the function that is called returns is what counts, not what is wrapped."""

from __future__ import annotations

import asyncio
import functools
import os
import sys

from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext

from .stage import Stage


async def asynchronous(ctx: ActivityContext, number: int) -> int:
    """Return the square, from an event loop."""
    await asyncio.sleep(0)
    return number * number


def plain(ctx: ActivityContext, number: int) -> int:
    """Return the square."""
    return number * number


def generated(ctx: ActivityContext, number: int) -> Any:
    """Generate the square."""
    yield number * number


def passes_on(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return what *fn* returns, for example a coroutine: most decorators."""
    return functools.wraps(fn)(lambda *arguments: fn(*arguments))  # noqa: PLW0108  # a wrapper


def runs(fn: Callable[..., Coroutine[Any, Any, Any]]) -> Callable[..., Any]:
    """Run the coroutine."""
    return functools.wraps(fn)(lambda *arguments: asyncio.run(fn(*arguments)))


def makes_async(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Call *fn* in a thread."""

    @functools.wraps(fn)
    async def wrapper(*arguments: Any) -> Any:
        return await asyncio.to_thread(fn, *arguments)

    return wrapper


def collects(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Return the last one that is generated."""
    return functools.wraps(fn)(lambda *arguments: list(fn(*arguments))[-1])


def call_all(ctx: OrchestrationContext) -> Orchestration[list[int]]:
    """Run all that are wrapped."""
    return (yield from ctx.join(*(ctx.schedule_activity(name, 7) for name in WRAPPERS)))


WRAPPERS = {
    "knows nothing": passes_on(asynchronous),
    "runs": runs(asynchronous),
    "makes async": makes_async(plain),
    "collects": collects(generated),
    "plain": passes_on(plain),
}


@pytest.mark.parametrize("has_executor", [False, True], ids=["own threads", "executor"])
def test_wrappers(stage: Stage, has_executor: bool) -> None:
    """A decorator that knows nothing of coroutines, one that runs them, one that makes some, one for generators."""
    for name, wrapped in WRAPPERS.items():
        stage.registry.register_activity(wrapped, name=name)
    stage.registry.register_orchestration(call_all)
    with ThreadPoolExecutor(1) as executor:
        runtime = stage.start(executor=executor if has_executor else None)

        assert stage.run("wrapped", call_all) == [49] * len(WRAPPERS)
        runtime.shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform does not fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_forks(stage: Stage) -> None:
    """The copy of an activity that forks ends where the activity does: it is no second worker, and does not stay."""
    children: dict[str, int] = {}

    @stage.registry.activity
    def forks(ctx: ActivityContext, end: str) -> str:
        child = os.fork()
        if child == 0 and end == "exits":
            sys.exit(3)
        if child == 0 and end == "raises":
            raise ValueError
        children[end] = child
        return end

    @stage.registry.orchestration
    def call_each(ctx: OrchestrationContext) -> Orchestration[list[str]]:
        return (yield from ctx.join(*(ctx.schedule_activity(forks, end) for end in ("returns", "exits", "raises"))))

    stage.start()

    # The activities end first, and their outcomes are stored by the parent alone.
    assert stage.run("forks", call_each) == ["returns", "exits", "raises"]
    codes = {end: os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for end, child in children.items()}
    assert codes == {"returns": 0, "exits": 3, "raises": 1}
