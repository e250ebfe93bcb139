"""The simulator: virtual time, chosen order, fakes, inputs, and errors that help."""

from __future__ import annotations

import asyncio

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import attrs
import pytest

from duroxide import (
    ActivityContext,
    Failed,
    Fixed,
    InstanceAlreadyExists,
    InvalidInput,
    NondeterminismError,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    RetryPolicy,
    Running,
    RuntimeOptions,
)
from duroxide._core.events import ActivityFailed, Event, OrchestrationStarted
from duroxide._core.verdicts import Turn as Turn_
from duroxide.testing import (
    ANY_TIME,
    Crash,
    Death,
    Evict,
    Faults,
    Finish,
    Hang,
    Outage,
    Pass,
    Simulator,
    StillRunning,
    Turn,
    Wake,
)
from duroxide.testing.simulation.replaying import Replays

from . import primitives


registry = Registry()


@attrs.frozen
class Order:
    id: str
    amount: int


@registry.activity
def charge(ctx: ActivityContext, order: Order) -> str:
    raise AssertionError("the real one talks to the bank")


@registry.activity
def ship(ctx: ActivityContext, what: str) -> str:
    return f"parcel of {what}"


@registry.orchestration
def fulfil(ctx: OrchestrationContext, order: Order) -> Orchestration[str]:
    receipt = yield from ctx.schedule_activity(charge, order, retry=RetryPolicy(max_attempts=5, backoff=Fixed(60)))
    winner = yield from ctx.select(ctx.schedule_wait("approved"), ctx.schedule_timer(timedelta(days=30)))
    if winner.index == 1:
        raise TimeoutError("nobody approved")
    yield from ctx.schedule_activity(ship, order.id)
    return receipt


ORDER = Order("17", 5)

runaways = Registry()


@runaways.orchestration
def spins(ctx: OrchestrationContext, rounds: int) -> Orchestration[None]:
    while rounds:
        yield from ctx.schedule_timer(0)
        rounds -= 1


@pytest.fixture
def sim() -> Iterator[Simulator]:
    """A simulation in which charging always works."""
    with Simulator(registry, activities={"charge": lambda ctx, order: f"receipt of {order.amount}"}) as simulator:
        yield simulator


class TestTime:
    def test_timers_take_no_time(self, sim: Simulator) -> None:
        """A month passes at once, and the clock says so."""
        sim.start("o", fulfil, ORDER)

        assert () == sim.run()
        assert timedelta(days=30) == sim.elapsed
        assert datetime(2024, 1, 31, tzinfo=UTC) == sim.now
        with pytest.raises(OrchestrationFailed, match="nobody approved"):
            sim.result("o")

    def test_retries(self, sim: Simulator) -> None:
        """The pauses of a retry policy pass in virtual time, and each attempt is a call."""

        def flaky(ctx: ActivityContext, order: Order) -> str:
            if ctx.attempt < 4:
                raise ConnectionError("no line")
            return "receipt"

        sim.fake(charge, flaky)
        sim.start("o", fulfil, ORDER)
        sim.run(until=lambda sim: len(sim.calls(charge)) == 4)

        assert [1, 2, 3, 4] == [call.attempt for call in sim.calls(charge)]
        assert timedelta(minutes=3) == sim.elapsed

    def test_activities_may_take_time(self) -> None:
        """An activity that takes longer than a timer loses the race, whatever its lock says, and learns of it."""
        with Simulator(primitives.registry) as sim:
            sim.fake(primitives.double, takes=timedelta(seconds=50))
            sim.start("r", primitives.races)
            sim.run()

            assert [1, 1] == sim.result("r")
            assert [True, False] == [call.was_cancelled for call in sim.calls("double")]

    def test_long_activities_keep_their_locks(self, sim: Simulator) -> None:
        """An activity that takes a day runs once."""
        sim.fake(charge, lambda ctx, order: "receipt", takes=timedelta(days=1))
        sim.start("o", fulfil, ORDER)
        sim.raise_event("o", "approved", at=timedelta(days=2))
        sim.run()

        assert "receipt" == sim.result("o")
        assert 1 == len(sim.calls(charge))

    def test_run_for_a_while(self, sim: Simulator) -> None:
        """With a duration, exactly so much time passes."""
        sim.start("o", fulfil, ORDER)
        (waiting,) = sim.run(until=timedelta(hours=3))

        assert timedelta(hours=3) == sim.elapsed
        assert "'o' waits for event 'approved', the timer of 30 d" == str(waiting)
        assert isinstance(sim.status("o"), Running)

    def test_nothing_real_passes(self) -> None:
        """Two simulations of the same see the same time and make the same steps."""

        def traced() -> list[str]:
            with Simulator(primitives.registry) as simulator:
                simulator.start("k", primitives.keeps)
                simulator.run()
                return [*map(str, simulator.trace), repr(simulator.history("k"))]

        assert traced() == traced()


class TestInputs:
    def test_at_a_time(self, sim: Simulator) -> None:
        """What is sent at a virtual time arrives then."""
        sim.start("o", fulfil, ORDER, at=timedelta(hours=1))
        sim.raise_event("o", "approved", at=timedelta(hours=3))
        sim.run()

        assert "receipt of 5" == sim.result("o")
        assert timedelta(hours=3) == sim.elapsed
        assert [] == sim.audit()

    def test_now(self, sim: Simulator) -> None:
        """What is sent between two runs is there for the second."""
        sim.start("o", fulfil, ORDER)
        sim.run(until=0)
        sim.raise_event("o", "approved")
        sim.run()

        assert ["17"] == [call.input for call in sim.calls(ship)]

    def test_queues(self) -> None:
        """Messages of a queue come in order."""
        with Simulator(primitives.registry) as sim:
            sim.start("q", primitives.reads_queues)
            for name, data in [("b", 1), ("a", 2), ("a", 3)]:
                sim.enqueue_event("q", name, data)
            sim.run()

            assert [2, 1, 3] == sim.result("q")

    def test_cancel(self, sim: Simulator) -> None:
        """A cancellation ends an instance."""
        sim.start("o", fulfil, ORDER)
        sim.cancel_instance("o", "changed my mind", at=60)
        sim.run()
        status = sim.status("o")

        assert isinstance(status, Failed)
        assert status.is_cancelled
        assert timedelta(minutes=1) == sim.elapsed

    def test_any_time(self, sim: Simulator) -> None:
        """In a simple run, what may come at any time comes when there is nothing else to do, before time passes."""
        sim.start("o", fulfil, ORDER)
        sim.raise_event("o", "approved", at=ANY_TIME)
        sim.run()

        assert "receipt of 5" == sim.result("o")
        assert timedelta() == sim.elapsed


class TestFakes:
    def test_are_typed_like_the_real_one(self, sim: Simulator) -> None:
        """A lambda gets the class that the real activity's signature names."""
        sim.start("o", fulfil, ORDER)
        sim.run()

        assert [ORDER] == [call.input for call in sim.calls(charge)]

    def test_async_and_built_in(self) -> None:
        """Async activities and those that the library brings run as well."""
        with Simulator(primitives.registry) as sim:
            sim.start("c", primitives.cancels)
            sim.start("k", primitives.keeps)
            sim.run()

            assert "went on" == sim.result("c")
            assert [["b", "c"], 2] == sim.result("k")

    @pytest.mark.parametrize("name", ["double", "later"])
    def test_must_not_be_called(self, name: str) -> None:
        """What a fake raises to end the test does, though the orchestration catches every failure."""

        def fails(ctx: ActivityContext, _: object) -> None:
            pytest.fail("it was called")

        async def fails_later(ctx: ActivityContext, _: object) -> None:
            fails(ctx, _)

        with Simulator(primitives.registry) as sim:
            sim.fake(name, {"double": fails, "later": fails_later}[name])
            sim.start("c", {"double": primitives.joins, "later": primitives.cancels}[name])
            with pytest.raises(pytest.fail.Exception, match="it was called"):
                sim.run()

    @pytest.mark.parametrize(
        ("ending", "raised"),
        [
            (KeyboardInterrupt(), KeyboardInterrupt),
            (pytest.fail.Exception("it took too long"), OrchestrationFailed),
            (SystemExit(1), None),
        ],
    )
    def test_ended_in_orchestration_code(self, ending: BaseException, raised: type[BaseException] | None) -> None:
        """Ctrl-C and the time-out of a test reach the test also from a loop of the orchestration's."""
        stopped = Registry()

        @stopped.orchestration
        def loops(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(1)
            raise ending

        with Simulator(stopped) as sim:
            sim.start("l", loops)
            with nullcontext() if raised is None else pytest.raises(raised):
                sim.run()

            assert isinstance(sim.status("l"), Failed)

    def test_async_in_an_event_loop(self) -> None:
        """Async activities run also where a loop is running, as in a notebook."""

        async def notebook() -> object:
            with Simulator(primitives.registry) as sim:
                sim.start("c", primitives.cancels)
                sim.run()
                return sim.result("c")

        assert "went on" == asyncio.run(notebook())

    def test_async_that_fails(self) -> None:
        """What an async activity raises has no cause that is ours."""

        async def fails(ctx: ActivityContext, _: str) -> None:
            raise ValueError("no")

        with Simulator(primitives.registry) as sim:
            sim.fake("later", fails)
            sim.start("c", primitives.cancels)
            sim.run()
            (*_, failed, _) = (event for event in sim.history("c") if not isinstance(event, OrchestrationStarted))

            assert isinstance(failed, ActivityFailed)
            assert ("ValueError", None) == (failed.details.type, failed.details.cause)

    def test_replaced(self, sim: Simulator) -> None:
        """A fake that is put in place before the activity runs is what runs, also if it was scheduled before."""
        sim.start("o", fulfil, ORDER)
        sim.step()
        sim.fake(charge, lambda ctx, order: "receipt of the new one")

        assert 'charge of o runs, and returns "receipt of the new one"' == sim.step().text

    def test_clients_in_activities(self) -> None:
        """An activity's client talks to the simulated instances."""
        with Simulator(primitives.registry) as sim:
            sim.start("d", primitives.detaches)
            sim.run()

            assert "reporter" == sim.result("d")
            assert ["d", "reporter"] == sim.instances

    def test_unknown(self, sim: Simulator) -> None:
        """A fake for nothing is a mistake, and the message says which names there are."""
        with pytest.raises(InvalidInput, match=r"no activity 'chrage' .* which knows 'charge', 'ship'\. Correct"):
            sim.fake("chrage", lambda ctx: None)

    def test_missing(self) -> None:
        """An orchestration that calls what is not registered stops the simulation, instead of waiting for a worker."""
        lonely = Registry()

        @lonely.orchestration
        def calls_nobody(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_activity("nobody")

        with Simulator(lonely) as sim:
            sim.start("o", calls_nobody)
            with pytest.raises(InvalidInput, match=r"no activity 'nobody' .* which knows nothing"):
                sim.run()


class TestMistakes:
    def test_unknown_orchestration(self, sim: Simulator) -> None:
        """What is not registered cannot be started."""
        with pytest.raises(InvalidInput, match=r"no orchestration 'fullfil' .* which knows 'fulfil'"):
            sim.start("o", "fullfil")

    def test_unknown_instance(self, sim: Simulator) -> None:
        """An event for nobody is a mistake of the test, when it arrives."""
        with pytest.raises(InvalidInput, match="event 'x' for 'o': there is no such instance at 0 s; there is nothing"):
            sim.raise_event("o", "x")
        with pytest.raises(InvalidInput, match="the result of 'o': there is no such instance"):
            sim.result("o")

    def test_started_twice(self, sim: Simulator) -> None:
        """An id is used once."""
        sim.start("o", fulfil, ORDER)
        with pytest.raises(InstanceAlreadyExists, match="instance 'o' already exists"):
            sim.start("o", fulfil, ORDER)

    def test_no_result_yet(self, sim: Simulator) -> None:
        """Who asks for a result too early is told what is waited for."""
        sim.start("o", fulfil, ORDER)
        sim.run(until=timedelta(days=1))
        with pytest.raises(StillRunning, match=r"'o' has no result yet(.|\n)*'o' waits for event 'approved'"):
            sim.result("o")

    def test_never_true(self) -> None:
        """A run that cannot reach what it is to reach says what each instance waits for."""
        with Simulator(primitives.registry) as sim:
            sim.start("w", primitives.waits)
            with pytest.raises(StillRunning, match=r"did not come true(.|\n)*'w' waits for event 'never'"):
                sim.run(until=lambda sim: False)

    def test_options_of_a_worker(self) -> None:
        """With the options of a host that runs activities only, or nothing, everything is simulated all the same."""
        options = RuntimeOptions(orchestration_concurrency=0, worker_concurrency=0)
        with Simulator(primitives.registry, options=options) as sim:
            sim.start("s", primitives.sequence)
            sim.run()

            assert 8 == sim.result("s")

    def test_without_end(self) -> None:
        """An orchestration without end does not hang the test."""
        endless = Registry()

        @endless.orchestration
        def forever(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(60)
            yield from ctx.continue_as_new()

        with Simulator(endless) as sim:
            sim.start("f", forever)
            with pytest.raises(StillRunning, match="no end after 100 steps, in which 33 min of virtual time passed"):
                sim.run(max_steps=100)
            sim.run(until=timedelta(hours=1))

    @pytest.mark.parametrize(
        ("until", "remedy"), [(None, r"stop before: run\(until=…\)"), (3600, "let it wait for a timer that takes")]
    )
    def test_runaway(self, until: int | None, remedy: str) -> None:
        """A loop in which no time passes is stopped, and the message says whose it is, and what to do."""
        with Simulator(runaways) as sim:
            sim.start("quiet", spins, 3)
            sim.start("r", spins, -1)
            with pytest.raises(
                StillRunning, match=f"no end after 60 steps, in which 0 s .*; 5. of them were turns of 'r'.*{remedy}"
            ):
                sim.run(until, max_steps=60)

    def test_between_two_executions(self) -> None:
        """An instance that is about to begin its next execution waits for that."""
        with Simulator(primitives.registry) as sim:
            sim.start("c", primitives.continues)
            sim.enqueue_event("c", "work", "x")
            sim.step()

            assert ["'c' waits for its next execution"] == [str(each) for each in sim.waiting()]

    def test_waiting_for_many(self) -> None:
        """What is waited for many times is told once."""
        with Simulator(primitives.registry) as sim:
            sim.start("j", primitives.joins)
            sim.step()

            assert "activity 'double' (3 times), the timer of 10 s" == sim.waiting()[0].waits_for

    @pytest.mark.parametrize("timeout", [None, 0.5])
    def test_waiting_without_end(self, timeout: float | None) -> None:
        """An activity that would wait for ever in the only thread there is fails, and says why."""
        stuck = Registry()

        @stuck.activity
        def waits(ctx: ActivityContext) -> None:
            while not ctx.wait_cancelled(timeout):
                pass

        @stuck.orchestration
        def asks(ctx: OrchestrationContext) -> Orchestration[None]:
            return (yield from ctx.schedule_activity(waits))

        with Simulator(stuck) as sim:
            sim.start("s", asks)
            sim.run()
            with pytest.raises(OrchestrationFailed, match="nothing happens in a simulation while an activity runs"):
                sim.result("s")

    def test_impossible_step(self, sim: Simulator) -> None:
        """A step that cannot happen is refused, with those that can."""
        sim.start("o", fulfil, ORDER)
        with pytest.raises(InvalidInput, match=r"cannot happen now\. What can:\n  Turn\(instance_id='o'"):
            sim.step(Crash())

    @pytest.mark.parametrize(
        ("wrong", "reason"),
        [
            (lambda: Simulator(registry, activities=[charge]), "activities is .*give a dict"),  # type: ignore[arg-type]
            (lambda: Simulator(registry).enabled(Faults.none), "faults is .*give Faults"),  # type: ignore[arg-type]
            (lambda: Simulator(registry, options={}), "options is {}: give RuntimeOptions"),  # type: ignore[arg-type]
        ],
    )
    def test_wrong_options(self, wrong: Callable[[], object], reason: str) -> None:
        """What an option cannot be is refused by its name."""
        with pytest.raises(InvalidInput, match=reason):
            wrong()

    def test_no_registry(self) -> None:
        """A Simulator wants a registry."""
        with pytest.raises(InvalidInput, match=r"pass a duroxide\.Registry"):
            Simulator("sqlite://")  # type: ignore[arg-type]


class TestSteps:
    def test_one_by_one(self, sim: Simulator) -> None:
        """Steps are values: they can be listed, chosen, and made."""
        sim.start("o", fulfil, ORDER)

        assert (Turn("o"),) == sim.enabled()
        sim.step()
        (finish,) = sim.enabled()
        assert isinstance(finish, Finish)
        assert "charge" == finish.name
        assert 'charge of o runs, and returns "receipt of 5"' == sim.step(finish).text

    def test_chosen_order(self) -> None:
        """Which activity completes first is the test's choice."""
        with Simulator(primitives.registry) as sim:
            sim.start("s", primitives.in_sessions)
            sim.run(choose=lambda steps: steps[-1])

            assert [1, 0, 5] == [call.input for call in sim.calls("double")]
            assert [0, 2, 10] == sim.result("s")

    def test_dies_before_the_commit(self, sim: Simulator) -> None:
        """What was not committed did not happen: the turn runs again when the lock has expired."""
        sim.start("o", fulfil, ORDER)
        sim.step(Turn("o", Death.BEFORE_COMMIT))

        assert "o" not in sim.instances
        sim.run(until=lambda sim: bool(sim.calls(charge)))
        assert timedelta(seconds=5) == sim.elapsed

    def test_dies_after_the_commit(self, sim: Simulator) -> None:
        """What was committed has happened: the activities that were claimed run when their locks have expired."""
        sim.start("o", fulfil, ORDER)
        sim.step(Turn("o", Death.AFTER_COMMIT))

        assert "o" in sim.instances
        sim.run(until=lambda sim: bool(sim.calls(charge)))
        assert timedelta(seconds=30) == sim.elapsed

    @pytest.mark.parametrize(("outage", "runs"), [(Outage.BEFORE_COMMIT, 1), (Outage.AFTER_COMMIT, 1)])
    def test_outages(self, sim: Simulator, outage: Outage, runs: int) -> None:
        """A store that fails in a commit, having written or not, costs no time and loses nothing."""
        sim.start("o", fulfil, ORDER)
        sim.step(Turn("o", outage))
        sim.step(Turn("o")) if outage is Outage.BEFORE_COMMIT else None
        sim.raise_event("o", "approved", at=1)
        sim.run()

        assert runs == len(sim.calls(charge))
        assert timedelta(seconds=1) == sim.elapsed
        assert "receipt of 5" == sim.result("o")
        assert [] == sim.audit()

    def test_an_outcome_is_lost(self, sim: Simulator) -> None:
        """An activity whose outcome died with its process runs again."""
        sim.start("o", fulfil, ORDER)
        sim.step()
        sim.step()
        crashed = sim.step(Crash())
        sim.raise_event("o", "approved", at=timedelta(hours=1))
        sim.run()

        assert "! 0 s: the process dies, and another one starts (an outcome for o was not written down)" == str(crashed)
        assert 2 == len(sim.calls(charge))
        assert 1 == len({call.key for call in sim.calls(charge)})
        assert "receipt of 5" == sim.result("o")

    def test_a_late_completion_is_dropped(self, sim: Simulator) -> None:
        """A process that hung and wakes up when another has taken over finds its result unwanted."""
        sim.start("o", fulfil, ORDER)
        sim.step()
        sim.step(Hang())
        sim.run(until=lambda sim: len(sim.history("o")) > 3)
        (late,) = (step for step in sim.enabled(Faults()) if isinstance(step, Finish) and step.process == 1)
        woken = sim.step(late)

        assert "process 1 wakes up: charge of o runs again" in woken.text
        assert 2 == len(sim.calls(charge))
        assert 1 == sum(type(event).__name__ == "ActivityCompleted" for event in sim.history("o"))
        assert [] == sim.audit()

    def test_a_late_round_is_refused(self, sim: Simulator) -> None:
        """A process that hung with an outcome in hand commits nothing when another has taken over."""
        sim.start("o", fulfil, ORDER)
        sim.step()
        sim.step()
        sim.step(Hang())
        sim.run(until=lambda sim: len(sim.calls(charge)) == 2)
        sim.step(Turn("o"))

        assert "process 1 wakes up, and process 2 hangs" == sim.step(Wake(1)).text
        assert "turn of o: its commit is refused: gone" == sim.step(Turn("o")).text
        assert [] == sim.audit()

    def test_a_stale_process_catches_up(self, sim: Simulator) -> None:
        """A process that wakes up with an old execution in memory goes on with what has happened meanwhile."""
        sim.start("o", fulfil, ORDER)
        sim.step()
        sim.step(Hang())
        sim.run(until=lambda sim: len(sim.history("o")) > 3)
        sim.step(Wake(1))
        sim.raise_event("o", "approved")
        sim.run()

        assert "receipt of 5" == sim.result("o")
        assert [] == sim.audit()

    def test_evictions_change_nothing(self, sim: Simulator) -> None:
        """An orchestration whose live execution is thrown out after each step does the same."""
        sim.start("o", fulfil, ORDER)
        sim.raise_event("o", "approved", at=60)
        while sim.enabled():
            sim.step()
            if Evict() in sim.enabled(Faults()):
                sim.step(Evict())

        assert "receipt of 5" == sim.result("o")

    def test_slowness(self) -> None:
        """Time may pass although there is work, up to the next thing that is due."""
        with Simulator(primitives.registry) as sim:
            sim.start("r", primitives.races)
            sim.step()
            (slow,) = (step for step in sim.enabled(Faults()) if isinstance(step, Pass))
            sim.step(slow)
            sim.run()

            assert [1, 1] == sim.result("r")

    def test_faults_can_be_left_out(self, sim: Simulator) -> None:
        """Without faults, what is enabled is what a healthy process does."""
        sim.start("o", fulfil, ORDER)
        sim.step()

        assert sim.enabled() == sim.enabled(Faults.none())
        assert len(sim.enabled(Faults())) > len(sim.enabled(Faults(crashes=False))) > len(sim.enabled())


class TestTrace:
    def test_is_a_story(self, sim: Simulator) -> None:
        """Each step says when it happened, what was heard, and what was decided."""
        sim.start("o", fulfil, ORDER)
        sim.raise_event("o", "approved", at=timedelta(hours=3))
        sim.run()

        assert [
            "  0 s: turn of o: it begins -> schedules charge",
            '  0 s: charge of o runs, and returns "receipt of 5"',
            "  0 s: turn of o: charge completed -> waits for event 'approved', starts the timer of 30 d",
            "  0 s: 3 h pass",
            "  3 h: event 'approved' for 'o' arrives",
            "  3 h: turn of o: event 'approved' comes -> schedules ship",
            '  3 h: ship of o runs, and returns "parcel of 17"',
            '  3 h: turn of o: ship completed -> returns "receipt of 5"',
        ] == [str(step) for step in sim.trace]


class TestReplays:
    def test_nondeterminism_is_found_without_a_crash(self) -> None:
        """Code that depends on more than its history is caught in the turn in which it does."""
        runs = Registry()
        count: list[int] = []

        @runs.orchestration
        def depends(ctx: OrchestrationContext) -> Orchestration[None]:
            count.append(1)
            yield from ctx.schedule_timer(len(count))

        with Simulator(runs) as sim:
            sim.start("d", depends)
            with pytest.raises(NondeterminismError, match=r"does not replay: .*starts the timer of 1 s.*of 2 s.*clock"):
                sim.run()

    def test_outputs(self) -> None:
        """So is code that only returns something else."""
        runs = Registry()
        count: list[int] = []

        @runs.orchestration
        def depends(ctx: OrchestrationContext) -> Orchestration[int]:
            count.append(1)
            yield from ctx.schedule_timer(1)
            return len(count)

        with Simulator(runs) as sim:
            sim.start("d", depends)
            with pytest.raises(NondeterminismError, match="Completed with"):
                sim.run()

    @pytest.mark.parametrize("until", [None, timedelta(seconds=1)])
    def test_late(self, until: timedelta | None) -> None:
        """In a long history it is caught as well: when the run ends, or the execution."""
        runs = Registry()
        count: list[int] = []

        @runs.orchestration
        def depends(ctx: OrchestrationContext) -> Orchestration[None]:
            count.append(1)
            for number in range(300):
                yield from ctx.schedule_timer(0)
                if number == 290:
                    ctx.set_custom_status(f"{len(count)}")
            yield from ctx.schedule_timer(60)

        with Simulator(runs) as sim:
            sim.start("d", depends)
            with pytest.raises(NondeterminismError, match="does not replay"):
                sim.run(until)

    def test_cost(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What is replayed of a long history stays in proportion to it."""
        replayed: list[int] = []
        replay = Replays._replayed

        def counted(self: Replays, history: Sequence[Event]) -> Turn_:
            replayed.append(len(history))
            return replay(self, history)

        monkeypatch.setattr(Replays, "_replayed", counted)
        with Simulator(runaways) as sim:
            sim.start("r", spins, 500)
            sim.run()

            assert [*range(1, 256, 2)] == replayed[:128]
            assert 1001 == replayed[-1]
            assert sum(replayed[128:]) < 20 * 1001

    def test_can_be_left_out(self) -> None:
        """The check can be turned off."""
        runs = Registry()
        count: list[int] = []

        @runs.orchestration
        def depends(ctx: OrchestrationContext) -> Orchestration[None]:
            count.append(1)
            yield from ctx.schedule_timer(len(count))

        with Simulator(runs, check_replays=False) as sim:
            sim.start("d", depends)

            assert () == sim.run()


def test_expired_activities() -> None:
    """An activity that no worker takes in its time to live fails, as in a runtime that does not serve its tag."""
    with Simulator(primitives.registry, options=RuntimeOptions()) as sim:
        sim.start("s", primitives.in_sessions)
        (waiting,) = sim.run()

        assert "activity 'double'" == waiting.waits_for
