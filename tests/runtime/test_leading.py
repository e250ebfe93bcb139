"""Rounds in the threads of activities: whoever ends alone goes on, and no two threads ever run a round at a time."""

from __future__ import annotations

import sys
import threading

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal, getcontext
from functools import partial
from itertools import count
from typing import Any

import pytest

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions
from duroxide._runtime.commits import Commits, SentRound
from duroxide._runtime.dispatcher import Dispatcher
from duroxide._runtime.metrics import Metrics
from duroxide._runtime.turns import Round
from duroxide.providers.sql import SqlProvider

from ..workload.idling import first_look, until_idle
from .stage import PATIENCE, Stage, eventually


STEPS = 5


@pytest.fixture
def runtime_options() -> RuntimeOptions:
    """Nobody wakes without a reason."""
    return RuntimeOptions(poll_interval=3600.0)


@pytest.fixture
def until_free(stage: Stage, nobody_looks_again: None) -> Callable[[], None]:
    """Waits until the dispatcher of the stage's first runtime waits."""
    begun = first_look(stage.provider.wakeups)

    def wait() -> None:
        (runtime,) = stage.runtimes
        until_idle(runtime, begun)
        eventually(lambda: not runtime._dispatcher._baton.locked())

    return wait


@pytest.fixture
def ran() -> list[str]:
    """The threads that activities ran in."""
    return []


@pytest.fixture
def turns() -> list[str]:
    """The threads that turns with their outcomes ran in."""
    return []


@pytest.fixture
def chain(registry: Registry, until_free: Callable[[], None], ran: list[str], turns: list[str]) -> Any:
    """Runs some activities, one after the other, each of which ends while the dispatcher waits."""

    @registry.activity
    def step(ctx: ActivityContext, number: int) -> int:
        ran.append(threading.current_thread().name)
        until_free()
        return number + 1

    @registry.orchestration
    def chain(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
        number = 0
        for _ in range(steps):
            number = yield from ctx.schedule_activity(step, number)
            if not ctx.is_replaying:
                turns.append(threading.current_thread().name)
        return number

    return chain


def is_of_an_activity(name: str) -> bool:
    """Whether a thread runs activities."""
    return name.startswith("duroxide-activity")


def test_one_thread_does_it_all(stage: Stage, chain: Any, ran: list[str], turns: list[str]) -> None:
    """A chain goes on in the thread of its activities: its turns are run there, and nobody else is woken for the next."""
    stage.start()

    assert STEPS == stage.run("a", chain, STEPS)
    assert [ran[0]] * STEPS == ran == turns
    assert is_of_an_activity(ran[0])


def test_ended_beside_another(
    stage: Stage, registry: Registry, until_free: Callable[[], None], turns: list[str]
) -> None:
    """Who ends while others run leaves the round to the dispatcher, who waits for more of them if it is busy."""
    first_is_over = threading.Event()

    @registry.activity
    def part(ctx: ActivityContext, is_first: bool) -> None:
        if is_first:
            until_free()
        else:
            assert first_is_over.wait(PATIENCE)

    @registry.orchestration
    def both(ctx: OrchestrationContext) -> Orchestration[None]:
        first, second = ctx.schedule_activity(part, True), ctx.schedule_activity(part, False)
        yield from first
        turns.append(threading.current_thread().name)
        first_is_over.set()
        yield from second

    stage.start()
    stage.run("a", both)

    assert turns
    assert not is_of_an_activity(turns[0])


def test_event_loop(stage: Stage, registry: Registry, until_free: Callable[[], None], turns: list[str]) -> None:
    """The thread of an event loop never runs a round: other activities would wait for it."""

    @registry.activity
    async def step(ctx: ActivityContext) -> None:
        until_free()

    @registry.orchestration
    def alone(ctx: OrchestrationContext) -> Orchestration[None]:
        yield from ctx.schedule_activity(step)
        turns.append(threading.current_thread().name)

    stage.start()
    stage.run("a", alone)

    assert ["duroxide-dispatch"] == [name.rpartition("-")[0] for name in turns]


def test_what_an_activity_has_set(
    stage: Stage, registry: Registry, until_free: Callable[[], None], turns: list[str]
) -> None:
    """What an activity sets for its thread alone does not reach orchestration code that runs there."""

    @registry.activity
    def careless(ctx: ActivityContext) -> None:
        getcontext().prec = 2
        until_free()

    @registry.orchestration
    def exact(ctx: OrchestrationContext) -> Orchestration[str]:
        yield from ctx.schedule_activity(careless)
        if not ctx.is_replaying:
            turns.append(threading.current_thread().name)
        return str(Decimal(1) / Decimal(3))

    stage.start()

    assert len("0.") + 28 == len(stage.run("a", exact))
    assert is_of_an_activity(turns[0])


def test_what_an_activity_has_set_for_the_next(stage: Stage, registry: Registry) -> None:
    """Nor does it reach the next activity in that thread, or in the event loop."""

    @registry.activity
    def careless(ctx: ActivityContext) -> None:
        getcontext().prec = 2

    @registry.activity
    def careful(ctx: ActivityContext) -> int:
        return getcontext().prec

    @registry.activity
    async def careful_too(ctx: ActivityContext) -> int:
        return getcontext().prec

    @registry.orchestration
    def several(ctx: OrchestrationContext) -> Orchestration[list[int]]:
        yield from ctx.schedule_activity(careless)
        first = yield from ctx.schedule_activity(careful)
        return [first, (yield from ctx.schedule_activity(careful_too))]

    stage.start(worker_concurrency=1)

    assert stage.run("a", several) == [28, 28]


def test_round_fails(
    stage: Stage, chain: Any, turns: list[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a round in an activity's thread could not do, the dispatcher does."""
    calls, send = count(1), Commits.send

    def fail_once(commits: Commits, round_: Round) -> SentRound:
        if next(calls) == 2:
            raise RuntimeError("a bug")
        return send(commits, round_)

    monkeypatch.setattr(Commits, "send", fail_once)
    stage.start()
    stage.client.start_orchestration("a", chain, STEPS)

    assert STEPS == stage.result("a")
    assert "a round failed" in caplog.text


@pytest.fixture
def hasty_switches() -> Iterator[None]:
    """Threads are interrupted at each other bytecode."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def test_one_round_at_a_time(
    stage: Stage, registry: Registry, monkeypatch: pytest.MonkeyPatch, hasty_switches: None
) -> None:
    """However clients, timers and activities come together: no two threads run a round at the same time."""
    at_it, by, overlaps = threading.Lock(), set[bool](), []
    run_round = Dispatcher._round

    def watched(dispatcher: Dispatcher) -> int:
        if not at_it.acquire(blocking=False):
            overlaps.append(threading.current_thread().name)
        try:
            by.add(is_of_an_activity(threading.current_thread().name))
            return run_round(dispatcher)
        finally:
            at_it.release()

    monkeypatch.setattr(Dispatcher, "_round", watched)

    @registry.activity
    def add(ctx: ActivityContext, number: int) -> int:
        return number + 1

    @registry.orchestration
    def mixed(ctx: OrchestrationContext, steps: int) -> Orchestration[int]:
        number = 0
        for _ in range(steps):
            number = yield from ctx.schedule_activity(add, number)
            yield from ctx.schedule_timer(0.001)
        return number

    stage.start(worker_concurrency=2)
    with ThreadPoolExecutor(3) as clients:
        for batch in range(100):
            results = clients.map(lambda number, to=f"i{batch}": stage.run(f"{to}-{number}", mixed, STEPS), range(30))
            assert [STEPS] * 30 == list(results)
            if {True, False} == by:  # as a rule after the first batch
                break
    assert {True, False} == by
    assert not overlaps


def test_dispatcher_goes_first() -> None:
    """A chain that goes on and on lets the dispatcher, which has been woken, have the next round."""
    with SqlProvider.in_memory() as provider:
        dispatcher = Dispatcher(provider, Registry(), RuntimeOptions(), runtime_id="one", metrics=Metrics())
        rounds: list[str] = []
        dispatcher._run_round = partial(rounds.append, "round")  # type: ignore[method-assign]  # there is nothing to run
        dispatcher._wants_baton = True
        dispatcher.lead()

        assert not rounds
        assert dispatcher._bell.silence()

        dispatcher._wants_baton = False
        dispatcher.lead()

        assert ["round"] == rounds
        assert not dispatcher._baton.locked()


def test_nobody_leads_after_the_end(stage: Stage, registry: Registry, turns: list[str]) -> None:
    """When a runtime has been shut down, an activity that ends late runs no round."""
    begun, is_over = threading.Event(), threading.Event()

    @registry.activity
    def endless(ctx: ActivityContext) -> None:
        begun.set()
        assert is_over.wait(PATIENCE)

    @registry.orchestration
    def waiting(ctx: OrchestrationContext) -> Orchestration[None]:
        yield from ctx.schedule_activity(endless)
        turns.append(threading.current_thread().name)

    runtime: Runtime = stage.start(worker_lock_timeout=1.0)
    stage.client.start_orchestration("a", waiting)
    assert begun.wait(PATIENCE)
    runtime.shutdown(timeout=0.01)
    threads = [each for each in threading.enumerate() if is_of_an_activity(each.name)]
    is_over.set()
    for thread in threads:
        thread.join(PATIENCE)

    assert threads
    assert not turns
