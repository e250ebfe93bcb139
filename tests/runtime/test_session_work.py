"""Sessions: activities that belong together run where the first of them ran, until that place is gone."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import ActivityContext, InvalidInput, Orchestration, OrchestrationContext, Registry, RuntimeOptions
from duroxide.providers.contract import SessionClaim, TagFilter

from .stage import PATIENCE, Stage, eventually


@pytest.fixture
def where(registry: Registry) -> Any:
    """An activity that tells its session and its worker."""

    @registry.activity
    def where(ctx: ActivityContext) -> list[str | None]:
        return [ctx.session_id, ctx.worker_id]

    return where


class TestAffinity:
    def test_context(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[386] An activity sees its session; one without sees none."""

        @registry.orchestration
        def both(ctx: OrchestrationContext) -> Orchestration[Any]:
            first = yield from ctx.schedule_activity(where, session_id="sess")
            return [first[0], (yield from ctx.schedule_activity(where))[0]]

        stage.start()

        assert stage.run("both", both) == ["sess", None]

    def test_one_worker(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[386] [395] With several runtimes, of different capacity, all of a session runs on one, and all of it is run."""

        @registry.orchestration
        def visit(ctx: OrchestrationContext) -> Orchestration[Any]:
            places = []
            for _ in range(3):
                pair = [ctx.schedule_activity(where, session_id=ctx.instance_id) for _ in range(2)]
                places += [place for _, place in (yield from ctx.join(*pair))]
                yield from ctx.schedule_timer(0)
            return sorted(set(places))

        stage.start(worker_node_id="one", max_sessions_per_runtime=2, session_lock_timeout=5)
        stage.start(on=stage.open(), worker_node_id="two", max_sessions_per_runtime=5)
        names = [f"session {number}" for number in range(8)]
        for name in names:
            stage.client.start_orchestration(name, visit)

        for name in names:
            (place,) = stage.result(name)
            assert place in {"one", "two"}

    def test_in_memory_state(self, stage: Stage, registry: Registry) -> None:
        """[386] [394] What an activity leaves in memory, the session's next one finds, over continue-as-new and versions."""
        models: dict[str, dict[str | None, list[int]]] = {"one": {}, "two": {}}

        @registry.activity
        def learn(ctx: ActivityContext, number: int) -> list[int]:
            model = models[ctx.worker_id].setdefault(ctx.session_id, [])
            model.append(number)
            return list(model)

        @registry.orchestration(name="train")
        def first(ctx: OrchestrationContext) -> Orchestration[Any]:
            for number in range(2):
                yield from ctx.schedule_activity(learn, number, session_id="model")
            yield ctx.continue_as_new(version="2.0.0")

        @registry.orchestration(name="train", version="2.0.0")
        def second(ctx: OrchestrationContext) -> Orchestration[Any]:
            yield from ctx.schedule_timer(0)
            return (yield from ctx.schedule_activity(learn, 2, session_id="model"))

        stage.start(worker_node_id="one")
        stage.start(on=stage.open(), worker_node_id="two")
        stage.client.start_orchestration("train", "train", version="1.0.0")

        assert stage.result("train") == [0, 1, 2]


class TestCapacity:
    def test_side_by_side(self, stage: Stage, registry: Registry) -> None:
        """[388] Two activities of one session run at the same time, if there are slots."""
        barrier = threading.Barrier(2, timeout=PATIENCE)

        @registry.activity
        def meet(ctx: ActivityContext) -> bool:
            barrier.wait()
            return True

        @registry.orchestration
        def both(ctx: OrchestrationContext) -> Orchestration[list[bool]]:
            return (yield from ctx.join(*(ctx.schedule_activity(meet, session_id="sess") for _ in range(2))))

        stage.start(worker_node_id="node", worker_concurrency=2, max_sessions_per_runtime=1)

        assert stage.run("both", both) == [True, True]

    def test_one_at_a_time(self, stage: Stage, registry: Registry) -> None:
        """[390] [391] With room for one session, another waits until it is done; work without one does not wait."""
        lock, running, most = threading.Lock(), [0], [0]

        @registry.activity
        def work(ctx: ActivityContext) -> None:
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            ctx.wait_cancelled(0.005)
            with lock:
                running[0] -= 1

        @registry.activity
        def free(ctx: ActivityContext) -> str:
            return "free"

        @registry.orchestration
        def many(ctx: OrchestrationContext) -> Orchestration[Any]:
            sessions = [ctx.schedule_activity(work, session_id=f"sess {number}") for number in range(4)]
            first = yield from ctx.schedule_activity(free)
            yield from ctx.join(*sessions)
            return first

        stage.start(max_sessions_per_runtime=1)

        assert stage.run("many", many) == "free"
        assert most == [1]

    def test_no_room_at_all(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[391] A runtime without room for sessions leaves them to others."""

        @registry.orchestration
        def one(ctx: OrchestrationContext) -> Orchestration[Any]:
            return (yield from ctx.schedule_activity(where, session_id="sess"))

        stage.start(max_sessions_per_runtime=0, worker_node_id="none")
        stage.start(on=stage.open(), worker_node_id="some")

        assert stage.run("one", one) == ["sess", "some"]

    def test_options(self) -> None:
        """[392] An idle time-out that lapses between two renewals is refused, naming the option."""
        with pytest.raises(InvalidInput, match="session_idle_timeout"):
            RuntimeOptions(session_idle_timeout=1, worker_lock_timeout=30)


class TestTakeover:
    def test_after_a_crash(self, held_stage: Stage, registry: Registry, where: Any) -> None:
        """[582] [590] When its owner is dead, and its leases have expired, another worker takes a session over."""

        @registry.orchestration
        def one(ctx: OrchestrationContext) -> Orchestration[Any]:
            first = yield from ctx.schedule_activity(where, session_id="sess")
            return [first, (yield from ctx.schedule_activity(where, session_id="sess"))]

        stage, clock = held_stage, held_stage.clock
        assert clock is not None
        stage.start(worker_concurrency=0)
        stage.client.start_orchestration("one", one)
        claim = SessionClaim("dead", 1000)
        eventually(lambda: stage.provider.fetch_activities(1, 1000, tags=TagFilter(), session=claim))
        clock.advance(999)
        assert not stage.provider.fetch_activities(1, 1000, tags=TagFilter(), session=SessionClaim("heir", 1000))
        clock.advance(1)
        stage.start(on=stage.open(), worker_node_id="heir", orchestration_concurrency=0)

        assert stage.result("one") == [["sess", "heir"]] * 2

    def test_at_shutdown(self, stage: Stage, registry: Registry, where: Any) -> None:
        """[390] A runtime that stops in peace leaves its sessions to others at once."""

        @registry.orchestration
        def two(ctx: OrchestrationContext) -> Orchestration[Any]:
            yield from ctx.schedule_activity(where, session_id="sess")
            ctx.set_custom_status("half")
            yield from ctx.schedule_wait("go on")
            return (yield from ctx.schedule_activity(where, session_id="sess"))

        first = stage.start()
        stage.client.start_orchestration("two", two)
        stage.until_status("two")
        first.shutdown()
        stage.client.raise_event("two", "go on")
        stage.start(worker_node_id="heir")

        assert stage.result("two") == ["sess", "heir"]
