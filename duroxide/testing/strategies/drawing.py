"""Draws programs with Hypothesis: `orchestrations`. The deeper a part of one is, the simpler."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from hypothesis import strategies as st

from ..._core.retry import Fixed, RetryPolicy
from .programs import (
    NAMES,
    SLOTS,
    Await,
    Branch,
    Call,
    Cancel,
    Child,
    Continue,
    Dequeue,
    Detach,
    Draw,
    Join,
    Part,
    Program,
    Raise,
    Return,
    Select,
    Start,
    State,
    Step,
    Timer,
    Try,
    Use,
    Wait,
)


_NAMES = st.sampled_from(NAMES)
_SLOTS = st.sampled_from(SLOTS)
_BOOLEANS = st.booleans()
_SECONDS = st.integers(0, 3)
_POLICIES = st.builds(
    RetryPolicy,
    max_attempts=st.integers(1, 3),
    backoff=st.sampled_from([None, Fixed(1)]),
    jitter=st.sampled_from([0.0, 0.5]),
    timeout=st.sampled_from([None, timedelta(seconds=2)]),
    total_timeout=st.sampled_from([None, timedelta(seconds=5)]),
)
_FEW = {(least, most): st.integers(least, most) for least in range(4) for most in range(least, 8)}
#: False shrinks; true once in four times.
_SELDOM = st.integers(0, 3).map(lambda number: number > 2)  # noqa: PLR2004  # the last of four
_LEAVES = ("call", "call", "retry", "timer", "wait", "wait", "dequeue", "dequeue", "child")
_PARTS = (*_LEAVES, "join", "select", "select", "branch", "branch", "branch")
_IMMEDIATE = ("start", "start", "cancel", "state", "state", "draw", "detach")
_SIMPLE = ("await", "await", "await", "use", "use", "use", *_IMMEDIATE)
_NESTED = (*_SIMPLE, "combine", "combine", "combine", "combine", "try", "try")
_ENDINGS = ("return", "raise", "continue")
_STATES = ("set", "set", "clear", "clear_all", "get", "status", "reset", "prune")
_DRAWS = ("id", "random", "time")
_DEEPEST = 3


class _Drawing:
    """Draws parts and steps; deeper ones are simpler."""

    def __init__(self, draw: st.DrawFn, *, positional: bool, rounds: bool, times: bool) -> None:
        self.draw = draw
        self.positional = positional
        self.rounds = rounds
        self.times = times

    def pick(self, kinds: tuple[str, ...]) -> str:
        """Draw one of *kinds* that is allowed."""
        forbidden = {"wait": not self.positional, "continue": not self.rounds}
        forbidden |= {"prune": not self.times, "time": not self.times}
        return self.draw(_sampled(tuple(kind for kind in kinds if not forbidden.get(kind, False))))

    def steps(self, depth: int, least: int, most: int) -> tuple[Step, ...]:
        """Draw some steps."""
        count = self.draw(_FEW[least, most])
        return tuple(self.step(self.pick(_NESTED if depth < _DEEPEST else _SIMPLE), depth) for _ in range(count))

    def block(self, depth: int, least: int, most: int) -> tuple[Step, ...]:
        """Draw some steps that may end early."""
        steps = self.steps(depth, least, most)
        if self.draw(_SELDOM):
            steps += (self.step(self.pick(_ENDINGS), depth),)
        return steps

    def step(self, kind: str, depth: int) -> Step:
        """Draw a step of *kind*."""
        draw = self.draw
        match kind:
            case "await":
                return Await(self.part(self.pick(_LEAVES), depth))
            case "combine":
                return Await(self.part(draw(_sampled(("join", "select", "select", "branch"))), depth))
            case "start" | "use" | "cancel":
                return self.slot_step(kind, depth)
            case "state":
                return State(self.pick(_STATES), draw(_NAMES))
            case "draw":
                return Draw(self.pick(_DRAWS))
            case "try":
                final = (self.step(self.pick(_IMMEDIATE), _DEEPEST),) if draw(_BOOLEANS) else ()
                return Try(self.block(depth + 1, 1, 3), self.steps(depth + 1, 0, 2), final)
            case "detach":
                return Detach()
            case "return" | "raise":
                return Return() if kind == "return" else Raise()
            case _:
                return Continue(draw(_BOOLEANS))

    def slot_step(self, kind: str, depth: int) -> Step:
        """Draw something to do with a slot."""
        slot = self.draw(_SLOTS)
        if kind == "start":
            return Start(slot, self.part(self.pick(_PARTS if depth < _DEEPEST else _LEAVES), depth))
        return Use(slot) if kind == "use" else Cancel(slot)

    def part(self, kind: str, depth: int) -> Part:
        """Draw something to wait for of *kind*."""
        draw = self.draw
        match kind:
            case "call":
                return Call(draw(_NAMES))
            case "retry":
                return Call(draw(_NAMES), draw(_POLICIES))
            case "timer":
                return Timer(draw(_SECONDS))
            case "wait":
                return Wait(draw(_NAMES))
            case "dequeue":
                return Dequeue(draw(_NAMES))
            case "child":
                return Child(draw(_BOOLEANS))
            case "join":
                return Join(self.parts(depth, 0), draw(_BOOLEANS))
            case "select":
                return Select(self.parts(depth, 1), draw(_BOOLEANS))
            case _:
                return Branch(self.block(depth + 1, 1, 3))

    def parts(self, depth: int, least: int) -> tuple[Part, ...]:
        """Draw the arguments of a join or a select."""
        count = self.draw(_FEW[least, 3])
        return tuple(self.part(self.pick(_PARTS if depth < _DEEPEST else _LEAVES), depth + 1) for _ in range(count))


@lru_cache
def _sampled(kinds: tuple[str, ...]) -> st.SearchStrategy[str]:
    return st.sampled_from(kinds)


@st.composite
def orchestrations(draw: st.DrawFn, *, positional: bool = True, rounds: bool = True, times: bool = True) -> Program:
    """
    Draw a program.

    Args:
        positional: Whether it may use positional waits, which depend on how completions are batched.

        rounds: Whether it may continue as new.

        times: Whether it may look at the clock.
    """
    drawing = _Drawing(draw, positional=positional, rounds=rounds, times=times)
    return Program(drawing.block(0, 3, 7))
