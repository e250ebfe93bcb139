"""
Whether what a live execution decides comes out again when its history is replayed.

It does not when the code depends on anything besides its history. A running process never notices that;
the crash that comes later does.

Rule: the cost of a long history stays in proportion to it. So not all of its turns are replayed; what is replayed is
the history from its start, with all that the turns in between have decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import field, frozen

from ..._core import events as e
from ..._core.commit import ExecutionStatus, TurnCommit
from ..._core.limits import Limits
from ..._core.registry import Registry
from ..._core.verdicts import Completed, Continue, ContinuesAsNew, Failed, Turn
from ..._guard import Mode, executor_class
from ...errors import ErrorDetails, NondeterminismError
from ..histories import was_ended_by_the_engine
from .store import Written
from .words import DELIVERED, shortened, tell


_REMEDY = (
    "The function depends on something that is not in its history: a clock, a random number, the environment, or state"
    " that outlives it. Use ctx.utc_now(), ctx.random and ctx.new_guid(), or do it in an activity."
)


#: Every turn is replayed as long as the history has no more events.
EACH_UP_TO = 256
#: From then on the history grows by this share of its length between two replays.
_GROWTH = 1 / 16

#: An execution: its instance, and its number.
_Place = tuple[str, int]


@frozen
class Replays:
    """Replays committed turns with the functions of *registry*."""

    registry: Registry
    limits: Limits
    guard: Mode
    #: How many events the history had when it was last replayed.
    _lengths: dict[_Place, int] = field(factory=dict)
    #: The last turn of each execution that has not been replayed yet.
    _put_off: dict[_Place, Written] = field(factory=dict)

    def check(self, written: Written) -> None:
        """
        Replay the turn that led to an accepted commit; a turn in a long history perhaps later, with those that follow.

        Raises:
            NondeterminismError: If it decides something else.
        """
        commit = written.commit
        if not commit.events:
            return
        place = (commit.instance_id, commit.execution_id)
        last = commit.events[-1]
        if isinstance(last, e.OrchestrationFailed) and was_ended_by_the_engine(last.details):
            self._check_put_off(place)
            return
        self._put_off[place] = written
        length = written.length_before + len(commit.events)
        due = self._lengths.get(place, 0) * (1 + _GROWTH)
        if length <= EACH_UP_TO or length >= due or commit.status is not ExecutionStatus.RUNNING:
            self._lengths[place] = length
            self._check_put_off(place)
        if commit.status is not ExecutionStatus.RUNNING:
            self._lengths.pop(place)

    def check_rest(self) -> None:
        """
        Replay what was put off.

        Raises:
            NondeterminismError: As `check`.
        """
        for place in list(self._put_off):
            self._check_put_off(place)

    def _check_put_off(self, place: _Place) -> None:
        written = self._put_off.pop(place, None)
        if written is not None:
            self._replay(written)

    def _replay(self, written: Written) -> None:
        commit = written.commit
        past = [*written.before, *(event for event in commit.events if isinstance(event, DELIVERED))]
        decided = [event for event in commit.events if not isinstance(event, DELIVERED)]
        turn = self._replayed(past)
        if isinstance(turn.verdict, Failed) and turn.verdict.details.is_system_error:
            raise NondeterminismError(turn.verdict.details)
        if list(turn.events) != decided[: len(turn.events)] or _ending(turn) != _ended(commit):
            raise NondeterminismError(ErrorDetails.nondeterminism(_difference(commit, decided, turn, past)))

    def _replayed(self, history: Sequence[e.Event]) -> Turn:
        started = history[0]
        assert isinstance(started, e.OrchestrationStarted), "a history begins with its start event"
        resolved = self.registry.orchestrations.resolve(started.name, started.version)
        assert resolved is not None, "it has just run"
        make = executor_class(self.guard)
        executor = make(resolved[1].fn, started, exceptions=self.registry.exceptions, limits=self.limits)
        try:
            return executor.feed(history[1:])
        finally:
            executor.close()


def _ending(turn: Turn) -> tuple[ExecutionStatus, str | None]:
    """Return how an execution stands after *turn*, and with what output; what a failure says is in its event."""
    match turn.verdict:
        case Continue():
            return ExecutionStatus.RUNNING, None
        case Completed(output=output):
            return ExecutionStatus.COMPLETED, output
        case ContinuesAsNew(input=input_):
            return ExecutionStatus.CONTINUED_AS_NEW, input_
        case _:
            return ExecutionStatus.FAILED, None


def _ended(commit: TurnCommit) -> tuple[ExecutionStatus, str | None]:
    return commit.status, None if commit.status is ExecutionStatus.FAILED else commit.output


def _difference(commit: TurnCommit, decided: Sequence[e.Event], turn: Turn, past: Sequence[e.Event]) -> str:
    known = {event.event_id: event for event in (*past, *decided, *turn.events)}
    live = ", ".join(tell(event, known.get) for event in decided) or "nothing"
    again = ", ".join(tell(event, known.get) for event in turn.events) or "nothing"
    return (
        f"instance {commit.instance_id!r} does not replay: after event {past[-1].event_id} its code decided:"
        f" {live} ({_in_words(_ended(commit))}). Replaying the same history, it decides: {again}"
        f" ({_in_words(_ending(turn))}). {_REMEDY}"
    )


def _in_words(ending: tuple[ExecutionStatus, str | None]) -> str:
    status, output = ending
    return f"then {status.value}" + ("" if output is None else f" with {shortened(output)}")
