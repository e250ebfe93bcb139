"""Orchestration code that does not come back is reported, with the place where it is."""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from duroxide import Orchestration, OrchestrationContext, Registry
from duroxide._core.events import OrchestrationStarted
from duroxide._core.executor import Executor
from duroxide._core.functions import inspect_orchestration
from duroxide._runtime import long_turns
from duroxide._runtime.long_turns import LONG, LongTurns

from .stage import PATIENCE, Stage


STARTED = OrchestrationStarted(1, 0, "a", 1, "stuck", "1.0.0", "null")


class Heard(logging.Handler):
    """What was said of long turns."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []
        self.heard = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        if getattr(record, "action", None) == "long_turn":
            self.messages.append(record.getMessage())
            self.heard.set()


@pytest.fixture
def heard() -> Iterator[Heard]:
    """The handler, in place."""
    handler = Heard()
    logging.getLogger("duroxide").addHandler(handler)
    yield handler
    logging.getLogger("duroxide").removeHandler(handler)


class TestLook:
    @pytest.fixture(autouse=True)
    def time(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """What time it is, in seconds."""
        time = [0.0]
        monkeypatch.setattr(long_turns, "monotonic", lambda: time[0])
        return time

    @staticmethod
    def run(watch: LongTurns, work: Callable[[], object]) -> None:
        """Have an orchestration do *work* in its code."""

        def stuck(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from look_for_it(work)

        watch.run(STARTED, Executor(inspect_orchestration(stuck), STARTED).absorb, ())

    def test_said_seldom(self, heard: Heard, time: list[float]) -> None:
        """It is said when the code has run for long, and again each time that this has doubled, with the place."""
        watch = LongTurns()

        def work() -> None:
            for seconds in (0, LONG / 2, LONG, 1.5 * LONG, 2 * LONG, 3 * LONG):
                time[0] = seconds
                watch.look()

        self.run(watch, work)

        assert 2 == len(heard.messages)
        assert "'a' (orchestration 'stuck' 1.0.0) runs for 10 s" in heard.messages[0]
        assert "stuck (test_long_turns.py:" in heard.messages[0]
        assert " > look_for_it (test_long_turns.py:" in heard.messages[0]
        assert "for 20 s" in heard.messages[1]

    def test_each_by_itself(self, heard: Heard, time: list[float]) -> None:
        """Many short turns are not a long one, also of one instance; and nothing is said of no code at all."""
        watch = LongTurns()
        for number in range(10):
            time[0] = number * LONG / 2
            self.run(watch, watch.look)
        time[0] += 10 * LONG
        watch.look()

        assert [] == heard.messages


def look_for_it(work: Callable[[], object]) -> Orchestration[None]:
    """Do *work*, in code that the orchestration calls."""
    work()
    yield from ()


def test_blocked(stage: Stage, registry: Registry, heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime says which of its instances holds up all the others."""
    monkeypatch.setattr(long_turns, "LONG", 0.0)

    @registry.orchestration
    def blocked(ctx: OrchestrationContext) -> Orchestration[bool]:
        yield from ()
        return heard.heard.wait(PATIENCE)

    stage.start(cancellation_poll_interval=timedelta(milliseconds=10))
    assert stage.run("i-1", blocked)

    assert "'i-1'" in heard.messages[0]
    assert "blocked (test_long_turns.py:" in heard.messages[0]
