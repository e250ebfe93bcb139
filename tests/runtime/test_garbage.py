"""Garbage is collected between rounds, and what an application says about the collector counts."""

from __future__ import annotations

import gc
import threading

from collections.abc import Iterator

import pytest

from duroxide import Orchestration, OrchestrationContext, Registry
from duroxide._runtime.garbage import Collector

from .stage import PATIENCE, Stage


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Leave the collector as the test found it."""
    was_on = gc.isenabled()
    yield
    if was_on:
        gc.enable()
    else:
        gc.disable()


def collections() -> int:
    """How often garbage was collected, of whatever generation."""
    return sum(generation["collections"] for generation in gc.get_stats())


class TestCollector:
    def test_in_between(self) -> None:
        """Nothing is collected meanwhile, and everything afterwards, also after an error."""
        gc.enable()
        seen: list[bool] = []

        def fail() -> None:
            with Collector():
                seen.append(gc.isenabled())
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            fail()
        assert [*seen, gc.isenabled()] == [False, True]

    def test_rounds_without_a_pause(self) -> None:
        """What was put off is done at the end of each round, even if the next one begins at once."""
        gc.enable()
        kept: list[list[object]] = []
        looked: list[str] = []

        def note(phase: str, _: object) -> None:
            looked.append(phase)

        collector = Collector()
        gc.callbacks.append(note)
        try:
            for _ in range(2):
                with collector:
                    looked.append("round")
                    kept.extend([[kept] for _ in range(10 * gc.get_threshold()[0])])
                    looked.append("round is over")
                looked.append("pause")
        finally:
            gc.callbacks.remove(note)

        for _ in range(2):
            begun = looked.index("round")
            assert looked[begun + 1 : begun + 5] == ["round is over", "start", "stop", "pause"]
            del looked[: begun + 5]

    def test_several_rounds(self) -> None:
        """The last of several runtimes of one process switches it on again."""
        gc.enable()
        collector = Collector()
        begun, may_end = threading.Event(), threading.Event()

        def other_round() -> None:
            with collector:
                begun.set()
                may_end.wait(PATIENCE)

        other = threading.Thread(target=other_round)
        with collector:
            other.start()
            assert begun.wait(PATIENCE)
        assert not gc.isenabled()
        may_end.set()
        other.join(PATIENCE)
        assert gc.isenabled()

    def test_rounds_that_overlap(self) -> None:
        """What was put off is done at the end of each round, also if another one is always under way."""
        gc.enable()
        collector = Collector()
        kept: list[list[object]] = []

        def look() -> None:
            with collector:
                kept.extend([[kept] for _ in range(10 * gc.get_threshold()[0])])

        with collector:
            before = collections()
            look()
            assert before < collections()
            assert not gc.isenabled()
        assert gc.isenabled()

    def test_a_round_that_waits(self) -> None:
        """Who keeps the leases has it done meanwhile; while there is no round, it is no business of its."""
        gc.enable()
        collector = Collector()
        kept: list[list[object]] = []
        with collector:
            kept.extend([[kept] for _ in range(10 * gc.get_threshold()[0])])
            before = collections()
            collector.look()
            assert before < collections()
            assert not gc.isenabled()
        gc.disable()
        collector.look()
        assert not gc.isenabled()

    def test_switched_off_by_the_application(self) -> None:
        """An application that collects for itself is not meddled with."""
        gc.disable()
        with Collector():
            assert not gc.isenabled()
        assert not gc.isenabled()


def test_in_a_round(stage: Stage, registry: Registry) -> None:
    """Orchestration code runs while nothing is collected."""
    gc.enable()
    seen: list[bool] = []

    @registry.orchestration
    def look(ctx: OrchestrationContext) -> Orchestration[None]:
        seen.append(gc.isenabled())
        yield from ()

    stage.start()
    stage.run("look", look)

    assert seen == [False]
