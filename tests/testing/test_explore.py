"""Exploration: it finds what breaks, tells the shortest story of it, and tells the same one every time."""

from __future__ import annotations

import logging
import subprocess
import sys

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from duroxide import (
    ActivityContext,
    InvalidInput,
    NondeterminismError,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetryPolicy,
)
from duroxide._core.commit import CommitResult, TurnCommit
from duroxide.testing import ANY_TIME, ExplorationFailed, Faults, Simulator, explore
from duroxide.testing.exploration import explorer
from duroxide.testing.simulation.store import SimulatedStore

from . import primitives


registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt of {amount}"


@registry.activity
def ship(ctx: ActivityContext) -> None:
    pass


@registry.activity
def refund(ctx: ActivityContext) -> None:
    pass


@registry.orchestration
def buy(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, amount))


@registry.orchestration
def careless(ctx: OrchestrationContext) -> Orchestration[str]:
    """Ships when told to, refunds when it takes too long; and forgets that shipping may just be slow."""
    winner = yield from ctx.select(ctx.schedule_activity(ship), ctx.schedule_timer(60))
    if winner.index == 1:
        yield from ctx.schedule_activity(refund)
        return "refunded"
    return "shipped"


@registry.orchestration
def either(ctx: OrchestrationContext) -> Orchestration[list[int]]:
    """Two at once; says which came first."""
    first = yield from ctx.select(
        ctx.schedule_activity(charge, 1), ctx.schedule_activity(charge, 2), cancel_losers=False
    )
    return [first.index]


def charged_once(sim: Simulator) -> None:
    count = len(sim.calls(charge))
    assert count <= 1, f"charge ran {count} times"


def not_both(sim: Simulator) -> None:
    assert not (sim.calls(ship) and sim.calls(refund)), "shipped and refunded"


def told(what: Callable[[], object]) -> list[str]:
    """Return the lines of the story that *what* fails with."""
    with pytest.raises(ExplorationFailed) as caught:
        what()
    return str(caught.value).splitlines()


def steps(lines: list[str]) -> list[str]:
    """Return the steps of a story."""
    return lines[next(number for number, line in enumerate(lines) if "! marks" in line) + 2 :]


class TestStories:
    def test_a_crash(self) -> None:
        """That an activity may run twice is found, and told in the fewest steps."""
        lines = told(lambda: explore(buy, 5, registry=registry, always=[charged_once]))

        assert "buy: charged_once does not hold: charge ran 2 times" == lines[0]
        assert [
            "  1.   0 s: turn of buy: it begins -> schedules charge",
            '  2.   0 s: charge of buy runs, and returns "receipt of 5"',
            "  3. ! 0 s: the process dies, and another one starts (an outcome for buy was not written down)",
            "  4.   0 s: 30 s pass",
            '  5.   30 s: charge of buy runs again, and returns "receipt of 5"',
        ] == steps(lines)

    def test_a_race(self) -> None:
        """That a slow activity may still do its work after its time-out is found."""
        lines = told(lambda: explore(careless, registry=registry, always=[not_both], faults=Faults(crashes=False)))

        assert "careless: not_both does not hold: shipped and refunded" == lines[0]
        assert any("ship of careless runs" in line for line in lines)
        assert len(steps(lines)) <= 6

    def test_an_order(self) -> None:
        """Nothing needs to go wrong: another order of completions is enough."""

        def first_is_first(sim: Simulator) -> None:
            assert [0] == sim.result("either")

        lines = told(lambda: explore(either, registry=registry, at_end=[first_is_first], faults=Faults.none()))

        assert not any("!" in line for line in steps(lines))

    def test_an_event_too_early(self) -> None:
        """An event that is raised before anybody waits for it is lost: found by sending it at any time."""
        waiting = Registry()

        @waiting.activity
        def prepare(ctx: ActivityContext) -> None:
            pass

        @waiting.orchestration
        def waits_late(ctx: OrchestrationContext) -> Orchestration[object]:
            yield from ctx.schedule_activity(prepare)
            return (yield from ctx.schedule_wait("go"))

        def ends(sim: Simulator) -> None:
            sim.result("waits_late")

        lines = told(
            lambda: explore(
                waits_late,
                registry=waiting,
                setup=lambda sim: sim.raise_event("waits_late", "go", at=ANY_TIME),
                at_end=[ends],
                faults=Faults.none(),
            )
        )

        assert "'waits_late' has no result yet" in lines[0]
        assert any("'waits_late' waits for event 'go'" in line for line in lines)

    def test_the_natural_schedule(self) -> None:
        """What goes wrong without any deviation needs no search."""
        lines = told(lambda: explore(buy, 5, registry=registry, at_end=[lambda _: False]))

        assert any("In the most natural schedule" in line for line in lines)

    def test_a_check_that_raises(self) -> None:
        """An invariant that raises does not hold, whatever it raises; the cause says where."""

        def divides(sim: Simulator) -> float:
            return 1 / 0

        with pytest.raises(ExplorationFailed, match="divides does not hold: ZeroDivisionError") as caught:
            explore(buy, 5, registry=registry, always=[divides])
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


class TestWhatIsChecked:
    def test_replays(self) -> None:
        """Code that remembers something outside of its history is found, with the remedy."""
        forgetful = Registry()
        seen: list[int] = []

        @forgetful.orchestration
        def counts(ctx: OrchestrationContext) -> Orchestration[None]:
            seen.append(1)
            yield from ctx.schedule_timer(len(seen))

        with pytest.raises(ExplorationFailed, match=r"does not replay(.|\n)*ctx\.utc_now") as caught:
            explore(counts, registry=forgetful)
        assert isinstance(caught.value.__cause__, NondeterminismError)

    def test_fakes_with_a_memory(self) -> None:
        """A fake that remembers the schedule before is told apart from a bug of the orchestration."""
        calls: list[int] = []

        def fails_at_its_third_call_ever(ctx: ActivityContext, amount: int) -> str:
            calls.append(amount)
            if len(calls) == 3:
                raise ValueError("third")
            return "fine"

        def is_fine(sim: Simulator) -> None:
            sim.result("buy")

        with pytest.raises(ExplorationFailed, match="went differently when it was run again"):
            explore(
                buy,
                5,
                registry=registry,
                activities={charge: fails_at_its_third_call_ever},
                at_end=[is_fine],
                faults=Faults(failures=False),
            )

    @pytest.mark.parametrize(
        ("damage", "rule"),
        [
            (lambda commit: evolve(commit, messages=()), "timer_lost"),
            (lambda commit: evolve(commit, activities=(), eager=()), "activity_lost"),
            (lambda commit: evolve(commit, cancelled_activities=()), "activity_unwanted"),
        ],
    )
    def test_the_store(
        self, monkeypatch: pytest.MonkeyPatch, damage: Callable[[TurnCommit], TurnCommit], rule: str
    ) -> None:
        """An engine that loses or leaves behind what it should not is found by the audit after the step."""

        class Broken(SimulatedStore):
            def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
                return super().commit_turns([damage(commit) for commit in commits], lock_ms=lock_ms)

        monkeypatch.setattr(explorer, "SimulatedStore", Broken)
        with pytest.raises(ExplorationFailed, match=rule):
            explore(careless, registry=registry)

    def test_commits_of_stale_processes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An engine that takes a completion from a process that has lost its lock is found."""

        class Gullible(SimulatedStore):
            def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
                return super().commit_turns(
                    [evolve(commit, finished_activities=()) for commit in commits], lock_ms=lock_ms
                )

        monkeypatch.setattr(explorer, "SimulatedStore", Gullible)
        with pytest.raises(ExplorationFailed, match="activity_"):
            explore(primitives.sequence, registry=primitives.registry)


class TestBudget:
    def test_nothing_is_wrong(self) -> None:
        """An orchestration that is right passes, and the answer says how much was tried."""
        explored = explore(primitives.sequence, registry=primitives.registry, max_examples=25)

        assert 26 == explored.schedules
        assert explored.steps > 26 * 7

    def test_faults_can_be_left_out(self) -> None:
        """Where processes neither die nor hang, an activity runs once."""
        calm = Faults(crashes=False, takeovers=False)

        assert explore(buy, 5, registry=registry, always=[charged_once], faults=calm, max_examples=50)

    def test_no_faults_at_all(self) -> None:
        """With a budget of none, nothing goes wrong either."""
        assert explore(buy, 5, registry=registry, always=[charged_once], max_faults=0, max_examples=50)

    def test_endless_orchestrations(self) -> None:
        """An orchestration without end is cut off."""
        endless = Registry()

        @endless.orchestration
        def forever(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(timedelta(days=1))
            yield from ctx.continue_as_new()

        explored = explore(forever, registry=endless, max_examples=10, max_steps=30)

        assert explored.steps <= 11 * 30
        assert explored.cut_off > 5
        with pytest.raises(InvalidInput, match=r"cut off after 30 steps, so that nobody knows .* Raise max_steps"):
            explore(forever, registry=endless, max_steps=30, at_end=[lambda sim: False])

    def test_what_is_cut_off(self) -> None:
        """Nothing is said of the end of a schedule that faults have made so long that it is cut off."""

        def is_over(sim: Simulator) -> None:
            sim.result("buy")

        most = {"max_steps": 3, "max_examples": 40}
        explored = explore(buy, 5, registry=registry, at_end=[is_over], faults=Faults(failures=False), **most)

        assert 0 < explored.cut_off < explored.schedules

    @pytest.mark.thorough
    def test_always_the_same(self) -> None:
        """The same call tells the same story, whatever profile Hypothesis has; another seed searches elsewhere."""
        seen: list[int] = []

        def search(seed: int = 0) -> list[str]:
            seen.clear()
            return told(lambda: explore(careless, registry=registry, always=[count, not_both], seed=seed))

        def count(sim: Simulator) -> None:
            seen.append(1)

        story, first = search(), len(seen)
        current = settings.get_current_profile_name()
        settings.register_profile("meagre", max_examples=1, derandomize=False, phases=[])
        settings.load_profile("meagre")
        try:
            assert (story, first) == (search(), len(seen))
        finally:
            settings.load_profile(current)

        assert {search(seed) and len(seen) for seed in range(1, 4)} != {first}

    def test_retries_take_no_time(self) -> None:
        """Failures, retries and their pauses are explored in virtual time."""
        policy = RetryPolicy(max_attempts=20)
        retrying = Registry()
        retrying.register_activity(ship)

        @retrying.orchestration
        def insists(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_activity(ship, retry=policy)
            return "done"

        def is_done(sim: Simulator) -> None:
            assert "done" == sim.result("insists")

        assert explore(insists, registry=retrying, at_end=[is_done], max_examples=60)


class TestMistakes:
    def test_unknown_orchestration(self) -> None:
        """What is not registered cannot be explored."""
        with pytest.raises(InvalidInput, match="no orchestration 'bye'"):
            explore("bye", registry=registry)

    def test_unknown_activity(self) -> None:
        """Nor can what is not registered be faked."""
        with pytest.raises(InvalidInput, match="no activity 'chrage'"):
            explore(buy, 5, registry=registry, activities={"chrage": lambda ctx: None})

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"always": charged_once}, "always is .*give a list of functions"),
            ({"at_end": None}, "at_end is None: give a list"),
            ({"at_end": "it"}, "at_end is 'it'"),
            ({"faults": Faults}, "faults is .*give Faults"),
            ({"faults": {"crashes": True}}, "faults is .*give Faults"),
            ({"max_examples": 0}, "max_examples is 0: give a whole number, 1 or more"),
            ({"max_faults": -1}, "max_faults is -1: give a whole number, 0 or more"),
            ({"max_steps": "many"}, "max_steps is 'many'"),
        ],
    )
    def test_wrong_options(self, options: dict[str, Any], reason: str) -> None:
        """What an option cannot be is refused by its name."""
        with pytest.raises(InvalidInput, match=reason):
            explore(buy, 5, registry=registry, **options)

    def test_in_a_search(self) -> None:
        """Inside a test of Hypothesis there is no search; the message says what to do instead."""

        @settings(max_examples=1)
        @given(st.just(5))
        def searches(amount: int) -> None:
            explore(buy, amount, registry=registry)

        with pytest.raises(InvalidInput, match=r"in a test with @given.*data\.draw"):
            searches()

    def test_without_hypothesis(self) -> None:
        """The simulator needs no Hypothesis; who explores without it is told what to install."""
        program = """
import sys
sys.modules["hypothesis"] = None
import duroxide.testing
from duroxide.testing import Simulator
for needed in ("duroxide.testing.explore", "duroxide.testing.strategies"):
    try:
        __import__(needed) if "strategies" in needed else duroxide.testing.explore
    except ModuleNotFoundError as error:
        print(error)
"""
        output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, text=True).stdout
        remedy = "needs Hypothesis: pip install 'duroxide-python[testing]'"

        assert [f"duroxide.testing.{name} {remedy}" for name in ("explore", "strategies")] == output.splitlines()


def test_logs_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """What goes wrong in hundreds of schedules is not logged, and logging is as it was afterwards."""
    before = logging.getLogger("duroxide").level
    explore(primitives.retries, registry=primitives.registry, max_examples=20)

    assert [] == caplog.records
    assert before == logging.getLogger("duroxide").level
