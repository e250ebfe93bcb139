"""Whether orchestration code decides the same each time: `check_deterministic`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from attrs import evolve

from .._core import events as e
from .._core.failures import NO_EXCEPTIONS, ExceptionTypes
from .._core.nondeterminism import describe
from .._core.verdicts import Failed, Turn
from .._guard import executor_class
from ..errors import Divergence, InvalidInput, ReplayDiverged
from .histories import Replayer, describe_verdict, divergence, first_divergence, start_of


#: Longer histories are cut at this many places, evenly spread.
MOST_CUTS = 100


def check_deterministic(
    fn: Callable[..., Any],
    history: Sequence[e.Event],
    *,
    exceptions: ExceptionTypes = NO_EXCEPTIONS,
    guard: bool = True,
) -> None:
    """
    Replay *history* whole, cut at every event, and twice over; raise unless *fn* decides the same each time.

    A live orchestration that is fed event by event must decide after each what a replay of all of them decides, and a
    second run what the first one decided. Whatever the history has must be what the code asks for.

    Args:
        fn: The orchestration function.

        history: The events of one execution, as `Client.read_execution_history` returns them, or put together by hand.
            It need not have ended. Histories of more than `MOST_CUTS` events are cut at that many places.

        exceptions: Recorded type name → exception class: `Registry.exceptions`.

        guard: Whether calls to the clock, to randomness and to the world outside are errors.

    Raises:
        ReplayDiverged: With the first event at which something else was decided.

        InvalidInput: If *history* is no sequence of events, or does not begin with its start event.
    """
    given: object = history
    if not isinstance(given, Sequence) or not all(isinstance(event, e.Event) for event in given):
        msg = (
            f"{given!r:.200} is no history: give the events of one execution, as read_execution_history() returns them."
        )
        raise InvalidInput(msg)
    guarded = Replayer(exceptions, executor_class("raise" if guard else "off"))
    found = first_divergence(history, fn, guarded, is_whole=False)
    found = found or _first_difference(history, fn, Replayer(exceptions))
    if found is not None:
        raise ReplayDiverged(found)


def _first_difference(history: Sequence[e.Event], fn: Callable[..., Any], replayer: Replayer) -> Divergence | None:
    """Return where a second run, or one that is cut elsewhere, decides something else than the first."""
    started = start_of(history)
    first = replayer.executor(fn, started)
    second = replayer.executor(fn, started)
    done = 0
    try:
        for length in _cuts(len(history)):
            turns = [executor.feed(history[max(done, 1) : length]) for executor in (first, second)]
            done = length
            whole = replayer.executor(fn, started)
            try:
                turns.append(whole.feed(history[1:length], persisted=length))
            finally:
                whole.close()
            for again in turns[1:]:
                if _comparable(again) != _comparable(turns[0]):
                    expected, got = _difference(turns[0], again)
                    place = first.scheduler.where()
                    return divergence(started, history[length - 1], place=place, expected=expected, got=got)
    finally:
        first.close()
        second.close()
    return None


def _cuts(length: int) -> Iterable[int]:
    """Yield at which lengths to look, ascending; the whole length is one of them."""
    step = max(length // MOST_CUTS, 1)
    return sorted({*range(1, length + 1, step), length})


def _difference(first: Turn, again: Turn) -> tuple[str, str]:
    """Return in one line each what the two decide differently."""
    for position in range(max(len(first.events), len(again.events))):
        one, other = first.events[position : position + 1], again.events[position : position + 1]
        if one != other:
            return _event(one), f"in another run of the same history: {_event(other)}"
    return describe_verdict(first.verdict), f"in another run of the same history: {describe_verdict(again.verdict)}"


def _comparable(turn: Turn) -> Turn:
    """Return *turn* without the text that says how it came about."""
    if isinstance(turn.verdict, Failed):
        return evolve(turn, verdict=Failed(evolve(turn.verdict.details, traceback=None)))
    return turn


def _event(events: tuple[e.Event, ...]) -> str:
    return describe(events[0]) if events else "nothing"
