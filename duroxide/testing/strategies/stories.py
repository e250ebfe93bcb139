"""
A world for generated orchestrations: it answers what they ask for, late, in any order, or twice.

Everything goes through `Execution.advance` and `confirm`, as in the runtime, so the histories are those that a
store would hold. What happens is drawn beforehand, as a list of batches of moves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen
from hypothesis import strategies as st

from ..._core import events as e
from ..._core.commit import ExecutionStatus, TurnCommit
from ..._core.execution import Execution, begin
from ..._core.executor import Executor
from ..._core.messages import Deliver, StartOrchestration
from ...errors import ErrorCategory, ErrorDetails, ErrorKind
from .drawing import orchestrations
from .programs import NAMES, Program


INSTANCE = "generated"
MAX_TURNS = 60
#: Numbers of moves are below this.
HOWS = 12


@frozen
class Move:
    """One thing that happens in the world: its kind, and a number that says to what, and how."""

    kind: str
    number: int


@frozen
class Advance:
    """One turn: what went in, what came out, and how much history there was before."""

    before: int
    messages: tuple[Deliver, ...]
    now_ms: int
    commit: TurnCommit


@frozen
class Told:
    """All that happened to one execution."""

    program: Program
    started: e.OrchestrationStarted
    history: tuple[e.Event, ...]
    advances: tuple[Advance, ...]
    status: ExecutionStatus


@frozen
class Story:
    """All executions of one instance."""

    program: Program
    executions: tuple[Told, ...]
    #: What was answered, in order: ordinal of the schedule and whether it succeeded; or a queue message.
    answers: tuple[Any, ...] = ()


def failure(text: str, *, retryable: bool) -> ErrorDetails:
    """Return the details of an activity that raised ValueError."""
    return ErrorDetails(ErrorCategory.APPLICATION, ErrorKind.ACTIVITY_FAILED, text, "ValueError", retryable=retryable)


@frozen
class World:
    """What one execution has asked for so far."""

    execution_id: int
    #: Schedules in the order in which they were asked for; never answered more than once by `answer`.
    asked: list[e.ScheduleEvent] = field(factory=list)
    answered: set[int] = field(factory=set)

    def take_note(self, commit: TurnCommit) -> None:
        """Remember the schedules of *commit*."""
        kinds = (e.ActivityScheduled, e.TimerCreated, e.SubOrchestrationScheduled)
        self.asked.extend(event for event in commit.events if isinstance(event, kinds))

    def open(self) -> list[int]:
        """Return the ordinals that have not been answered, given up or not."""
        return [ordinal for ordinal in range(len(self.asked)) if ordinal not in self.answered]

    def answer(self, ordinal: int, how: int) -> Deliver:
        """Return the completion of the schedule *ordinal*."""
        self.answered.add(ordinal)
        return Deliver(INSTANCE, self.execution_id, self.completion(ordinal, how))

    def completion(self, ordinal: int, how: int) -> e.CompletionEvent:
        """Return a good or a bad answer to the schedule *ordinal*."""
        scheduled = self.asked[ordinal]
        source = scheduled.event_id
        fails = how % 3 == 0
        details = failure(f"failure {ordinal}", retryable=how % 2 == 0)
        match scheduled:
            case e.TimerCreated():
                return e.TimerFired(0, 0, source, scheduled.fire_at_ms)
            case e.ActivityScheduled():
                if fails:
                    return e.ActivityFailed(0, 0, source, details)
                return e.ActivityCompleted(0, 0, source, f'"result {ordinal}"')
            case _:
                if fails:
                    return e.SubOrchestrationFailed(0, 0, source, details)
                return e.SubOrchestrationCompleted(0, 0, source, f'"result {ordinal}"')


def _messages(world: World, batch: Sequence[Move], answers: list[Any]) -> list[Deliver]:
    """Return the messages that *batch* means now."""
    messages: list[Deliver] = []
    for move in batch:
        number, still_open = move.number, world.open()
        name = NAMES[number % len(NAMES)]
        match move.kind:
            case "answer" if still_open:
                ordinal = still_open[number % len(still_open)]
                messages.append(world.answer(ordinal, number))
                answers.append((ordinal, number))
            case "exactly":
                messages.append(world.answer(*divmod(number, HOWS)))
            case "again" if world.answered:
                ordinal = sorted(world.answered)[number % len(world.answered)]
                messages.append(Deliver(INSTANCE, world.execution_id, world.completion(ordinal, number + 1)))
            case "stale":
                messages.append(Deliver(INSTANCE, world.execution_id - 1, e.ActivityCompleted(0, 0, 2, '"stale"')))
            case "raise":
                messages.append(Deliver(INSTANCE, None, e.ExternalEvent(0, 0, name, f'"event {number}"')))
            case "enqueue":
                messages.append(Deliver(INSTANCE, None, e.QueueEventDelivered(0, 0, name, f'"message {number}"')))
                answers.append((name, number))
            case "cancel":
                messages.append(Deliver(INSTANCE, None, e.OrchestrationCancelRequested(0, 0, f"reason {number}")))
            case _:
                pass
    return messages


def first_start() -> e.OrchestrationStarted:
    """Return the start event of a new instance."""
    return begin(
        StartOrchestration(INSTANCE, "generated", "0"), "1.0.0", timestamp_ms=1_000_000, duroxide_version="1.0.0"
    )


def rebuilt(told: Told, length: int) -> Execution:
    """Return the execution as another runtime would build it from the first *length* events."""
    execution = Execution(Executor(told.program.function(), told.started), incarnation=1, is_new=length == 0)
    if length:
        execution.catch_up(told.history[1:length])
    return execution


def live_through(
    program: Program,
    started: e.OrchestrationStarted,
    batches: list[Sequence[Move]],
    steps_ms: Sequence[int],
    answers: list[Any],
) -> tuple[Told, StartOrchestration | None]:
    """Run one execution; takes what it needs from the front of *batches*."""
    execution = Execution(Executor(program.function(), started), incarnation=1, is_new=True)
    world = World(started.execution_id)
    history: list[e.Event] = []
    advances: list[Advance] = []
    now_ms = started.timestamp_ms
    messages: list[Deliver] = []
    following: StartOrchestration | None = None
    status = ExecutionStatus.RUNNING
    while status is ExecutionStatus.RUNNING and len(advances) < MAX_TURNS:
        commit, _ = execution.advance(messages, now_ms=now_ms)
        advances.append(Advance(len(history), tuple(messages), now_ms, commit))
        history.extend(commit.events)
        execution.confirm(commit)
        world.take_note(commit)
        status = commit.status
        if not batches:
            break
        messages = _messages(world, batches.pop(0), answers) if status is ExecutionStatus.RUNNING else []
        now_ms += steps_ms[len(advances) % len(steps_ms)]
    execution.close()
    if status is ExecutionStatus.CONTINUED_AS_NEW:
        starts = [each.message for each in commit.messages if isinstance(each.message, StartOrchestration)]
        following = next(start for start in starts if start.execution_id > 1)
    return Told(program, started, tuple(history), tuple(advances), status), following


def tell(program: Program, batches: Sequence[Sequence[Move]], steps_ms: Sequence[int] = (0,)) -> Story:
    """Run *program* in a world in which *batches* happen, over all its executions."""
    remaining = list(batches)
    executions: list[Told] = []
    answers: list[Any] = []
    started: e.OrchestrationStarted | None = first_start()
    while started is not None:
        told, following = live_through(program, started, remaining, steps_ms, answers)
        executions.append(told)
        now_ms = told.history[-1].timestamp_ms
        started = (
            None if following is None else begin(following, "1.0.0", timestamp_ms=now_ms, duroxide_version="1.0.0")
        )
    return Story(program, tuple(executions), tuple(answers))


# Strategies.

_NUMBERS = st.integers(0, HOWS - 1)
_USUAL = ["answer", "answer", "answer", "answer", "raise", "raise", "enqueue", "enqueue"]


def moves(*kinds: str) -> st.SearchStrategy[Move]:
    """Draw one thing that happens."""
    return st.builds(Move, st.sampled_from(kinds or (*_USUAL, "again", "stale")), _NUMBERS)


@st.composite
def batches_of_moves(draw: st.DrawFn) -> list[list[Move]]:
    """Draw what happens: some batches, perhaps a cancellation, perhaps an end at which everything is answered."""
    batches = draw(st.lists(st.lists(moves(), max_size=4), min_size=4, max_size=12))
    if draw(st.integers(0, 7)) > 6:  # noqa: PLR2004  # once in eight times
        batches.append([*draw(st.lists(moves(), max_size=2)), Move("cancel", 1), *draw(st.lists(moves(), max_size=2))])
    if draw(st.integers(0, 3)):
        batches.extend([[Move("answer", 1), Move("raise", 0), Move("enqueue", 1)], [Move("answer", 0)]] * 8)
    return batches


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw a program and what happens to it."""
    steps_ms = draw(st.lists(st.sampled_from([0, 1, 1000, 60_000, -500]), min_size=1, max_size=4))
    return tell(draw(orchestrations()), draw(batches_of_moves()), steps_ms)
