"""Limits and mistakes in orchestration code: an error at the call, and nothing of it in history."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    ActivityFailed,
    ErrorKind,
    Failed,
    InvalidInput,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    PayloadError,
    Registry,
)

from .stage import Stage


Call = Callable[[OrchestrationContext], object]


def __duroxide_function(ctx: ActivityContext) -> None:
    """Have a name that is the library's."""


CALLS: dict[str, Call] = {
    "no orchestration name": lambda ctx: ctx.schedule_sub_orchestration(""),
    "payload": lambda ctx: ctx.schedule_activity("a", object()),
    "tag": lambda ctx: ctx.schedule_activity("a", tag="x" * 257),
    "negative delay": lambda ctx: ctx.schedule_timer(-1),
    "no event name": lambda ctx: ctx.schedule_wait(""),
    "no queue name": lambda ctx: ctx.dequeue_event(""),
    "reserved child id": lambda ctx: ctx.schedule_sub_orchestration("o", instance_id="a::sub::2"),
    "long child id": lambda ctx: ctx.schedule_sub_orchestration("o", instance_id="x" * 513),
    "control character": lambda ctx: ctx.schedule_orchestration("o", "a\nb"),
    "status": lambda ctx: ctx.set_custom_status("x" * 262_145),
    "key": lambda ctx: ctx.set_kv_value("x" * 513, 1),
    "value": lambda ctx: ctx.set_kv_value("k", "x" * 65_537),
    "NUL": lambda ctx: ctx.set_kv_value("\0", 1),
    "other instance": lambda ctx: ctx.get_kv_value_from_instance("", "k"),
    "child version": lambda ctx: ctx.schedule_sub_orchestration("o", version="latest"),
    "detached version": lambda ctx: ctx.schedule_orchestration("o", "i", version="1"),
    "next version": lambda ctx: ctx.continue_as_new(version="v2"),
    "lone surrogate": lambda ctx: ctx.set_custom_status("\ud800"),
    "status with NUL": lambda ctx: ctx.set_custom_status("\0"),
    "session": lambda ctx: ctx.schedule_activity("a", session_id="\0"),
    "number as activity": lambda ctx: ctx.schedule_activity(5),  # type: ignore[call-overload]
    "class as child": lambda ctx: ctx.schedule_sub_orchestration(ValueError),
    "class as orchestration": lambda ctx: ctx.schedule_orchestration(ValueError, "i"),
    "reserved activity": lambda ctx: ctx.schedule_activity("__duroxide_x"),
    "built-in activity": lambda ctx: ctx.schedule_activity("__duroxide_syscall:get_kv_value", ["i", "k"]),
    "reserved function": lambda ctx: ctx.schedule_activity(__duroxide_function),
    "reserved child": lambda ctx: ctx.schedule_sub_orchestration("__duroxide_x"),
    "number as child version": lambda ctx: ctx.schedule_sub_orchestration("o", version=5),  # type: ignore[call-overload]
    "number as next version": lambda ctx: ctx.continue_as_new(version=5),  # type: ignore[arg-type]
    "type of a wait": lambda ctx: ctx.schedule_wait("n", type="int"),  # type: ignore[call-overload]
    "type of a message": lambda ctx: ctx.dequeue_event("q", type=5),  # type: ignore[call-overload]
    "type of a value": lambda ctx: ctx.get_kv_value("k", type="int"),  # type: ignore[call-overload]
    "type of another's value": lambda ctx: ctx.get_kv_value_from_instance("i", "k", type="int"),  # type: ignore[call-overload]
    "other's key": lambda ctx: ctx.get_kv_value_from_instance("i", None),  # type: ignore[call-overload]
    "other's key with NUL": lambda ctx: ctx.get_kv_value_from_instance("i", "\0"),
    "read key": lambda ctx: ctx.get_kv_value([1]),  # type: ignore[call-overload]
    "cleared number": lambda ctx: ctx.clear_kv_value(5),  # type: ignore[arg-type]
    "cleared list": lambda ctx: ctx.clear_kv_value([1]),  # type: ignore[arg-type]
    "cleared NUL": lambda ctx: ctx.clear_kv_value("\0"),
    "cleared surrogate": lambda ctx: ctx.clear_kv_value("\ud800"),
    "cleared long key": lambda ctx: ctx.clear_kv_value("x" * 100_000),
    "cutoff": lambda ctx: ctx.prune_kv_values_updated_before("x"),  # type: ignore[arg-type]
    "cutoff as float": lambda ctx: ctx.prune_kv_values_updated_before(1.5),  # type: ignore[arg-type]
}


class TestInCode:
    def test_catchable(self, stage: Stage, registry: Registry) -> None:
        """Each is an InvalidInput that code can catch, and go on as if it had not called."""

        @registry.orchestration
        def clumsy(ctx: OrchestrationContext) -> Orchestration[list[str]]:
            missed = []
            for name, call in CALLS.items():
                try:
                    call(ctx)
                except InvalidInput:
                    continue
                missed.append(name)
            yield from ctx.schedule_timer(0)
            return missed

        stage.start()

        assert stage.run("clumsy", clumsy) == []
        assert stage.kinds("clumsy") == ["OrchestrationStarted", "TimerCreated", "TimerFired", "OrchestrationCompleted"]

    def test_uncaught(self, stage: Stage, registry: Registry) -> None:
        """Uncaught, the instance fails with the error's text: value, limit and remedy."""

        @registry.orchestration
        def clumsy(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity("a", tag="x" * 257)

        stage.start()

        with pytest.raises(
            OrchestrationFailed, match=r"tag size of 257 bytes exceeds limit of 256 bytes\. Use a shorter"
        ):
            stage.run("clumsy", clumsy)

    def test_output(self, stage: Stage, registry: Registry) -> None:
        """An output that cannot be stored fails the instance once, and says what it was."""

        @registry.orchestration
        def clumsy(ctx: OrchestrationContext) -> Orchestration[object]:
            yield from ctx.schedule_timer(0)
            return object()

        stage.start()

        with pytest.raises(OrchestrationFailed, match="result of orchestration 'clumsy'") as failure:
            stage.run("clumsy", clumsy)
        assert failure.value.details.kind is ErrorKind.ORCHESTRATION_FAILED
        assert stage.kinds("clumsy").count("OrchestrationFailed") == 1

    def test_wrong_input_of_an_activity(self, stage: Stage, registry: Registry) -> None:
        """[211] An input that does not fit an activity's function is a failure that code can catch; the worker goes on."""

        @registry.activity
        def double(ctx: ActivityContext, number: int) -> int:
            return 2 * number

        @registry.orchestration
        def careless(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            try:
                yield from ctx.schedule_activity("double", "many")
            except ActivityFailed as error:
                return ["input of activity 'double'" in str(error), (yield from ctx.schedule_activity(double, 2))]
            return []

        stage.start(worker_concurrency=1)

        assert stage.run("careless", careless) == [True, 4]

    def test_wrong_input(self, stage: Stage, registry: Registry) -> None:
        """An input that does not fit the function fails the instance; the runtime goes on."""

        @registry.orchestration
        def picky(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
            yield from ctx.schedule_timer(0)
            return number

        stage.start()
        with pytest.raises(OrchestrationFailed, match="input of orchestration 'picky'"):
            stage.run("wrong", "picky", "many")

        assert stage.run("right", picky, 3) == 3

    def test_wrong_data(self, stage: Stage, registry: Registry) -> None:
        """[212] Data that does not fit a typed wait or dequeue is an error in code, and the next one is fine."""

        @registry.orchestration
        def picky(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            ctx.set_custom_status("waiting")
            seen: list[Any] = []
            wait, dequeue = ctx.schedule_wait("n", type=int), ctx.dequeue_event("n", type=int)
            for action in (wait, dequeue):
                try:
                    seen.append((yield from action))
                except PayloadError as error:
                    seen.append("'n'" in str(error))
            return [*seen, (yield from ctx.dequeue_event("n", type=int))]

        stage.start()
        stage.client.start_orchestration("picky", picky)
        stage.until_status("picky")
        stage.client.raise_event("picky", "n", "one")
        for data in ("two", 3):
            stage.client.enqueue_event("picky", "n", data)

        assert stage.result("picky") == [True, True, 3]


class TestOddTexts:
    @pytest.mark.parametrize("odd", ["a\0b", "\ud800", "é\t\n\u2028😀"], ids=["NUL", "surrogate", "others"])
    def test_everywhere(self, stage: Stage, registry: Registry, odd: str) -> None:
        """[98] [615] Any character at all may be in payloads, values, errors and reasons, on every database."""

        @registry.activity
        def stumble(ctx: ActivityContext, text: str) -> None:
            raise ValueError(text)

        @registry.orchestration
        def echo(ctx: OrchestrationContext, text: str) -> Orchestration[list[str]]:
            ctx.set_kv_value("key", text)
            ctx.set_custom_status("waiting")
            seen = [text, (yield from ctx.dequeue_event("box", type=str))]
            try:
                yield from ctx.schedule_activity(stumble, text)
            except ValueError as error:
                return [*seen, str(error)]
            return seen

        @registry.orchestration
        def fail(ctx: OrchestrationContext, text: str) -> Orchestration[None]:
            yield from ctx.schedule_timer(0)
            raise ValueError(text)

        stage.start()
        client = stage.client
        client.start_orchestration("echo", echo, odd)
        client.enqueue_event("echo", "box", odd)
        client.start_orchestration("fail", fail, odd)
        client.start_orchestration("cancelled", echo, odd)
        stage.until_status("cancelled")
        client.cancel_instance("cancelled", odd)

        assert stage.result("echo") == [odd, odd, odd]
        assert client.get_kv_value("echo", "key") == odd
        ends = [client.wait_for_orchestration(name, 10) for name in ("fail", "cancelled")]
        assert [end.details.message for end in ends if isinstance(end, Failed)] == [odd, odd]
        assert len(client.list_all_instances().items) == 3
