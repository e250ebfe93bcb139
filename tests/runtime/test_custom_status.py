"""Custom status: what an orchestration shows of itself, with a version that tells what is new."""

from __future__ import annotations

import threading

from datetime import timedelta

import pytest

from duroxide import (
    Client,
    Completed,
    Failed,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    Running,
    WaitTimeout,
)
from duroxide._core import events as e
from duroxide._core import limits

from .stage import PATIENCE, Stage


class TestVersions:
    def test_the_last_of_a_turn(self, stage: Stage, registry: Registry) -> None:
        """[342] [344] Of several in one turn the last one shows, as one change, also on Completed."""

        @registry.orchestration
        def thrice(ctx: OrchestrationContext) -> Orchestration[str | None]:
            for text in ("a", "b", "c"):
                ctx.set_custom_status(text)
            yield from ctx.join()
            return ctx.get_custom_status()

        stage.start()

        assert stage.run("thrice", thrice) == "c"
        assert stage.client.get_orchestration_status("thrice") == Completed("c", "c", 1)

    def test_over_turns(self, stage: Stage, registry: Registry) -> None:
        """[345] [346] [600] A turn that leaves it alone keeps it; one that sets it makes the next version."""

        @registry.orchestration
        def steps(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_custom_status("first")
            yield from ctx.schedule_timer(0)
            yield from ctx.schedule_wait("go on")
            ctx.set_custom_status("second")
            yield from ctx.schedule_wait("end")

        stage.start()
        stage.client.start_orchestration("steps", steps)
        stage.until_kind("steps", e.ExternalSubscribed)
        assert stage.client.get_orchestration_status("steps") == Running("first", 1)
        stage.client.raise_event("steps", "go on")
        assert stage.until_status("steps", 1) == "second"
        stage.client.raise_event("steps", "end")
        stage.result("steps")

        assert stage.client.get_orchestration_status("steps") == Completed(None, "second", 2)

    def test_on_failure(self, stage: Stage, registry: Registry) -> None:
        """[348] It is visible on Failed, also when it was set in the turn that failed."""

        @registry.orchestration
        def fail(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_custom_status("about to fail")
            raise ValueError("as announced")
            yield

        stage.start()
        stage.client.start_orchestration("fail", fail)
        status = stage.client.wait_for_orchestration("fail", PATIENCE)

        assert isinstance(status, Failed)
        assert (status.custom_status, status.custom_status_version) == ("about to fail", 1)

    def test_over_executions(self, stage: Stage, registry: Registry) -> None:
        """[350] [352] It goes along into the next execution, also as none; only changes count as versions."""

        @registry.orchestration
        def four(ctx: OrchestrationContext, seen: list[str | None]) -> Orchestration[list[str | None]]:
            seen.append(ctx.get_custom_status())
            yield from ctx.schedule_timer(0)
            if ctx.execution_id in {1, 3}:
                ctx.set_custom_status(f"set in {ctx.execution_id}")
            elif ctx.execution_id == 2:
                ctx.reset_custom_status()
            seen.append(ctx.get_custom_status())
            yield from ctx.schedule_timer(0)
            if ctx.execution_id < 4:
                yield ctx.continue_as_new(seen)
            return seen

        stage.start()

        assert stage.run("four", four, []) == [
            None, "set in 1", "set in 1", None, None, "set in 3", "set in 3", "set in 3",
        ]  # fmt: skip
        status = stage.client.get_orchestration_status("four")
        assert isinstance(status, Completed)
        assert (status.custom_status, status.custom_status_version) == ("set in 3", 3)


class TestLimit:
    @pytest.mark.parametrize("size", [-1, 0, 1])
    def test_size(self, stage: Stage, registry: Registry, size: int) -> None:
        """[349] Up to the limit, in bytes of UTF-8, it is fine; over it, the instance fails and says why."""
        text = "é" + "x" * (limits.MAX_CUSTOM_STATUS_BYTES - 2 + size)

        @registry.orchestration
        def show(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.set_custom_status(text)
            yield from ctx.join()
            return "fine"

        stage.start()
        stage.client.start_orchestration("show", show)
        if size <= 0:
            assert stage.result("show") == "fine"
            assert stage.until_status("show") == text
            return
        with pytest.raises(OrchestrationFailed, match=r"Custom status size of 262145 bytes exceeds limit of 262144"):
            stage.result("show")
        assert stage.until_status("show") is None


def _wait_and_note(client: Client, seen: int, woken: list[object]) -> None:
    woken.append(client.wait_for_status_change("steps", seen, PATIENCE))


class TestWaiting:
    def test_change_end_or_nothing(self, stage: Stage, registry: Registry) -> None:
        """[353] A wait returns at a newer version, at once if it is there already, at the end, or raises in time."""

        @registry.orchestration
        def steps(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.set_custom_status("one")
            yield from ctx.schedule_wait("go on")
            ctx.reset_custom_status()
            yield from ctx.schedule_wait("end")
            return "done"

        client = stage.client
        with pytest.raises(WaitTimeout, match=r"'steps' did not change its status after version 0 within 0\.01 s"):
            client.wait_for_status_change("steps", 0, timedelta(milliseconds=10))
        stage.start()
        client.start_orchestration("steps", steps)
        assert client.wait_for_status_change("steps", 0, PATIENCE) == Running("one", 1)
        assert client.wait_for_status_change("steps", 0, 0) == Running("one", 1)
        with pytest.raises(WaitTimeout):
            client.wait_for_status_change("steps", 1, 0.01)
        client.raise_event("steps", "go on")
        assert client.wait_for_status_change("steps", 1, PATIENCE) == Running(None, 2)
        client.raise_event("steps", "end")
        assert client.wait_for_status_change("steps", 2, PATIENCE) == Completed("done", None, 2)

    @pytest.mark.usefixtures("nobody_looks_again")
    def test_is_woken(self, stage: Stage, registry: Registry) -> None:
        """[353] Who waits is woken by the change, and does not need to look again."""

        @registry.orchestration
        def steps(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_custom_status("0")
            for number in range(1, 21):
                yield from ctx.dequeue_event("step")
                ctx.set_custom_status(str(number))

        stage.start()
        client = Client(stage.open())
        stage.client.start_orchestration("steps", steps)
        client.wait_for_status_change("steps", 0, PATIENCE)
        for number in range(1, 21):
            woken: list[object] = []
            waiter = threading.Thread(
                target=_wait_and_note,
                args=(client, number, woken),
            )
            waiter.start()
            stage.client.enqueue_event("steps", "step")
            waiter.join(PATIENCE)
            assert getattr(woken[0], "custom_status", None) == str(number)
