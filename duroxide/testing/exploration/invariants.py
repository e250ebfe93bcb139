"""
What must hold at every step of an exploration, and what at its end: ours, and the user's.

Ours: no work is lost or doubled in the store (`audit`), every decision comes out again when it is replayed, and no
instance fails because code and history do not fit, or because its messages were delivered too often.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from attrs import frozen

from ..._core.events import OrchestrationFailed
from ...errors import ErrorCategory, ErrorKind, InvalidInput, NondeterminismError
from ..simulation.simulator import Simulator
from ..simulation.store import Written


#: Raises AssertionError, or returns False, if something is wrong with the simulation that it is given.
Invariant = Callable[[Simulator], object]


def checked_invariants(option: str, invariants: object) -> Sequence[Invariant]:
    """
    Return *invariants*, the value of *option*.

    Raises:
        InvalidInput: If it is no list of functions: one function, say.
    """
    found: tuple[Any, ...] = tuple(invariants) if isinstance(invariants, Iterable) else (None,)
    if not all(map(callable, found)):
        msg = f"{option} is {invariants!r}: give a list of functions of the simulator, also if it is one."
        raise InvalidInput(msg)
    return found


@frozen
class Broken:
    """An invariant that does not hold. *label* names the invariant, so that shrinking stays with one."""

    label: str
    message: str
    error: Exception | None = None


def broken_by_step(simulator: Simulator, step: Callable[[], object], always: Sequence[Invariant]) -> Broken | None:
    """Make a step; return the first thing that does not hold after it."""
    try:
        step()
    except NondeterminismError as error:
        return Broken("replay", str(error), error)
    except Exception as error:  # noqa: BLE001  # whatever it is, the schedule that leads to it is worth reporting
        return Broken(type(error).__name__, f"the step raised {type(error).__name__}: {error}", error)
    return next(_broken(simulator, always), None)


def _broken(simulator: Simulator, always: Sequence[Invariant]) -> Iterator[Broken]:
    for written in simulator.committed:
        yield from _engine_failure(written)
    for violation in simulator.audit():
        yield Broken("audit", f"the store is not as it must be: {violation}")
    yield from broken(simulator, always)


def _engine_failure(written: Written) -> Iterator[Broken]:
    """Yield a failure that is not the code's own: history and code do not fit, or the engine gave the instance up."""
    last = written.commit.events[-1] if written.commit.events else None
    if not isinstance(last, OrchestrationFailed):
        return
    if last.details.kind is ErrorKind.NONDETERMINISM or last.details.category is ErrorCategory.POISON:
        label = "replay" if last.details.kind is ErrorKind.NONDETERMINISM else "poison"
        yield Broken(label, f"instance {written.commit.instance_id!r} fails: {last.details.display}")


def broken(simulator: Simulator, invariants: Sequence[Invariant]) -> Iterator[Broken]:
    """Yield which of the user's *invariants* do not hold now."""
    for invariant in invariants:
        name = getattr(invariant, "__name__", repr(invariant))
        try:
            holds = invariant(simulator)
        except Exception as error:  # noqa: BLE001  # a check that raises does not hold, whatever it raises
            kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
            yield Broken(name, f"{name} does not hold: {kind}{error}" if str(error) else f"{name} does not hold", error)
        else:
            if holds is False:
                yield Broken(name, f"{name} does not hold")
