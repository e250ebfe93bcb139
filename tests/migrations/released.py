"""
What a release leaves in its database when it stops in the middle of everything, for later ones to go on with.

`tests/golden/schema_*.sql` are dumps of such databases. A release whose schema is new adds its own, made by itself::

    python -m tests.migrations.released sqlite:///new.db        # prints the dump
    python -m tests.migrations.released postgresql://…/empty    # so does this, with the pg_dump that is in PATH

Once released, a dump is never changed.
"""

from __future__ import annotations

import subprocess
import sys

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from sqlalchemy import create_engine, make_url

from duroxide import (
    ActivityContext,
    Client,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
    RuntimeOptions,
    SqlProvider,
    TagFilter,
)

from ..patience import eventually


registry = Registry()


@registry.activity
def double(ctx: ActivityContext, number: int) -> int:
    return number * 2


@registry.activity
def refuse(ctx: ActivityContext, text: str) -> None:
    raise ValueError(text)


@registry.orchestration
def leaf(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    return (yield from ctx.schedule_activity(double, number))


@registry.orchestration
def order(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
    doubled = yield from ctx.schedule_activity(double, number)
    ctx.set_kv_value("doubled", doubled)
    ctx.set_custom_status("waits")
    approval = yield from ctx.schedule_wait("approved")
    packed = yield from ctx.schedule_sub_orchestration(leaf, doubled, instance_id=f"{ctx.instance_id}::leaf")
    return [doubled, approval, packed]


@registry.orchestration
def sleeps(ctx: OrchestrationContext, seconds: int) -> Orchestration[str]:
    yield from ctx.schedule_timer(timedelta(seconds=seconds))
    return "awake"


@registry.orchestration
def elsewhere(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    return (yield from ctx.schedule_activity(double, number, tag="elsewhere"))


@registry.orchestration
def family(ctx: OrchestrationContext, seconds: int) -> Orchestration[str]:
    return (yield from ctx.schedule_sub_orchestration(sleeps, seconds, instance_id=f"{ctx.instance_id}::child"))


@registry.orchestration
def loops(ctx: OrchestrationContext, left: int) -> Orchestration[str]:
    if left:
        return (yield from ctx.continue_as_new(left - 1))
    return (yield from ctx.dequeue_event("letters"))


@registry.orchestration
def fails(ctx: OrchestrationContext, text: str) -> Orchestration[None]:
    yield from ctx.schedule_activity(refuse, text)


#: Longer than the release needed to stop, and over long before a later one starts.
NAP = 60

#: What is started, by instance id.
STARTED: dict[str, tuple[Any, Any]] = {
    "done": (leaf, 1),
    "failed": (fails, "no"),
    "order": (order, 21),
    "sleeper": (sleeps, NAP),
    "parent": (family, NAP),
    "elsewhere": (elsewhere, 4),
    "loops": (loops, 2),
}

#: What becomes of what was left, once a runtime serves everything. (`go_on` starts "late" and sends "order" an event.)
OUTCOMES = {
    "done": 2,
    "order": [42, "yes", 84],
    "order::leaf": 84,
    "sleeper": "awake",
    "parent": "awake",
    "elsewhere": 8,
    "loops": "a letter",
    "late": 10,
}


def leave(provider: SqlProvider) -> None:
    """Start everything, stop when nothing moves any more, and leave messages that nobody has read."""
    with Runtime(provider, registry, RuntimeOptions(worker_tag_filter=TagFilter())) as runtime:
        for instance_id, (orchestration, argument) in STARTED.items():
            runtime.client.start_orchestration(instance_id, orchestration, argument)
        eventually(lambda: _has_settled(runtime.client))
    client = Client(provider)
    client.raise_event("order", "approved", "yes")
    client.enqueue_event("loops", "letters", "a letter")
    client.start_orchestration("late", leaf, 5)


def _has_settled(client: Client) -> bool:
    """Whether two have ended, two sleep, one waits for a worker, and one has continued as new twice."""
    depths, metrics = client.get_queue_depths(), client.get_system_metrics()
    ended = metrics.completed_instances + metrics.failed_instances
    return (ended, depths.timer_queue, depths.worker_queue, metrics.total_executions) == (2, 2, 1, 10) and (
        client.wait_for_status_change("order", 0, 1) is not None
    )


def dump(url: str) -> Iterator[str]:
    """Yield the lines of a script that makes the database at *url* again."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        engine = create_engine(url)
        with engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            yield from driver.iterdump()
        engine.dispose()
        return
    command = [
        "pg_dump",
        "--inserts",
        "--no-owner",
        "--no-privileges",
        "--schema=public",
        parsed.render_as_string(False),
    ]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # Comments, and what only psql understands or only another version knows.
    unwanted = ("--", "\\", "SET ", "SELECT pg_catalog.set_config", "CREATE SCHEMA public", "COMMENT ON SCHEMA")
    yield from (line for line in lines if line.strip() and not line.startswith(unwanted))


if __name__ == "__main__":
    with SqlProvider(sys.argv[1]) as empty:
        leave(empty)
    sys.stdout.writelines(f"{line}\n" for line in dump(sys.argv[1]))
