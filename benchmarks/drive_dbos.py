"""Drives the PyPI package `dbos`. Its workflows run in threads of the process that starts them."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from dbos import DBOS, DBOSClient, DBOSConfig, EnqueueOptions, SetWorkflowID
from harness import WORK_SECONDS, main, on_threads


@DBOS.step()
def step(number: int) -> int:
    return number + 1


@DBOS.step()
async def async_work(number: int) -> int:
    await asyncio.sleep(WORK_SECONDS)
    return number


@DBOS.step()
def work(number: int) -> int:
    time.sleep(WORK_SECONDS)
    return number


@DBOS.workflow()
def nothing(argument: int) -> int:
    return argument


@DBOS.workflow()
def chain(steps: int) -> int:
    number = 0
    for _ in range(steps):
        number = step(number)
    return number


@DBOS.workflow()
async def fan_out(width: int) -> int:
    return len(await asyncio.gather(*(async_work(number) for number in range(width))))


@DBOS.workflow()
def one_piece(number: int) -> int:
    return work(number)


@DBOS.workflow()
def fan_out_children(width: int) -> int:
    handles = [DBOS.start_workflow(one_piece, number) for number in range(width)]
    return len([handle.get_result() for handle in handles])


@DBOS.workflow()
def await_signal(_: int) -> Any:
    DBOS.set_event("waiting", 1)
    return DBOS.recv("go", timeout_seconds=60)


QUEUE = "benchmark"

PROGRAMS = {each.__name__: each for each in (nothing, chain, fan_out, fan_out_children, await_signal)}


class Dbos:
    """The engine, for the harness."""

    def __init__(self, url: str, settings: Mapping[str, Any]) -> None:
        given = dict(settings)
        pragmas = given.pop("pragmas", {})
        self.fan_out = given.pop("fan_out", "fan_out")
        #: How many are started: from so many threads, or (0) through a queue.
        self.start_threads = given.pop("start_threads", 1)

        @sa.event.listens_for(sa.Engine, "connect")
        def _(driver: Any, _: object) -> None:
            if isinstance(driver, sqlite3.Connection):
                for name, value in pragmas.items():
                    driver.execute(f"PRAGMA {name}={value}")

        config: DBOSConfig = {"name": "benchmark", "system_database_url": url, "log_level": "ERROR", **given}
        DBOS(config=config)
        DBOS.launch()
        if self.use_queue:
            DBOS.register_queue(QUEUE, polling_interval_sec=0.001)
            driver = url.replace("postgresql://", "postgresql+psycopg://", 1)
            self.client_engine = sa.create_engine(driver)
            self.client = DBOSClient(system_database_url=url)
        self.handles: dict[str, Any] = {}

    def start(self, instance_id: str, program: str, argument: int) -> None:
        """Start an instance of *program*."""
        with SetWorkflowID(instance_id):
            function = PROGRAMS[self.fan_out if program == "fan_out" else program]
            if asyncio.iscoroutinefunction(function):
                self.handles[instance_id] = asyncio.run_coroutine_threadsafe(self._async(function, argument), self.loop)
            else:
                self.handles[instance_id] = DBOS.start_workflow(function, argument)

    @property
    def use_queue(self) -> bool:
        """Whether many are started through a queue."""
        return self.start_threads == 0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that asynchronous workflows run in."""
        if not hasattr(self, "_loop"):
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._loop.run_forever, daemon=True).start()
        return self._loop

    @staticmethod
    async def _async(function: Any, argument: int) -> Any:
        return await function(argument)

    def start_all(self, ids: Sequence[str], program: str, argument: int) -> None:
        """Enqueue them in one transaction, for a queue that is polled every millisecond; or start from threads."""
        if not self.use_queue:
            on_threads(self.start_threads, lambda instance_id: self.start(instance_id, program, argument), ids)
            return
        name = PROGRAMS[program].__qualname__
        with self.client_engine.begin() as connection:
            for instance_id in ids:
                options: EnqueueOptions = {"workflow_name": name, "queue_name": QUEUE, "workflow_id": instance_id}
                self.handles[instance_id] = self.client.enqueue_in_transaction(connection, options, argument)

    def wait(self, instance_id: str) -> None:
        """Wait until the instance has completed."""
        handle = self.handles.pop(instance_id)
        handle.result() if hasattr(handle, "result") else handle.get_result(polling_interval_sec=0.005)

    def until_waiting(self, instance_id: str) -> None:
        """Wait until the instance waits for its event."""
        DBOS.get_event(instance_id, "waiting", timeout_seconds=30)

    def signal(self, instance_id: str) -> None:
        """Raise the event that the instance waits for."""
        DBOS.send(instance_id, 1, topic="go")

    def close(self) -> None:
        """Stop."""
        DBOS.destroy()


if __name__ == "__main__":
    main(Dbos)
