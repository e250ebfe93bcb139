"""Tags: activities for particular workers, and runtimes for particular work."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    TagFilter,
)
from duroxide._core import events as e

from .stage import Stage, eventually


@pytest.fixture
def where(registry: Registry) -> Any:
    """An activity that tells its tag and its worker."""

    @registry.activity
    def where(ctx: ActivityContext) -> list[str | None]:
        return [ctx.tag, ctx.worker_id]

    return where


@pytest.mark.parametrize(
    ("tags", "accepted"),
    [
        (TagFilter(), {None}),
        (TagFilter(untagged=False, tags=frozenset({"gpu"})), {"gpu"}),
        (TagFilter(tags=frozenset({"gpu", "big"})), {None, "gpu", "big"}),
        (TagFilter(tags=None), {None, "gpu", "big", "other"}),
        (TagFilter(untagged=False), set()),
    ],
)
def test_filters(tags: TagFilter, accepted: set[str | None]) -> None:
    """[397] What each kind of filter accepts."""
    assert {tag for tag in (None, "gpu", "big", "other") if tags.accepts(tag)} == accepted
    assert tags.accepts_nothing == (not accepted)


class TestRouting:
    def test_to_its_worker(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[400] [403] Tagged work runs on the worker of its tag, the rest on the others; activities see their tag."""

        @registry.orchestration
        def both(ctx: OrchestrationContext) -> Orchestration[Any]:
            return (
                yield from ctx.join(
                    ctx.schedule_activity(where, tag="gpu"),
                    ctx.schedule_activity(where),
                    ctx.schedule_activity(where, tag="gpu"),
                )
            )

        stage.start(worker_node_id="plain")
        stage.start(
            on=stage.open(),
            worker_node_id="gpu box",
            worker_tag_filter=TagFilter(untagged=False, tags=frozenset({"gpu"})),
        )

        assert stage.run("both", both) == [["gpu", "gpu box"], [None, "plain"], ["gpu", "gpu box"]]

    def test_in_the_next_execution(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[404] Tags work after continue-as-new, on another runtime that the first one wakes."""

        @registry.orchestration
        def again(ctx: OrchestrationContext) -> Orchestration[Any]:
            yield from ctx.schedule_timer(0)
            if ctx.execution_id < 2:
                yield ctx.continue_as_new()
            return (yield from ctx.schedule_activity(where, tag="gpu"))

        stage.start(worker_node_id="plain")
        stage.start(on=stage.open(), worker_node_id="any", worker_tag_filter=TagFilter(tags=None))

        assert stage.run("again", again) == ["gpu", "any"]

    def test_nobody_serves_it(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[406] Tagged work that nobody serves can be raced with a timer; when it loses, it leaves the queue."""

        @registry.orchestration
        def hope(ctx: OrchestrationContext) -> Orchestration[int]:
            winner = yield from ctx.select(ctx.schedule_activity(where, tag="quantum"), ctx.schedule_timer(0.02))
            ctx.set_custom_status("given up")
            yield from ctx.schedule_wait("end")
            return winner.index

        stage.start()
        stage.client.start_orchestration("hope", hope)
        stage.until_status("hope")
        assert stage.client.get_queue_depths().worker_queue == 0
        stage.client.raise_event("hope", "end")

        assert stage.result("hope") == 1
        (crumb,) = stage.of_kind("hope", e.ActivityCancelRequested)
        assert crumb.reason == e.DROPPED

    def test_divided_labour(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[407] A runtime for orchestrations only and one for activities only do the work together."""

        @registry.orchestration
        def steps(ctx: OrchestrationContext) -> Orchestration[Any]:
            places = []
            for _ in range(3):
                places.append((yield from ctx.schedule_activity(where)))  # noqa: PERF401  # generators cannot wait in comprehensions
            return places

        stage.start(worker_concurrency=0, worker_node_id="brain")
        stage.start(Registry().merge(registry), on=stage.open(), orchestration_concurrency=0, worker_node_id="hand")

        assert stage.run("steps", steps) == [[None, "hand"]] * 3

    def test_by_filter(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[407] [397] A runtime whose filter accepts nothing runs no activity; another does."""

        @registry.orchestration
        def one(ctx: OrchestrationContext) -> Orchestration[Any]:
            return (yield from ctx.schedule_activity(where))

        stage.start(worker_node_id="none", worker_tag_filter=TagFilter(untagged=False))
        stage.client.start_orchestration("one", one)
        eventually(lambda: stage.client.get_queue_depths().worker_queue == 1)
        stage.start(on=stage.open(), worker_node_id="some")

        assert stage.result("one") == [None, "some"]


class TestLimit:
    def test_size(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[402] A tag of 256 bytes is fine, one of 257 fails the instance, and nothing is scheduled."""

        @registry.orchestration
        def one(ctx: OrchestrationContext, size: int) -> Orchestration[Any]:
            return (yield from ctx.schedule_activity(where, tag="é" + "x" * (size - 2)))

        stage.start(worker_tag_filter=TagFilter(tags=None))

        assert len(stage.run("fits", one, 256)[0].encode()) == 256
        with pytest.raises(OrchestrationFailed, match="tag size of 257 bytes exceeds limit of 256 bytes"):
            stage.run("long", one, 257)
        assert stage.kinds("long") == ["OrchestrationStarted", "OrchestrationFailed"]
