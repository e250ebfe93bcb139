"""Drives the PyPI package `duroxide`: the Rust engine and its Python binding."""

from __future__ import annotations

import threading
import time

from collections.abc import Mapping, Sequence
from typing import Any

from harness import WORK_SECONDS, main, on_threads

import duroxide


class Wheel:
    """The engine, for the harness."""

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        given = dict(settings)
        self.start_threads = given.pop("start_threads", 1)
        if url.startswith("sqlite"):
            provider: Any = duroxide.SqliteProvider.open(url)
        else:
            provider = duroxide.PostgresProvider.connect(url)
        self.client = duroxide.Client(provider)
        self.runtime = duroxide.Runtime(provider, duroxide.RuntimeOptions(log_level="error", **given))
        self.runtime.register_activity("step", lambda ctx, number: number + 1)
        self.runtime.register_activity("work", self.work)
        for program in (self.nothing, self.chain, self.fan_out, self.await_signal):
            self.runtime.register_orchestration(program.__name__, program)
        self.thread = threading.Thread(target=self.runtime.start, daemon=True)
        self.thread.start()

    @staticmethod
    def work(ctx: Any, number: int) -> int:
        """Wait as for an answer from elsewhere."""
        time.sleep(WORK_SECONDS)
        return number

    @staticmethod
    def nothing(ctx: Any, argument: int) -> int:
        """End at once."""
        return argument

    @staticmethod
    def chain(ctx: Any, steps: int) -> Any:
        """Run *steps* activities, one after the other."""
        number = 0
        for _ in range(steps):
            number = yield ctx.schedule_activity("step", number)
        return number

    @staticmethod
    def fan_out(ctx: Any, width: int) -> Any:
        """Run *width* activities at the same time."""
        results = yield ctx.all([ctx.schedule_activity("work", number) for number in range(width)])
        return len(results)

    @staticmethod
    def await_signal(ctx: Any, _: int) -> Any:
        """Say that it waits, and wait."""
        ctx.set_custom_status("waiting")
        return (yield ctx.wait_for_event("go"))

    def start(self, instance_id: str, program: str, argument: int) -> None:
        """Start an instance of *program*."""
        self.client.start_orchestration(instance_id, program, argument)

    def start_all(self, ids: Sequence[str], program: str, argument: int) -> None:
        """Start them from several threads: it has no call for many."""
        on_threads(self.start_threads, lambda instance_id: self.start(instance_id, program, argument), ids)

    def wait(self, instance_id: str) -> None:
        """Wait until the instance has completed."""
        result = self.client.wait_for_orchestration(instance_id, 300_000)
        assert result.status == "Completed", (result.status, result.error)

    def until_waiting(self, instance_id: str) -> None:
        """Wait until the instance waits for its event."""
        self.client.wait_for_status_change(instance_id, 0, 5, 30_000)

    def signal(self, instance_id: str) -> None:
        """Raise the event that the instance waits for."""
        self.client.raise_event(instance_id, "go", 1)

    def close(self) -> None:
        """Stop."""
        self.runtime.shutdown(100)


if __name__ == "__main__":
    main(Wheel)
