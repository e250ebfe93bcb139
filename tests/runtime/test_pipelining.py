"""Commits under way: the next round's turns are run beside them, and nobody loses anything by it."""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from attrs import define, field

from duroxide import (
    ActivityContext,
    Orchestration,
    OrchestrationContext,
    ProviderError,
    Registry,
    Runtime,
    RuntimeOptions,
)
from duroxide._core import events as e
from duroxide._core.commit import CommitResult, TurnCommit
from duroxide.providers.sql import SqlProvider
from duroxide.providers.wrapping import Collected, WrappedProvider

from .stage import PATIENCE, eventually


class Pipe(WrappedProvider):
    """Commits when they are sent, and keeps the answer until it is collected. Takes down what happens, in order."""

    def __init__(self, provider: SqlProvider) -> None:
        self.seen: list[tuple[str, str]] = []
        self.ids_under_way = ""
        #: What the dispatcher asked for while commits were under way.
        self.asked_beside: set[str] = set()
        #: Called with the ids of the commits that have been sent.
        self.when_sent: Callable[[str], None] = lambda _: None
        #: Raised, once, to a dispatcher that asks for the time while commits are under way.
        self.error: Exception | None = None
        super().__init__(provider)
        self.send_turns = self._send

    def _send(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Collected:
        results = self._provider.commit_turns(commits, lock_ms=lock_ms)
        ids = " ".join(sorted(commit.instance_id for commit in commits))
        self.seen.append(("sent", ids))
        self.ids_under_way = ids
        self.when_sent(ids)

        def collect() -> Sequence[CommitResult]:
            self.ids_under_way = ""
            self.seen.append(("collected", ids))
            return results

        return Collected(collect)

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        if self.ids_under_way and threading.current_thread().name.startswith("duroxide-dispatch"):
            self.asked_beside.add(name)
            error, self.error = self.error, None
            if error is not None:
                raise error
        elif name != "now_ms":
            self.seen.append((name, ""))
        return operation(*args, **keywords)


@define
class Scene:
    """A runtime on a pipe, and an orchestration of two steps; the second of "b", and of each fan-out, waits to be let."""

    pipe: Pipe
    runtime: Runtime
    let: threading.Event = field(factory=threading.Event)
    #: Ends what goes on and on.
    enough: threading.Event = field(factory=threading.Event)

    def start(self, orchestration: str, *instance_ids: str) -> None:
        """Start instances, all with one call."""
        self.runtime.client.start_orchestrations(orchestration, dict.fromkeys(instance_ids))

    def result(self, instance_id: str) -> Any:
        """Return the output of an instance."""
        return self.runtime.client.wait_for_result(instance_id, PATIENCE)

    def until_an_outcome_waits(self) -> None:
        """Let the activity go on that waits, and wait until the dispatcher could take its outcome."""
        self.let.set()
        eventually(lambda: self.runtime._dispatcher._inbox)

    def answered(self, instance_id: str) -> list[int]:
        """Return which activities are answered in the history of an instance."""
        history = self.runtime.client.read_execution_history(instance_id)
        return [event.source_event_id for event in history if isinstance(event, e.ActivityCompleted)]


@pytest.fixture
def poll_interval() -> float:
    """Seconds between polls: none comes in between."""
    return 3600


@pytest.fixture
def scene(poll_interval: float) -> Iterator[Scene]:
    """A runtime on a store that takes commits while it does something else."""
    registry = Registry()

    @registry.activity
    def step(ctx: ActivityContext, is_held: bool) -> str:
        assert not is_held or scene.let.wait(PATIENCE)
        return ctx.instance_id

    @registry.orchestration
    def two(ctx: OrchestrationContext) -> Orchestration[str]:
        yield from ctx.schedule_activity(step, ctx.instance_id == "b")
        if not ctx.is_replaying:
            scene.pipe.seen.append(("turn", ctx.instance_id))
        return (yield from ctx.schedule_activity(step, False))

    @registry.orchestration
    def wide(ctx: OrchestrationContext) -> Orchestration[int]:
        parts = yield from ctx.join(*(ctx.schedule_activity(step, is_held) for is_held in (False, True)))
        return len(parts)

    @registry.activity
    def look(ctx: ActivityContext, is_held: bool) -> bool:
        assert not is_held or scene.let.wait(PATIENCE)
        return scene.enough.is_set()

    @registry.orchestration
    def busy(ctx: OrchestrationContext) -> Orchestration[None]:
        is_held = ctx.instance_id == "b"
        while not (yield from ctx.schedule_activity(look, is_held)):
            is_held = False

    with SqlProvider.in_memory() as provider:
        pipe = Pipe(provider)
        scene = Scene(pipe, Runtime(pipe, registry, RuntimeOptions(poll_interval=poll_interval)))
        scene.runtime.start()
        yield scene
        scene.runtime.shutdown()
        assert [] == provider.audit()
        assert {"now_ms"} >= pipe.asked_beside


def test_turns_beside_a_commit(scene: Scene) -> None:
    """While the commit of one instance is under way, another one has its turn; the next commit waits for the answer."""
    scene.pipe.when_sent = lambda ids: scene.until_an_outcome_waits() if ids == "a" else None
    scene.start("two", "a", "b")

    assert ["a", "b"] == [scene.result("a"), scene.result("b")]
    seen = [each for each in scene.pipe.seen if each[1]]
    begun = seen.index(("sent", "a"))
    assert [("sent", "a"), ("turn", "b"), ("collected", "a"), ("sent", "b")] == seen[begun : begun + 4]


def test_same_instance(scene: Scene) -> None:
    """An outcome for an instance whose commit is under way waits for the answer, and then takes the short way."""
    sent: list[str] = []

    def when_sent(ids: str) -> None:
        sent.append(ids)
        if len(sent) == 2:  # the first of the two outcomes
            scene.until_an_outcome_waits()

    scene.pipe.when_sent = when_sent
    scene.start("wide", "w")

    assert 2 == scene.result("w")
    assert [2, 3] == sorted(scene.answered("w"))
    assert "ack_activities" not in dict(scene.pipe.seen)


@pytest.mark.parametrize("poll_interval", [0.05])
def test_polls_beside_commits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime that always has commits under way, and the next outcome in hand, finds what nobody has told it of."""

    def when_sent(ids: str) -> None:
        if ids in {"a", "b"} and not scene.enough.is_set():
            scene.until_an_outcome_waits()

    scene.pipe.when_sent = when_sent
    scene.start("busy", "a", "b")
    assert scene.let.wait(PATIENCE)
    with monkeypatch.context() as patch:
        patch.setattr(scene.pipe.wakeups, "publish", lambda changes: None)
        scene.start("two", "quiet")

    assert "quiet" == scene.result("quiet")
    scene.enough.set()
    assert [None, None] == [scene.result("a"), scene.result("b")]


def test_failure_beside_a_commit(scene: Scene) -> None:
    """If the round beside it fails, the commit under way is collected, and the round is run again."""

    def when_sent(ids: str) -> None:
        if ids == "a" and not scene.let.is_set():
            scene.until_an_outcome_waits()
            scene.pipe.error = ProviderError("now_ms", "on purpose", retryable=True)

    scene.pipe.when_sent = when_sent
    scene.start("two", "a", "b")

    assert ["a", "b"] == [scene.result("a"), scene.result("b")]
    assert scene.pipe.error is None
    assert [2, 2] == [len(scene.answered(instance_id)) for instance_id in ("a", "b")]


def test_shutdown_beside_a_commit(scene: Scene) -> None:
    """A runtime that is shut down while a commit is under way collects its answer, and stores the outcomes it has."""
    shutdown = threading.Thread(target=lambda: scene.runtime.shutdown(PATIENCE))

    def when_sent(ids: str) -> None:
        if ids == "a" and not scene.let.is_set():
            scene.until_an_outcome_waits()
            shutdown.start()
            eventually(lambda: scene.runtime._dispatcher._is_stopping)

    scene.pipe.when_sent = when_sent
    scene.start("two", "a", "b")
    eventually(scene.let.is_set)
    eventually(lambda: shutdown.ident is not None)
    shutdown.join(PATIENCE)

    assert ("collected", "a") in scene.pipe.seen
    assert [[2], [2]] == [scene.answered(instance_id) for instance_id in ("a", "b")]
