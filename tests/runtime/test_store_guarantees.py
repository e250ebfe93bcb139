"""What the runtime may rely on when several fetch, delete and give back at once."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import (
    NotFound,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    TagFilter,
    VersionRange,
)
from duroxide._core import events as e
from duroxide.providers.contract import HistoryRequest, Release, SessionClaim

from .stage import PATIENCE, Stage, eventually


LOCK_MS = 60_000


@pytest.fixture
def one(registry: Registry) -> Any:
    """Waits for an activity of a session that nobody here serves."""

    @registry.orchestration
    def one(ctx: OrchestrationContext) -> Orchestration[Any]:
        return (yield from ctx.schedule_activity("elsewhere", session_id="sess"))

    return one


def schedule(stage: Stage, one: Any) -> None:
    """Bring the activity into the worker queue, and stop the runtime."""
    runtime = stage.start(worker_concurrency=0)
    stage.client.start_orchestration("i", one)
    eventually(lambda: stage.client.get_queue_depths().worker_queue == 1)
    runtime.shutdown()


def test_unknown_instances(stage: Stage) -> None:
    """[485] [602] [222] What is asked about an unknown instance is answered with nothing, not with an error."""
    (history,) = stage.provider.read_histories([HistoryRequest("unknown")])

    assert list(history) == []
    assert stage.provider.get_instance_info("unknown") is None
    assert stage.client.read_execution_history("unknown", 7) == ()
    assert stage.client.get_orchestration_status("unknown") == NotFound()


def test_session_work_is_given_back(stage: Stage, one: Any) -> None:
    """[591] Released work of a session comes again and counts, unless the attempt is ignored."""
    schedule(stage, one)
    claim = SessionClaim("me", LOCK_MS)

    counts = []
    for ignore in (False, True, True, False):
        (item,) = stage.provider.fetch_activities(10, LOCK_MS, tags=TagFilter(), session=claim)
        counts.append(item.attempt_count)
        assert item.work.session_id == "sess"
        stage.provider.release_activities([Release(item.lock, ignore_attempt=ignore)])

    assert counts == [1, 2, 2, 2]
    stage.client.cancel_instance("i")


def test_deletion_takes_queued_work(stage: Stage, one: Any) -> None:
    """[545] A forced deletion takes the queued activity along, and the id can be used again."""
    schedule(stage, one)
    stage.client.delete_instance("i", force=True)

    assert not stage.provider.fetch_activities(10, LOCK_MS, tags=TagFilter(), session=SessionClaim("me", LOCK_MS))
    assert stage.client.start_orchestration("i", one).is_new


def test_filtered_fetches_at_once(stage: Stage, registry: Registry, one: Any) -> None:
    """[573] Of fetches with a version range at the same time, each instance goes to one."""
    for number in range(20):
        stage.client.start_orchestration(f"i{number}", one)
    barrier = threading.Barrier(4, timeout=PATIENCE)
    taken: list[str] = []

    def fetch() -> None:
        barrier.wait()
        everything = VersionRange.between("0.0.0", "9.0.0")
        while items := stage.provider.fetch_orchestration_items(3, LOCK_MS, replayable=everything):
            taken.extend(item.lock.instance_id for item in items)

    threads = [threading.Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(taken) == sorted(f"i{number}" for number in range(20))


def test_deliveries_are_counted(stage: Stage, one: Any) -> None:
    """[575] [576] Fetching reads no history, whatever is in it: deliveries just count, beyond any maximum."""
    stage.client.start_orchestration("i", one)

    counts = []
    for _ in range(15):
        (item,) = stage.provider.fetch_orchestration_items(1, LOCK_MS)
        counts.append(item.attempt_count)
        stage.provider.release_orchestration_items([Release(item.lock)])

    assert counts == list(range(1, 16))


def test_last_look(stage: Stage, registry: Registry) -> None:
    """[667] A wait looks before it gives up: what is there already is seen without any time to wait."""

    @registry.orchestration
    def quick(ctx: OrchestrationContext) -> Orchestration[str]:
        ctx.set_kv_value("key", 1)
        yield from ctx.join()
        return "done"

    stage.start()
    stage.run("quick", quick)

    assert stage.client.wait_for_result("quick", 0) == "done"
    assert stage.client.wait_for_kv_value("quick", "key", 0) == 1


def test_nested_helpers(stage: Stage, registry: Registry) -> None:
    """[218] An exception in a helper of a helper is the instance's failure, with the helper in its traceback."""

    def inner(ctx: OrchestrationContext) -> Orchestration[None]:
        yield from ctx.schedule_timer(0)
        raise LookupError("in the depths")

    def helper(ctx: OrchestrationContext) -> Orchestration[None]:
        yield from inner(ctx)

    @registry.orchestration
    def outer(ctx: OrchestrationContext) -> Orchestration[None]:
        yield from helper(ctx)

    stage.start()

    with pytest.raises(OrchestrationFailed, match="in the depths") as failure:
        stage.run("outer", outer)
    assert "in inner" in (failure.value.details.traceback or "")
    (failed,) = stage.of_kind("outer", e.OrchestrationFailed)
    assert failed.details.type == "LookupError"
