"""What clients see of an instance, and how they wait for it."""

from __future__ import annotations

import threading

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from duroxide import (
    ActivityContext,
    Client,
    Completed,
    Failed,
    InvalidInput,
    NotFound,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    PayloadError,
    Registry,
    Running,
    WaitTimeout,
)

from .stage import PATIENCE, Stage, eventually


@pytest.fixture
def gate(registry: Registry) -> threading.Event:
    """The event that lets the orchestration `gated` come to its end: it returns its input, or raises it."""
    gate = threading.Event()

    @registry.activity
    def pass_gate(ctx: ActivityContext) -> None:
        assert gate.wait(PATIENCE)

    @registry.orchestration
    def gated(ctx: OrchestrationContext, word: str) -> Orchestration[str]:
        ctx.set_custom_status("at the gate")
        yield from ctx.schedule_activity(pass_gate)
        if word == "fail":
            raise RuntimeError("failed as asked")
        return word

    return gate


class TestStatus:
    def test_life(self, stage: Stage, gate: threading.Event) -> None:
        """NotFound, then Running, then Completed with the output."""
        client = stage.client
        assert client.get_orchestration_status("life") == NotFound()
        client.start_orchestration("life", "gated", "done")
        assert client.get_orchestration_status("life") == NotFound()  # nobody has taken it up
        stage.start()
        stage.until_status("life")
        assert client.get_orchestration_status("life") == Running("at the gate", 1)
        gate.set()

        assert client.wait_for_orchestration("life", PATIENCE) == Completed("done", "at the gate", 1)
        assert client.get_orchestration_status("life") == Completed("done", "at the gate", 1)

    def test_failed(self, stage: Stage, gate: threading.Event) -> None:
        """A failed instance's status carries the details; waiting for its result raises them."""
        gate.set()
        stage.start()
        stage.client.start_orchestration("fails", "gated", "fail")
        status = stage.client.wait_for_orchestration("fails", PATIENCE)

        assert isinstance(status, Failed)
        assert (status.details.type, status.details.display) == ("RuntimeError", "failed as asked")
        with pytest.raises(OrchestrationFailed, match="failed as asked"):
            stage.client.wait_for_result("fails", 0)

    def test_typed_result(self, stage: Stage, gate: threading.Event) -> None:
        """The result comes as the type asked for, or the error says what it was."""
        gate.set()
        stage.start()
        stage.client.start_orchestration("typed", "gated", "12")

        assert stage.client.wait_for_result("typed", PATIENCE, type=str) == "12"
        with pytest.raises(PayloadError, match="typed"):
            stage.client.wait_for_result("typed", PATIENCE, type=list[int])


class TestCustomStatusAtTheEnd:
    """What a wait returns that began before the end is what the store says afterwards, wherever the status came from."""

    @pytest.fixture(params=[100, 0], ids=["cached", "rebuilt"])
    def cache_size(self, request: pytest.FixtureRequest) -> int:
        """How many instances stay in memory: without any, what the last turn knows comes from history."""
        size: int = request.param
        return size

    @pytest.mark.parametrize(
        ("shows", "expected"),
        [
            ((), None),
            (("first",), "first"),
            (("first", None), None),
            ((None, "last"), "last"),
        ],
        ids=["never", "shown", "cleared", "last turn"],
    )
    def test_one_execution(
        self,
        stage: Stage,
        registry: Registry,
        gate: threading.Event,
        cache_size: int,
        shows: tuple[str | None, ...],
        expected: str | None,
    ) -> None:
        """In the first turns, and in the last."""

        @registry.orchestration
        def shows_it(ctx: OrchestrationContext, _: None) -> Orchestration[str]:
            for number, status in enumerate(shows):
                if number:
                    yield from ctx.dequeue_event("next")
                ctx.reset_custom_status() if status is None else ctx.set_custom_status(status)
            yield from ctx.dequeue_event("end")
            return "done"

        stage.start(cache_size=cache_size)
        client = stage.client
        client.start_orchestration("shows", shows_it)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.wait_for_orchestration, "shows", PATIENCE)
            for _ in shows[1:]:
                client.enqueue_event("shows", "next")
            client.enqueue_event("shows", "end")

            status = waiting.result()
        assert status == client.get_orchestration_status("shows")
        assert (status.custom_status, status.custom_status_version > 0) == (expected, shows != ())

    def test_earlier_code(self, stage: Stage, registry: Registry) -> None:
        """A status counts that was shown by code which was replaced, while the instance ran, by some that shows none."""

        def shows_none(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.dequeue_event("end")
            return "done"

        def shows_it(ctx: OrchestrationContext) -> Orchestration[str]:
            before = ctx.dequeue_event("end")
            ctx.set_custom_status("shown")
            yield from before
            return "done"

        earlier, client = Registry(), stage.client
        earlier.register_orchestration(shows_it, name="changed")
        registry.register_orchestration(shows_none, name="changed")
        client.start_orchestration("changed", "changed")
        first = stage.start(earlier)
        assert stage.until_status("changed") == "shown"
        first.shutdown()
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.wait_for_orchestration, "changed", PATIENCE)
            eventually(lambda: stage.provider.wakeups.waiting_for("changed"))
            stage.start()
            client.enqueue_event("changed", "end")

            assert waiting.result() == Completed("done", "shown", 1)

    def test_earlier_execution(self, stage: Stage, registry: Registry, cache_size: int) -> None:
        """A status that an earlier execution has shown, or cleared, counts."""

        @registry.orchestration
        def goes_on(ctx: OrchestrationContext, number: int) -> Orchestration[str]:
            yield from ctx.dequeue_event("next")
            if number == 1:
                ctx.set_custom_status("once")
            if number == 2:
                ctx.reset_custom_status()
            if number < 3:
                return ctx.continue_as_new(number + 1)
            return "done"

        stage.start(cache_size=cache_size)
        client = stage.client
        client.start_orchestration("goes on", goes_on, 1)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client.wait_for_orchestration, "goes on", PATIENCE)
            for _ in range(3):
                client.enqueue_event("goes on", "next")

            assert waiting.result() == Completed("done", None, 2)
        assert client.get_orchestration_status("goes on") == Completed("done", None, 2)


class TestWaiting:
    def test_in_vain(self, stage: Stage, gate: threading.Event) -> None:
        """A wait that runs out of time raises WaitTimeout; the instance goes on, and its result can be had later."""
        stage.start()
        stage.client.start_orchestration("slow", "gated", "late")
        with pytest.raises(WaitTimeout, match=r"'slow' did not end within 0\.01 s"):
            stage.client.wait_for_orchestration("slow", 0.01)
        with pytest.raises(TimeoutError):
            stage.client.wait_for_result("slow", 0)
        gate.set()

        assert stage.result("slow") == "late"

    def test_for_nobody(self, stage: Stage) -> None:
        """An instance that does not exist is waited for, and that is said when it does not come."""
        with pytest.raises(WaitTimeout, match="check that a runtime is running"):
            stage.client.wait_for_orchestration("nobody", 0.01)

    def test_before_the_start(self, stage: Stage, gate: threading.Event) -> None:
        """Whoever waits before the instance is started is told of its end."""
        gate.set()
        stage.start()
        results: list[object] = []
        waiter = threading.Thread(target=lambda: results.append(stage.result("later")))
        waiter.start()
        stage.client.start_orchestration("later", "gated", "here")
        waiter.join(PATIENCE)

        assert results == ["here"]

    def test_many_at_once(self, stage: Stage, gate: threading.Event) -> None:
        """Many threads may wait for one instance."""
        stage.start()
        stage.client.start_orchestration("shared", "gated", "all")
        results: list[object] = []
        waiters = [threading.Thread(target=lambda: results.append(stage.result("shared"))) for _ in range(8)]
        for waiter in waiters:
            waiter.start()
        gate.set()
        for waiter in waiters:
            waiter.join(PATIENCE)

        assert results == ["all"] * 8


class TestStarting:
    def test_twice(self, stage: Stage, registry: Registry, gate: threading.Event) -> None:
        """A second start of a running or finished id, by whatever name or version, changes nothing."""

        @registry.orchestration(name="gated", version="2.0.0")
        def newer(ctx: OrchestrationContext, word: str) -> str:
            return f"newer {word}"

        client = stage.client
        stage.start()
        client.start_orchestration("twice", "gated", "first", version="1.0.0")
        stage.until_status("twice")
        client.start_orchestration("twice", "gated", "second")
        client.start_orchestration("twice", "gated", "third", version="2.0.0")
        client.start_orchestration("twice", "unheard of", "fourth")
        gate.set()
        assert stage.result("twice") == "first"
        history = stage.history("twice")
        client.start_orchestration("twice", "gated", "fifth")
        assert stage.run("other", "gated", "x") == "newer x"
        stage.stop()

        assert stage.history("twice") == history
        assert stage.kinds("twice").count("OrchestrationStarted") == 1
        assert stage.kinds("twice").count("OrchestrationCompleted") == 1

    def test_twice_in_one_batch(self, stage: Stage, gate: threading.Event) -> None:
        """Of two starts that are waiting when a runtime comes, the first counts."""
        gate.set()
        stage.client.start_orchestration("twice", "gated", "first")
        stage.client.start_orchestration("twice", "gated", "second")
        stage.start()

        assert stage.result("twice") == "first"
        assert stage.kinds("twice").count("OrchestrationStarted") == 1

    @pytest.mark.parametrize(
        "start",
        [
            lambda client: client.start_orchestration("", "gated"),
            lambda client: client.start_orchestration("id", ""),
            lambda client: client.start_orchestration("id", "gated", version="one"),
            lambda client: client.start_orchestration("id", "gated", threading.Lock()),
            lambda client: client.raise_event("id", ""),
            lambda client: client.wait_for_orchestration("", 0),
        ],
    )
    def test_bad_arguments(self, stage: Stage, start: Callable[[Client], object]) -> None:
        """A bad argument raises at the call, and nothing is written."""
        with pytest.raises(InvalidInput):
            start(stage.client)
