"""
Schedules: which steps a simulation makes, drawn by Hypothesis as deviations from the natural one.

A schedule makes the first possible step each time, as `Simulator.run` does, except at a few places. Fewer and
earlier deviations are simpler, and so is a choice nearer to the front of what is possible: that is how a schedule
that fails shrinks to a short story.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

from attrs import define, evolve, field, frozen
from hypothesis import strategies as st

from ..simulation.simulator import Happened, Simulator
from ..simulation.steps import Faults, Finish, Pass, Step, is_fault
from .invariants import Broken, Invariant, broken, broken_by_step


@frozen
class Rules:
    """What is explored, and how far."""

    #: Returns a simulation that has not begun.
    begin: Callable[[], Simulator]
    always: Sequence[Invariant]
    at_end: Sequence[Invariant]
    faults: Faults
    max_faults: int
    max_steps: int


@frozen
class Deviation:
    """A step that was made instead of the natural one, after so many natural ones."""

    after: int
    step: Step


@frozen
class Outcome:
    """What became of one schedule."""

    trace: tuple[Happened, ...]
    deviations: tuple[Deviation, ...]
    broken: Broken | None
    #: Whether something was left to do when the schedule had as many steps as it may.
    is_cut_off: bool = False


@define
class _Run:
    """One schedule under way."""

    rules: Rules
    simulator: Simulator
    #: How many natural steps there were. Deviations do not count, so that leaving one out leaves the others in place.
    natural: int = 0
    deviations: list[Deviation] = field(factory=list)
    broken: Broken | None = None

    @property
    def is_over(self) -> bool:
        """Whether something was broken, or the schedule is long enough."""
        return self.broken is not None or len(self.simulator.trace) >= self.rules.max_steps

    def go_on(self, upto: int) -> None:
        """Make natural steps until there were *upto* of them in all."""
        while self.natural < upto:
            natural = () if self.is_over else self.simulator.enabled()
            if not natural:
                return
            self._make(natural[0])
            self.natural += 1

    def possible(self) -> tuple[Step, ...]:
        """Return the possible steps that are not the natural one, as far as the faults are not used up."""
        if self.is_over:
            return ()
        natural = self.simulator.enabled()[:1]
        used = sum(is_fault(each.step) for each in self.simulator.trace)
        faults = self.rules.faults if used < self.rules.max_faults else Faults.none()
        return tuple(step for step in self.simulator.enabled(faults) if step not in natural)

    def deviate(self, step: Step) -> None:
        """Make *step* instead of the natural one."""
        self.deviations.append(Deviation(self.natural, step))
        self._make(step)

    def finish(self) -> Outcome:
        """Go on to the end, if that comes soon enough; only there must hold what is to hold at the end."""
        self.go_on(self.rules.max_steps)
        is_cut_off = self.broken is None and bool(self.simulator.enabled())
        if self.broken is None:
            self.broken = broken_by_step(self.simulator, self.simulator.check_rest, ())
        if self.broken is None and not is_cut_off:
            self.broken = next(broken(self.simulator, self.rules.at_end), None)
        return Outcome(self.simulator.trace, tuple(self.deviations), self.broken, is_cut_off)

    def _make(self, step: Step) -> None:
        self.broken = broken_by_step(self.simulator, lambda: self.simulator.make(step), self.rules.always)


def replayed(rules: Rules, deviations: Sequence[Deviation] = ()) -> Outcome:
    """Run the natural schedule but for *deviations*, as far as they are possible."""
    with rules.begin() as simulator:
        run = _Run(rules, simulator)
        for each in deviations:
            run.go_on(each.after)
            step = next((step for step in run.possible() if _alike(step, each.step)), None)
            if step is not None:
                run.deviate(step)
        return run.finish()


def simpler(rules: Rules, outcome: Outcome) -> Iterator[Outcome]:
    """Run the schedules that leave one deviation of *outcome* out, and with it up to two steps that it led to."""
    for left_out, _ in enumerate(outcome.deviations):
        before, later = outcome.deviations[:left_out], outcome.deviations[left_out + 1 :]
        for fewer in range(3) if later else (0,):
            yield replayed(rules, (*before, *(evolve(each, after=max(each.after - fewer, 0)) for each in later)))


def _alike(step: Step, other: Step) -> bool:
    """Whether two steps are the same but for what other steps change: when time passes, and in which process."""
    match step, other:
        case Pass(), Pass():
            return step.early == other.early
        case Finish(), Finish():
            return (step.key, step.fails) == (other.key, other.fails)
        case _:
            return step == other


@st.composite
def outcomes(draw: st.DrawFn, rules: Rules, length: int) -> Outcome:
    """
    Draw a schedule, and run it.

    Args:
        length: How many steps the natural schedule has.
    """
    with rules.begin() as simulator:
        run = _Run(rules, simulator)
        while not run.is_over and draw(_up_to(_MORE)):
            run.go_on(draw(_up_to(length)))
            possible = run.possible()
            if possible:
                run.deviate(possible[draw(_up_to(len(possible) - 1))])
        return run.finish()


#: A schedule has about this many deviations.
_MORE = 4


@cache
def _up_to(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)
