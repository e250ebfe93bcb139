"""Texts that are as long as they may be: every database takes them, together, and one byte more is refused at the call."""

from __future__ import annotations

import random

from collections.abc import Callable
from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    CannotDeleteSubOrchestration,
    Client,
    LimitExceeded,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
)
from duroxide._core.limits import (
    MAX_AUTOMATIC_ID_BYTES,
    MAX_INSTANCE_ID_BYTES,
    MAX_NAME_BYTES,
    MAX_TAG_BYTES,
)
from duroxide.providers.contract import TagFilter
from duroxide.testing.conformance.populations import begin
from duroxide.testing.conformance.vocabulary import first_turn, must_commit

from .stage import Stage


def noise(size: int) -> str:
    """Return that many bytes that do not compress: Postgres counts what is left of an index entry."""
    dice = random.Random(size)
    return "".join(dice.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") for _ in range(size))


NAME, SESSION, TAG = noise(MAX_NAME_BYTES), noise(MAX_NAME_BYTES), noise(MAX_TAG_BYTES)
KEY, ID, VERSION = noise(MAX_INSTANCE_ID_BYTES), noise(MAX_INSTANCE_ID_BYTES), f"1.0.0-{'x' * (MAX_NAME_BYTES - 6)}"

#: Calls of orchestration code with a text that is too long, and what they say of it.
TOO_LONG: dict[str, Callable[[OrchestrationContext, str], object]] = {
    "session id": lambda ctx, text: ctx.schedule_activity("step", session_id=text),
    "tag size": lambda ctx, text: ctx.schedule_activity("step", tag=text),
    "activity name": lambda ctx, text: ctx.schedule_activity(text),
    "orchestration name": lambda ctx, text: ctx.schedule_sub_orchestration(text),
    "version": lambda ctx, text: ctx.schedule_sub_orchestration("child", version="1.0.0-" + "x" * len(text)),
    "instance id": lambda ctx, text: ctx.schedule_sub_orchestration("child", instance_id=text),
    "event name": lambda ctx, text: ctx.schedule_wait(text),
    "queue name": lambda ctx, text: ctx.dequeue_event(text),
    "KV key size": lambda ctx, text: ctx.set_kv_value(text, 1),
}


def step(ctx: ActivityContext, number: int = 0) -> int:
    """Do nothing."""
    return number


def long(ctx: OrchestrationContext, depth: int) -> Orchestration[int]:
    """Use everything that is long, in an instance and in its child."""
    ctx.set_kv_value(KEY, depth)
    total = yield from ctx.schedule_activity(NAME, 1, session_id=SESSION)
    total += yield from ctx.schedule_activity(NAME, 1, tag=TAG)
    if depth:
        total += yield from ctx.schedule_sub_orchestration(NAME, depth - 1, version=VERSION)
    return int(total)


def register(stage: Stage) -> None:
    """Register everything under names that are as long as they may be."""
    stage.registry.register_activity(step, name=NAME)
    stage.registry.register_orchestration(long, name=NAME, version=VERSION)


class TestLongest:
    def test_run(self, stage: Stage) -> None:
        """Names, versions, session ids, tags, keys and ids of full length work together."""
        register(stage)
        stage.start(worker_tag_filter=TagFilter(tags=frozenset({TAG})))
        stage.client.start_orchestration(ID, NAME, 1, version=VERSION)

        assert 4 == stage.result(ID)
        assert 2 == stage.client.delete_instance(ID).instances

    def test_automatic_id(self, stage: Stage) -> None:
        """The longest automatic id goes with the longest name, the longest key, and as a parent."""
        child = noise(MAX_AUTOMATIC_ID_BYTES)
        begin(stage.provider, child, name=NAME)
        begin(stage.provider, "grandchild", parent=child, name=NAME)
        must_commit(stage.provider, first_turn("other"))

        assert {child, "grandchild", "other"} == {each.instance_id for each in stage.client.list_all_instances()}

    def test_calls_for_long_ids(self, stage: Stage) -> None:
        """Whatever a client or an orchestration can do with an id, it can do with that of a child of children."""

        def family(ctx: OrchestrationContext, depth: int) -> Orchestration[Any]:
            if depth:
                return (yield from ctx.schedule_sub_orchestration(family, depth - 1))
            ctx.set_kv_value("deep", "down")
            yield from ctx.schedule_wait("go")
            return (yield from ctx.dequeue_event("answers"))

        def reads(ctx: OrchestrationContext, instance_id: str) -> Orchestration[Any]:
            return (yield from ctx.get_kv_value_from_instance(instance_id, "deep"))

        stage.registry.register_orchestration(family)
        stage.registry.register_orchestration(reads)
        stage.start()
        client = stage.client
        client.start_orchestrations(family, {ID: 2, "other": 2})
        deepest = f"{ID}::sub::2::sub::2"
        assert "down" == client.wait_for_kv_value(deepest, "deep")
        assert ["down", {"deep": "down"}] == [stage.run("r", reads, deepest), client.get_kv_all_values(deepest)]
        client.raise_event(deepest, "go")
        client.enqueue_event(deepest, "answers", 42)
        client.cancel_instance("other::sub::2::sub::2")

        assert 42 == stage.result(deepest) == stage.result(ID)
        assert 1 == len(client.list_executions(deepest)) == client.get_execution_info(deepest).execution_id
        assert (deepest,) == client.get_instance_tree(deepest).ids
        assert not client.prune_executions(deepest).executions
        assert deepest in {each["instance_id"] for each in client.export_instances()}
        with pytest.raises(CannotDeleteSubOrchestration):
            client.delete_instance(deepest)

    def test_pages_end_anywhere(self, stage: Stage) -> None:
        """A list goes on behind an id of any length."""
        for number in range(3):
            begin(stage.provider, f"{number}{noise(MAX_AUTOMATIC_ID_BYTES - 8)}::sub::")
        pages = [stage.client.list_all_instances(limit=1)]
        while pages[-1].cursor is not None:
            pages.append(stage.client.list_all_instances(limit=1, cursor=pages[-1].cursor))

        assert list("012") == sorted(info.instance_id[0] for page in pages for info in page)

    def test_deep_family(self, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
        """A family whose ids grow too long fails at the level that would have one, and says what to do."""

        def deeper(ctx: OrchestrationContext, _: None) -> Orchestration[Any]:
            return (yield from ctx.schedule_sub_orchestration(deeper))

        monkeypatch.setattr("duroxide._core.limits.MAX_AUTOMATIC_ID_BYTES", 100)
        stage.registry.register_orchestration(deeper)
        stage.start()
        with pytest.raises(OrchestrationFailed, match=r"automatic child id of up to .* Give the child an instance_id"):
            stage.run("a" * 30, deeper)

        assert [] == stage.client.audit()


class TestTooLong:
    @pytest.mark.parametrize("what", TOO_LONG)
    def test_in_orchestrations(self, stage: Stage, what: str) -> None:
        """Code that gives a text that is too long gets an error that names it, at the call."""

        def careless(ctx: OrchestrationContext, _: None) -> Orchestration[Any]:
            return (yield TOO_LONG[what](ctx, noise(6000)))

        stage.registry.register_orchestration(careless)
        stage.start()

        with pytest.raises(OrchestrationFailed, match=f"{what} of 600. bytes exceeds limit"):
            stage.run("a", careless)

    def test_in_clients(self, stage: Stage) -> None:
        """A client gets the error, and nothing is written."""
        client: Client = stage.client
        for call in (
            lambda: client.start_orchestration("a", noise(6000)),
            lambda: client.start_orchestration("a", "x", version="1.0.0-" + "x" * 6000),
            lambda: client.start_orchestration(noise(6000), "x"),
            lambda: client.raise_event("a", noise(6000)),
            lambda: client.enqueue_event("a", noise(6000)),
        ):
            with pytest.raises(LimitExceeded, match="exceeds limit of 512 bytes"):
                call()
        with pytest.raises(LimitExceeded, match="exceeds limit of 2048 bytes"):
            client.get_instance_info(noise(2048) + "::sub::2")

        assert 0 == client.get_queue_depths().orchestrator_queue
