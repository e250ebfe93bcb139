"""`explore`: many schedules of one orchestration, and the shortest story of one that goes wrong."""

from __future__ import annotations

import logging

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any

import hypothesis

from attrs import define, frozen
from hypothesis.errors import FailedHealthCheck, Flaky, NoSuchExample

from ..._core.functions import registered_name
from ..._core.registry import Registry
from ..._runtime.options import RuntimeOptions
from ...errors import InvalidInput
from ..simulation.clock import VirtualClock
from ..simulation.simulator import Simulator
from ..simulation.steps import Faults, checked_faults
from ..simulation.store import SimulatedStore
from .invariants import Broken, Invariant, checked_invariants
from .schedules import Outcome, Rules, outcomes, replayed, simpler


class ExplorationFailed(AssertionError):
    """Something does not hold in some schedule; the message tells the shortest one that was found, step by step."""


@frozen
class Explored:
    """What was explored, and nothing was wrong."""

    schedules: int
    steps: int
    #: How many of the schedules were cut off after *max_steps*, so that nobody knows whether *at_end* holds.
    cut_off: int = 0


def explore(
    orchestration: Callable[..., Any] | str,
    input: object = None,
    *,
    registry: Registry,
    instance_id: str | None = None,
    activities: Mapping[Any, Callable[..., Any]] | None = None,
    setup: Callable[[Simulator], object] | None = None,
    always: Sequence[Invariant] = (),
    at_end: Sequence[Invariant] = (),
    faults: Faults | None = None,
    max_faults: int = 3,
    max_examples: int = 200,
    max_steps: int = 300,
    seed: int = 0,
    options: RuntimeOptions | None = None,
) -> Explored:
    """
    Run *orchestration* in many schedules: orders of completions, crashes, duplicates, delays; see that all is well.

    In every schedule, after every step: decisions replay identically, the store's `audit` is clean, and *always*
    holds. At the end, when nothing is left to do, *at_end* holds. A schedule in which something does not is shrunk to
    a short one. The same call explores the same schedules, whatever Hypothesis' profile says.

    Args:
        registry: The orchestrations and activities.

        instance_id: By default the orchestration's name.

        activities: Name or function → what is called instead. For every schedule anew: `setup` makes fakes with a
            memory, and `Simulator.calls` knows what was called.

        setup: Called with each new `Simulator`, after the start: fakes, events (`ANY_TIME`), other instances.

        always: Functions of the simulator that raise AssertionError, or return False, if something is wrong.

        at_end: The same.

        faults: What may go wrong; by default everything that `Faults` knows.

        max_faults: How many faults a schedule has at most.

        max_examples: How many schedules to run.

        max_steps: Where a schedule is cut off; an orchestration without end never ends otherwise. What is cut off does
            not get to *at_end*.

        seed: Another one explores other schedules.

        options: Of the simulated runtime.

    Raises:
        ExplorationFailed: If something does not hold.

        InvalidInput: If the orchestration, or an activity, is not registered; if an option is none; if there is an
            *at_end*, and the schedule in which nothing goes wrong is cut off before its end.
    """
    _check_counts(max_faults=(max_faults, 0), max_examples=(max_examples, 1), max_steps=(max_steps, 1))
    clock = VirtualClock()
    store = SimulatedStore(clock)
    name = registered_name(orchestration, "orchestration")

    def begin() -> Simulator:
        store.clear()
        simulator = Simulator(registry, activities=activities, options=options, store=store)
        simulator.start(instance_id or name, name, input)
        if setup is not None:
            setup(simulator)
        return simulator

    chosen = Faults() if faults is None else checked_faults(faults)
    checks = checked_invariants("always", always), checked_invariants("at_end", at_end)
    rules = Rules(begin, *checks, chosen, max_faults, max_steps)
    try:
        with _quiet():
            return _Search(rules, max_examples, seed).explored(name)
    finally:
        store.close()


@define
class _Search:
    """Counts what was run, and remembers which invariant broke first, so that shrinking stays with it."""

    rules: Rules
    max_examples: int
    seed: int
    schedules: int = 0
    steps: int = 0
    cut_off: int = 0
    label: str | None = None

    def explored(self, name: str) -> Explored:
        """Run schedules until one fails, or enough have not."""
        first = replayed(self.rules)
        if self._fails(first):
            raise _failure(name, first)
        if first.is_cut_off and self.rules.at_end:
            raise InvalidInput(_cut_off(name, first))
        settings = hypothesis.settings(
            backend="hypothesis",
            max_examples=self.max_examples,
            database=None,
            deadline=None,
            derandomize=False,
            phases=(hypothesis.Phase.generate, hypothesis.Phase.shrink),
            print_blob=False,
            verbosity=hypothesis.Verbosity.normal,
        )
        drawn = outcomes(self.rules, len(first.trace))
        try:
            # S311: schedules are no secret
            worst = hypothesis.find(drawn, self._fails, settings=settings, random=Random(self.seed))  # noqa: S311
        except NoSuchExample:
            return Explored(self.schedules, self.steps, self.cut_off)
        except FailedHealthCheck as error:
            raise InvalidInput(_NESTED) from error
        except Flaky as error:
            msg = f"{name}: {_FLAKY} ({type(error).__name__})"
            raise ExplorationFailed(msg) from error
        raise _failure(name, self._simplified(worst))

    def _simplified(self, outcome: Outcome) -> Outcome:
        """Return *outcome* without the deviations that it does not need; Hypothesis may have kept some."""
        while (shorter := next(filter(self._fails, simpler(self.rules, outcome)), None)) is not None:
            outcome = shorter
        return outcome

    def _fails(self, outcome: Outcome) -> bool:
        if self.label is None:
            self.schedules += 1
            self.steps += len(outcome.trace)
            self.cut_off += outcome.is_cut_off
        if outcome.broken is None:
            return False
        if self.label is None:
            self.label = outcome.broken.label
        return outcome.broken.label == self.label


def _check_counts(**counts: tuple[int, int]) -> None:
    """Refuse what is no count, or less than the second number."""
    for option, (count, least) in counts.items():
        if not isinstance(count, int) or isinstance(count, bool) or count < least:
            msg = f"{option} is {count!r}: give a whole number, {least} or more."
            raise InvalidInput(msg)


def _cut_off(name: str, outcome: Outcome) -> str:
    return (
        f"{name}: the schedule in which nothing goes wrong is cut off after {len(outcome.trace)} steps, so that nobody"
        " knows whether at_end holds. Raise max_steps; or let the orchestration do less, or end; or use always."
    )


_NESTED = (
    "explore() is called in a test with @given, and Hypothesis does not search inside of a search. Explore some inputs that"
    " matter, one after the other; or run a Simulator in the test, and let the test draw: run(choose=lambda steps:"
    " data.draw(st.sampled_from(steps)))."
)
_FLAKY = (
    "the same schedule went differently when it was run again, so something remembers the run before: a fake or an"
    " invariant with a state of its own (make it in setup=), or an orchestration that depends on more than its history."
)


def _failure(name: str, outcome: Outcome) -> ExplorationFailed:
    broken = outcome.broken
    assert broken is not None, "something does not hold"
    failure = ExplorationFailed(_story(name, broken, outcome))
    failure.__cause__ = broken.error
    return failure


def _story(name: str, broken: Broken, outcome: Outcome) -> str:
    width = len(str(len(outcome.trace)))
    steps = [f"  {number:{width}}. {each}" for number, each in enumerate(outcome.trace, start=1)]
    how = "In the simplest schedule that leads there" if outcome.deviations else "In the most natural schedule"
    return "\n".join([f"{name}: {broken.message}", "", f"{how}; ! marks what went wrong in the world:", "", *steps])


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing: what goes wrong in a thousand schedules is no news."""
    logger = logging.getLogger("duroxide")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
