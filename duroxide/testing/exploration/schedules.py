"""
Schedules: which steps a simulation makes, drawn by Hypothesis as deviations from the natural one.

A schedule makes the first possible step each time, as `Simulator.run` does, except at a few places. Fewer and
earlier deviations are simpler, and so is a choice nearer to the front of what is possible: that is how a schedule
that fails shrinks to a short story.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from attrs import field, frozen
from hypothesis import strategies as st

from ..simulation.simulator import Happened, Simulator
from ..simulation.steps import Faults, Step, is_fault
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
class Outcome:
    """What became of one schedule."""

    trace: tuple[Happened, ...]
    broken: Broken | None


@frozen
class _Run:
    """One schedule under way."""

    rules: Rules
    simulator: Simulator
    _broken: list[Broken] = field(factory=list)

    @property
    def is_over(self) -> bool:
        return bool(self._broken) or len(self.simulator.trace) >= self.rules.max_steps or not self.simulator.enabled()

    def go_on(self, steps: int) -> None:
        """Make up to *steps* natural steps."""
        for _ in range(steps):
            if self.is_over:
                return
            self.make(self.simulator.enabled()[0])

    def deviations(self) -> tuple[Step, ...]:
        """Return the possible steps that are not the natural one, as far as the faults are not used up."""
        used = sum(is_fault(each.step) for each in self.simulator.trace)
        return self.simulator.enabled(self.rules.faults if used < self.rules.max_faults else Faults.none())[1:]

    def make(self, step: Step) -> None:
        """Make *step*, and see what holds."""
        found = broken_by_step(self.simulator, lambda: self.simulator.make(step), self.rules.always)
        if found is not None:
            self._broken.append(found)

    def finish(self) -> Outcome:
        """Go on to the end."""
        self.go_on(self.rules.max_steps)
        if not self._broken:
            self._broken.extend(broken(self.simulator, self.rules.at_end))
        return Outcome(self.simulator.trace, self._broken[0] if self._broken else None)


def natural(rules: Rules) -> Outcome:
    """Run the schedule without deviations."""
    with rules.begin() as simulator:
        return _Run(rules, simulator).finish()


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
            run.go_on(draw(_up_to(max(length // 2, 1))))
            possible = () if run.is_over else run.deviations()
            if possible:
                run.make(possible[draw(_up_to(len(possible) - 1))])
        return run.finish()


#: A schedule has about this many deviations.
_MORE = 4


@cache
def _up_to(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)
