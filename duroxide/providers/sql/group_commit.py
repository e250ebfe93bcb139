"""
Writers that meet share a transaction: where there is one writer at a time, what costs is each commit, not what is in it.

Whoever comes while nobody writes leads: it carries out its own work and that of all who have come meanwhile, and
commits once. The others just wait for that. Work that fails is undone alone. If the transaction as a whole fails, it
is the leader's failure; the others have not been tried, and one of them leads next.
"""

from __future__ import annotations

import threading

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from attrs import field

from ..._nouns import define
from ..wakeups import NO_CHANGES, Changes
from .dialect import Use


@define(eq=False)
class Written:
    """One piece of work on its way into a transaction, and what becomes of it."""

    work: Callable[[Any], Any]
    use: Use
    result: Any = None
    #: What *work* raised, if it did; then nothing of it was written.
    error: BaseException | None = None
    changes: Changes = NO_CHANGES
    is_done: bool = False
    #: Whether it is its turn to lead.
    leads: bool = False
    # Held until it is done, or to lead.
    _turn: threading.Lock = field(factory=threading.Lock)

    def wait(self) -> None:
        """Wait until it is done, or its turn to lead."""
        self._turn.acquire()

    def wake(self) -> None:
        """Let `wait` return."""
        self._turn.release()


class GroupCommit:
    """
    The writers of one connection.

    Args:
        write: Carries out all that it is given in one transaction, and commits. If it raises, nothing was written.
    """

    def __init__(self, write: Callable[[Sequence[Written]], None]) -> None:
        self._write = write
        self._mutex = threading.Lock()
        self._waiting: deque[Written] = deque()
        self._is_led = False

    def write(self, work: Callable[[Any], Any], use: Use) -> Written:
        """Return what became of *work* in a transaction that was committed. Raises what ended that transaction."""
        mine = Written(work, use)
        mine.wait()  # nobody holds it yet
        with self._mutex:
            mine.leads, self._is_led = not self._is_led, True
            if not mine.leads:
                self._waiting.append(mine)
        if not mine.leads:
            try:
                mine.wait()
            except BaseException:  # Ctrl-C
                self._withdraw(mine)
                raise
        if not mine.is_done:
            self._lead(mine)
        return mine

    def _withdraw(self, mine: Written) -> None:
        """Nobody waits for it any more: take it back, unless somebody is at it, and let another lead."""
        with self._mutex:
            if mine in self._waiting:
                self._waiting.remove(mine)
        if mine.leads:
            self._hand_over()

    def _lead(self, mine: Written) -> None:
        with self._mutex:
            others = list(self._waiting)
            self._waiting.clear()
        try:
            self._write([mine, *others])
        except BaseException:
            with self._mutex:
                self._waiting.extendleft(reversed(others))
            others = []
            raise
        finally:
            for each in others:
                each.is_done = True
                each.wake()
            self._hand_over()

    def _hand_over(self) -> None:
        with self._mutex:
            next_leader = self._waiting.popleft() if self._waiting else None
            self._is_led = next_leader is not None
            if next_leader is not None:
                next_leader.leads = True
        if next_leader is not None:
            next_leader.wake()
