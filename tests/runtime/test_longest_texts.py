"""Texts that are as long as they may be: every database takes them, together, and one byte more is refused at the call."""

from __future__ import annotations

import random

from collections.abc import Callable
from typing import Any

import pytest

from duroxide import ActivityContext, Client, LimitExceeded, Orchestration, OrchestrationContext, OrchestrationFailed
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

        assert 0 == client.get_queue_depths().orchestrator_queue
