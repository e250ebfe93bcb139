"""The event loop of async activities: nothing that runs in it ends it for the others."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading

from collections.abc import Iterator

import pytest

from duroxide._runtime.event_loop import LoopThread

from ..patience import PATIENCE


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    """A loop that is closed in the end."""
    loop = LoopThread()
    yield loop
    loop.close(PATIENCE)
    assert "duroxide-asyncio" not in {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("exception", [SystemExit, KeyboardInterrupt])
def test_helper_that_wants_to_end_the_process(
    loop: LoopThread, caplog: pytest.LogCaptureFixture, exception: type[BaseException]
) -> None:
    """A task that raises what stops a loop stops neither what runs beside it nor what comes after it; the log says so."""
    began, ended, later = (threading.Event() for _ in range(3))
    raised = asyncio.Event()

    async def bystander() -> None:
        began.set()
        await raised.wait()
        ended.set()

    async def culprit() -> None:
        raised.set()
        raise exception(3)

    async def parent() -> None:
        helper = asyncio.create_task(culprit())
        await asyncio.wait([helper])
        assert isinstance(helper.exception(), exception)

    async def follower() -> None:
        later.set()

    loop.run(bystander())
    assert began.wait(PATIENCE)
    loop.run(parent())
    assert ended.wait(PATIENCE)
    loop.run(follower())

    assert later.wait(PATIENCE)
    assert ["event_loop_stopped"] == [getattr(record, "action", None) for record in caplog.records]


def test_logging_handler_that_raises(loop: LoopThread) -> None:
    """The loop goes on even if what it wants to say cannot be said."""
    later = threading.Event()

    class Away(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise ConnectionError

    async def culprit() -> None:
        sys.exit(3)

    async def parent() -> None:
        helper = asyncio.create_task(culprit())
        await asyncio.wait([helper])
        assert isinstance(helper.exception(), SystemExit)
        later.set()

    handler = Away()
    logging.getLogger("duroxide.runtime").addHandler(handler)
    try:
        loop.run(parent())

        assert later.wait(PATIENCE)
    finally:
        logging.getLogger("duroxide.runtime").removeHandler(handler)


def test_closing_in_spite_of_a_task(loop: LoopThread) -> None:
    """What raises the same when it is cancelled at the end does not keep the loop from ending, or others from their end."""
    began, ended = threading.Event(), threading.Event()

    async def stubborn() -> None:
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            sys.exit(3)

    async def orderly() -> None:
        helper = asyncio.create_task(stubborn())
        try:
            began.set()
            await asyncio.sleep(PATIENCE)
        finally:
            await asyncio.wait([helper])
            assert isinstance(helper.exception(), SystemExit)
            ended.set()

    loop.run(orderly())
    assert began.wait(PATIENCE)
    loop.close(PATIENCE)

    assert ended.is_set()


def test_what_cannot_begin(loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who cannot be begun is told so, and is not left behind; the next one begins, if there is a thread again."""
    ran = threading.Event()

    async def work() -> None:
        ran.set()

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more)
        with pytest.raises(RuntimeError, match="no more"):
            loop.run(work())
    loop.run(work())

    assert ran.wait(PATIENCE)


def _no_more(thread: threading.Thread) -> None:
    msg = f"no more threads: {thread.name}"
    raise RuntimeError(msg)
