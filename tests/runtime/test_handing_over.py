"""Handing starts and events over to an idle runtime of the same process: quicker, and otherwise the same."""

from __future__ import annotations

import threading

from collections.abc import Callable
from typing import Any

import pytest

from attrs import define, field, frozen
from sqlalchemy import create_engine

from duroxide import (
    ActivityContext,
    Client,
    InstanceAlreadyExists,
    Orchestration,
    OrchestrationContext,
    ProviderError,
    Registry,
    Runtime,
    RuntimeOptions,
    Start,
    _sending,
)
from duroxide._core import events as e
from duroxide._runtime import offers
from duroxide.testing.faults import Fail, Fault, FaultPlan, FaultyProvider, LoseConnection, ProviderCall, Rule

from ..workload.idling import first_look, until_idle
from .stage import PATIENCE, Stage


@pytest.fixture
def runtime_options() -> RuntimeOptions:
    """All short cuts: without them nothing is handed over. Nothing wakes an idle runtime by itself."""
    return RuntimeOptions(poll_interval=3600)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However slow this machine is, no client withdraws what it has offered, unless it must."""
    monkeypatch.setattr(_sending, "PATIENCE", PATIENCE)


@pytest.fixture
def echo(registry: Registry) -> Any:
    """Returns its input, by way of an activity."""

    @registry.activity
    def repeat(ctx: ActivityContext, value: Any) -> Any:
        return value

    @registry.orchestration
    def echo(ctx: OrchestrationContext, value: Any = None) -> Orchestration[Any]:
        return (yield from ctx.schedule_activity(repeat, value))

    return echo


@pytest.fixture
def collect(registry: Registry) -> Any:
    """Returns so many messages of its queue, in order."""

    @registry.orchestration
    def collect(ctx: OrchestrationContext, count: int) -> Orchestration[list[Any]]:
        words = []
        for _ in range(count):
            word = yield from ctx.dequeue_event("words")
            words.append(word)
        return words

    return collect


@frozen
class Seen:
    """A fault that does nothing, but is seen."""

    def around(self, call: ProviderCall) -> Any:
        return call.make()


@frozen
class Bug:
    """A provider that breaks its contract: it commits, and then raises what is no `ProviderError`."""

    def around(self, call: ProviderCall) -> Any:
        call.make()
        msg = "a bug"
        raise RuntimeError(msg)


@define
class Watched:
    """A runtime and a client on one provider, whose calls are counted."""

    provider: FaultyProvider
    runtime: Runtime
    begun: threading.Event
    client: Client = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.client = Client(self.provider)

    def until_idle(self) -> None:
        """Wait until the dispatcher takes offers, and nothing but offers and news wakes it."""
        until_idle(self.runtime, self.begun)

    @property
    def sent(self) -> int:
        """How many calls have put messages into the queue."""
        return self.provider.calls["start_instances"] + self.provider.calls["enqueue"]


@pytest.fixture
def watch(stage: Stage, nobody_looks_again: None) -> Callable[..., Watched]:
    """Starts a runtime whose commits meet *faults*, of which *on_fault* is told."""
    begun = first_look(stage.provider.wakeups)

    def start(*faults: Rule, on_fault: Callable[[Fault, ProviderCall], None] | None = None, **options: Any) -> Watched:
        provider = FaultyProvider(stage.provider, FaultPlan(faults), on_fault=on_fault)
        watched = Watched(provider, stage.start(on=provider, **options), begun)
        watched.until_idle()
        return watched

    return start


class TestIdle:
    def test_start(self, watch: Callable[..., Watched], echo: Any) -> None:
        """What is started while a runtime has nothing to do is never in the queue."""
        watched = watch()

        assert watched.client.start_orchestration("i", echo, 7) == Start("i", is_new=True)
        assert watched.client.wait_for_result("i", PATIENCE) == 7
        assert watched.sent == 0
        assert watched.runtime.metrics_snapshot().orch_dispatcher_items_fetched == 0

    def test_start_again(self, watch: Callable[..., Watched], echo: Any) -> None:
        """Whoever starts an id again to see that it exists does not have its code run in vain."""
        watched = watch()
        watched.client.start_orchestration("i", echo, 1)
        watched.client.wait_for_result("i", PATIENCE)
        watched.until_idle()
        before = watched.provider.calls["commit_turns"]

        assert watched.client.start_orchestration("i", echo, 2) == Start("i", is_new=False)
        assert watched.provider.calls["commit_turns"] == before
        assert watched.sent == 1

    def test_stored(self, stage: Stage, watch: Callable[..., Watched], echo: Any) -> None:
        """When the call returns, the instance is there, as a message would be."""
        watched = watch()
        watched.client.start_orchestration("i", echo)

        assert stage.provider.get_instance_info("i") is not None

    def test_events(self, stage: Stage, watch: Callable[..., Watched], collect: Any) -> None:
        """So it is with events for an instance in memory; they are in history in the order in which they were raised."""
        watched = watch()
        watched.client.start_orchestration("i", collect, 3)
        for word in ("one", "two", "three"):
            watched.until_idle()
            watched.client.enqueue_event("i", "words", word)
            assert stage.of_kind("i", e.QueueEventDelivered)[-1].data == f'"{word}"'

        assert watched.client.wait_for_result("i", PATIENCE) == ["one", "two", "three"]
        assert watched.sent == 0

    def test_cancellation(self, watch: Callable[..., Watched], collect: Any) -> None:
        """And with cancellations."""
        watched = watch()
        watched.client.start_orchestration("i", collect, 1)
        watched.until_idle()
        watched.client.cancel_instance("i", "enough")

        assert "enough" in str(watched.client.wait_for_orchestration("i", PATIENCE))
        assert watched.sent == 0

    def test_many(self, watch: Callable[..., Watched], echo: Any) -> None:
        """Some are handed over at once; if there are more, it is quicker to send them."""
        watched, most = watch(), _sending.MOST
        starts = watched.client.start_orchestrations(echo, {f"i{number}": number for number in range(most)})
        assert all(start.is_new for start in starts)
        assert watched.sent == 0
        watched.until_idle()
        watched.client.start_orchestrations(echo, {f"j{number}": number for number in range(most + 1)})

        assert watched.sent == 1
        results = [watched.client.wait_for_result(f"{name}{n}", PATIENCE) for name in "ij" for n in range(most)]
        assert results == [*range(most), *range(most)]

    def test_more_than_a_round(self, watch: Callable[..., Watched], echo: Any) -> None:
        """A runtime is not handed more than it would fetch for a round."""
        watched = watch(batch_size=2)
        watched.client.start_orchestrations(echo, {"a": 1, "b": 2, "c": 3})

        assert watched.sent == 1
        assert [watched.client.wait_for_result(name, PATIENCE) for name in "abc"] == [1, 2, 3]

    def test_many_of_which_some_exist(self, watch: Callable[..., Watched], echo: Any) -> None:
        """Of many, those that exist already are said to, and the others are started."""
        watched = watch()
        watched.client.start_orchestration("b", echo, 1)
        watched.client.wait_for_result("b", PATIENCE)
        watched.until_idle()
        starts = watched.client.start_orchestrations(echo, {"a": 2, "b": 2, "c": 2})

        assert starts == [Start("a", is_new=True), Start("b", is_new=False), Start("c", is_new=True)]
        assert [watched.client.wait_for_result(name, PATIENCE) for name in "abc"] == [2, 1, 2]

    def test_all_must_be_new(self, stage: Stage, watch: Callable[..., Watched], echo: Any) -> None:
        """Of several that must all be new, none is started if one is not."""
        watched = watch()
        assert watched.client.start_orchestration("b", echo, 1, if_exists="reject").is_new
        watched.client.wait_for_result("b", PATIENCE)
        watched.until_idle()
        for inputs in ({"b": 2}, {"a": 2, "b": 2}):
            with pytest.raises(InstanceAlreadyExists, match="'b'"):
                watched.client.start_orchestrations(echo, inputs, if_exists="reject")

        assert stage.provider.get_instance_info("a") is None


class TestGeneralWay:
    def test_no_runtime(self, stage: Stage, echo: Any) -> None:
        """Without a runtime in the process, messages wait in the queue."""
        stage.client.start_orchestration("i", echo, 1)

        assert stage.client.get_queue_depths().orchestrator_queue == 1
        stage.start()
        assert stage.result("i") == 1

    @pytest.mark.parametrize("options", [{"short_way_round": False}, {"orchestration_concurrency": 0}])
    def test_not_taken(self, stage: Stage, watch: Callable[..., Watched], echo: Any, options: dict[str, Any]) -> None:
        """A runtime without the short cuts, or one that runs no orchestrations, is handed nothing."""
        provider = FaultyProvider(stage.provider)
        stage.start(on=provider, **options)
        Client(provider).start_orchestration("i", echo, 1)

        assert provider.calls["start_instances"] == 1

    def test_not_registered(self, stage: Stage, watch: Callable[..., Watched], echo: Any) -> None:
        """What this runtime cannot run waits for one that can; so does an event for an instance that is not in memory."""
        watched = watch(registry=Registry(), unregistered_backoff=0.01)
        watched.client.start_orchestration("i", echo, 1)
        watched.until_idle()
        watched.client.raise_event("i", "anything")

        assert watched.sent == 2
        stage.start()
        assert stage.result("i") == 1

    def test_own_transaction(self, stage: Stage, watch: Callable[..., Watched], echo: Any) -> None:
        """What is started in the caller's transaction is not handed over."""
        watched = watch()
        engine = create_engine(stage.url)
        with engine.begin() as connection:
            assert watched.client.start_orchestration("i", echo, 1, connection=connection).is_new
            assert watched.sent == 1
        engine.dispose()

        assert watched.client.wait_for_result("i", PATIENCE) == 1

    def test_sent_in_own_transaction(self, stage: Stage, watch: Callable[..., Watched], collect: Any) -> None:
        """What is sent in the caller's transaction is not handed over either: if that is undone, nothing was sent."""
        watched = watch()
        watched.client.start_orchestration("i", collect, 1)
        watched.until_idle()
        before = watched.sent
        engine = create_engine(stage.url)
        with engine.connect() as connection:
            watched.client.enqueue_event("i", "words", "lost", connection=connection)
            watched.client.raise_event("i", "lost", connection=connection)
            watched.client.cancel_instance("i", "lost", connection=connection)
            connection.rollback()
        engine.dispose()
        assert watched.sent == before + 3

        watched.client.enqueue_event("i", "words", "kept")
        assert watched.client.wait_for_result("i", PATIENCE) == ["kept"]
        assert stage.kinds("i").count("ExternalEvent") == 0

    def test_other_door(self, stage: Stage, watch: Callable[..., Watched], echo: Any) -> None:
        """Who does not share the wrapper around the runtime's provider has no part in what it does."""
        watched = watch(Rule(Fail(), on="commit_turns", nth=1))

        assert stage.client.start_orchestration("i", echo, 1).is_new
        assert stage.result("i") == 1
        assert watched.runtime.metrics_snapshot().orch_dispatcher_items_fetched >= 1


class TestPatience:
    def test_blocked_code(
        self, stage: Stage, registry: Registry, watch: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Code that waits for its starter does not keep it waiting; the turn that was lost leaves nothing behind."""
        monkeypatch.setattr(_sending, "PATIENCE", 0.01)
        monkeypatch.setattr(offers, "REST", 3600.0)
        begun, returned = threading.Event(), threading.Event()

        @registry.activity
        def work(ctx: ActivityContext) -> str:
            return "done"

        @registry.orchestration
        def blocked(ctx: OrchestrationContext) -> Orchestration[str]:
            done = ctx.schedule_activity(work)
            begun.set()
            assert returned.wait(PATIENCE)
            return (yield from done)

        watched = watch(worker_concurrency=1)
        assert watched.client.start_orchestration("i", blocked).is_new
        assert begun.is_set()
        assert watched.provider.calls["start_instances"] == 1
        returned.set()

        assert watched.client.wait_for_result("i", PATIENCE) == "done"
        assert watched.runtime._worker._slots.promised == 0
        assert stage.kinds("i").count("OrchestrationStarted") == 1
        assert watched.client.start_orchestration("j", blocked).is_new
        assert watched.provider.calls["start_instances"] == 2


class TestOrder:
    def test_behind_what_waits(self, stage: Stage, watch: Callable[..., Watched], collect: Any) -> None:
        """An event does not overtake one that was sent before, and that the runtime may not have heard of yet."""
        watched = watch()
        watched.client.start_orchestration("i", collect, 20)
        engine = create_engine(stage.url)
        for number in range(10):
            watched.until_idle()
            with engine.begin() as connection:
                watched.client.enqueue_event("i", "words", 2 * number, connection=connection)
            watched.client.enqueue_event("i", "words", 2 * number + 1)
        engine.dispose()

        assert watched.client.wait_for_result("i", PATIENCE) == list(range(20))

    def test_start_that_is_on_its_way(self, stage: Stage, watch: Callable[..., Watched], echo: Any) -> None:
        """An id that somebody starts in a transaction of his own, not committed yet, is not started by another one."""
        committing = threading.Event()

        def tell(fault: Fault, call: ProviderCall) -> None:
            committing.set()

        watched = watch(Rule(Seen(), on="commit_turns"), on_fault=tell)
        engine = create_engine(stage.url)
        starts: list[Start] = []
        with engine.begin() as connection:
            assert stage.client.start_orchestration("i", echo, "first", connection=connection).is_new
            rival = threading.Thread(
                target=lambda: starts.append(watched.client.start_orchestration("i", echo, "second"))
            )
            rival.start()
            assert committing.wait(PATIENCE)
            if stage.schema is not None:
                # An SQLite database has one writer at a time; here others are not held up by that transaction.
                assert stage.run("other", echo, "other") == "other"
        rival.join(PATIENCE)
        engine.dispose()

        assert starts == [Start("i", is_new=False)]
        assert stage.result("i") == "first"


class TestFailures:
    def test_start_lost(self, stage: Stage, watch: Callable[..., Watched], echo: Any) -> None:
        """A start whose commit was lost from sight is asked for again: it is there once, whatever had happened."""
        for number, after_commit in enumerate((False, True)):
            watched = watch(Rule(LoseConnection(after_commit=after_commit), on="commit_turns", nth=1))
            start = watched.client.start_orchestration(f"i{number}", echo, 1)

            assert start == Start(f"i{number}", is_new=not after_commit)
            assert watched.client.wait_for_result(f"i{number}", PATIENCE) == 1
            assert stage.kinds(f"i{number}").count("OrchestrationStarted") == 1
            watched.runtime.shutdown()

    def test_start_lost_that_must_be_new(self, watch: Callable[..., Watched], echo: Any) -> None:
        """One that must be new is not asked for again: its starter is told that nobody knows."""
        watched = watch(Rule(LoseConnection(after_commit=True), on="commit_turns", nth=1))
        with pytest.raises(ProviderError, match=r"start_instances: .*may or may not have happened") as error:
            watched.client.start_orchestration("i", echo, 1, if_exists="reject")

        assert error.value.retryable
        assert watched.sent == 0

    @pytest.mark.parametrize("after_commit", [False, True])
    def test_event_lost(self, stage: Stage, watch: Callable[..., Watched], collect: Any, *, after_commit: bool) -> None:
        """An event whose commit was lost from sight is not sent again: its sender is told, and may."""
        watched = watch(Rule(LoseConnection(after_commit=after_commit), on="commit_turns", nth=2))
        watched.client.start_orchestration("i", collect, 2)
        watched.until_idle()
        with pytest.raises(ProviderError, match=r"enqueue: .*may or may not have happened") as error:
            watched.client.enqueue_event("i", "words", 1)
        assert error.value.retryable
        for _ in range(1 if after_commit else 2):
            watched.client.enqueue_event("i", "words", 1)

        assert watched.client.wait_for_result("i", PATIENCE) == [1, 1]
        assert len(stage.of_kind("i", e.QueueEventDelivered)) == 2

    def test_cannot_be_written(self, watch: Callable[..., Watched], collect: Any) -> None:
        """A turn that cannot be written at all has not happened: its message goes into the queue."""
        watched = watch(Rule(Fail(retryable=False), on="commit_turns", nth=2))
        watched.client.start_orchestration("i", collect, 1)
        watched.until_idle()
        watched.client.enqueue_event("i", "words", 1)

        assert watched.provider.calls["enqueue"] == 1
        assert watched.client.wait_for_result("i", PATIENCE) == [1]

    def test_bug_in_the_provider(self, stage: Stage, watch: Callable[..., Watched], collect: Any) -> None:
        """What ends a commit in no way that was agreed on leaves open what has happened, and nobody waiting."""
        watched = watch(Rule(Bug(), on="commit_turns", nth=2))
        watched.client.start_orchestration("i", collect, 1)
        watched.until_idle()
        with pytest.raises(ProviderError, match=r"enqueue: .*a bug.*may or may not have happened"):
            watched.client.enqueue_event("i", "words", 1)

        assert watched.client.wait_for_result("i", PATIENCE) == [1]
        assert len(stage.of_kind("i", e.QueueEventDelivered)) == 1

    def test_bug_in_the_engine(self, watch: Callable[..., Watched], echo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """A turn that trips the engine is tried the general way."""

        def trip(*_: object) -> None:
            msg = "a bug"
            raise RuntimeError(msg)

        watched = watch()
        monkeypatch.setattr(watched.runtime._dispatcher._turns, "hand_over", trip)
        assert watched.client.start_orchestration("i", echo, 1).is_new

        assert watched.client.wait_for_result("i", PATIENCE) == 1
        assert watched.sent == 1
