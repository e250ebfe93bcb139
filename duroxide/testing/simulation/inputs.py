"""What a test sends to instances, and when."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Literal, TypeAlias

from attrs import field, frozen

from ..._core.durations import Duration, duration_ms
from .clock import BEGINNING_MS
from .steps import Arrive


class AnyTime(Enum):
    """The type of `ANY_TIME`."""

    ANY_TIME = "at any time"


#: In an exploration: whenever it is drawn. In a simple run: when there is nothing else to do.
ANY_TIME: Literal[AnyTime.ANY_TIME] = AnyTime.ANY_TIME

#: A virtual time since the beginning of the simulation, `ANY_TIME`, or None: at once.
When: TypeAlias = Duration | Literal[AnyTime.ANY_TIME] | None


@frozen
class Input:
    """Something to be sent. *at_ms* is milliseconds since the epoch; None: at any time."""

    number: int
    at_ms: int | None
    what: str
    send: Callable[[], object] = field(repr=False)

    @property
    def step(self) -> Arrive:
        """The step in which it arrives."""
        return Arrive(self.number, self.what)


@frozen
class Inputs:
    """What is still to be sent."""

    _waiting: list[Input] = field(factory=list)
    _numbers: list[int] = field(factory=lambda: [0])

    def add(self, at: Duration | Literal[AnyTime.ANY_TIME], what: str, send: Callable[[], object]) -> None:
        """Send it when *at* says."""
        self._numbers[0] += 1
        at_ms = None if at is ANY_TIME else BEGINNING_MS + duration_ms(at, what=f"at= of {what}")
        self._waiting.append(Input(self._numbers[0], at_ms, what, send))

    def take(self, number: int) -> Input:
        """Take out the input *number*."""
        found = next(each for each in self._waiting if each.number == number)
        self._waiting.remove(found)
        return found

    def due(self, now_ms: int) -> list[Input]:
        """Return what is to be sent now, the earliest first."""
        timed = [each for each in self._waiting if each.at_ms is not None and each.at_ms <= now_ms]
        return sorted(timed, key=lambda each: (each.at_ms, each.number))

    def any_time(self) -> list[Input]:
        """Return what may be sent at any time; of what is alike, the messages of one queue, the first."""
        firsts: dict[str, Input] = {}
        for each in self._waiting:
            if each.at_ms is None:
                firsts.setdefault(each.what, each)
        return list(firsts.values())

    def next_due_ms(self, now_ms: int) -> int | None:
        """Return when the next one is to be sent."""
        return min(
            (each.at_ms for each in self._waiting if each.at_ms is not None and each.at_ms > now_ms), default=None
        )
