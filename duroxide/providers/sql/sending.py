"""Work of two steps, sending and waiting, of which the first is done ahead."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Generic, TypeVar


ResultT = TypeVar("ResultT")


class SentFirst(Generic[ResultT]):
    """
    Sends at once, and waits when called; called again, it sends and waits.

    Args:
        work: Makes a generator that sends before it yields, waits after that, and returns what came of it.
    """

    def __init__(self, work: Callable[[], Generator[None, None, ResultT]]) -> None:
        self._work = work
        self._error: Exception | None = None
        self._under_way: Generator[None, None, ResultT] | None = work()
        try:
            next(self._under_way)
        except Exception as error:  # noqa: BLE001  # whatever it is, whoever waits shall have it
            self._error = error

    def __call__(self) -> ResultT:
        """Return what comes of it. Raises what is raised on the way, the first time also while it was sent."""
        under_way, self._under_way = self._under_way, None
        error, self._error = self._error, None
        if error is not None:
            raise error
        if under_way is None:
            under_way = self._work()
            next(under_way)
        try:
            next(under_way)
        except StopIteration as stop:
            result: ResultT = stop.value
            return result
        raise AssertionError("nothing is left to be done after the answer")
