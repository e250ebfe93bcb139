"""
Writers that meet share a transaction: where there is one writer at a time, what costs is each commit, not what is in it.

Whoever comes while nobody writes leads: it carries out its own work and that of all who have come meanwhile, and
commits once. The others just wait for that. Work that fails is undone alone. If the transaction as a whole fails, it
is the leader's failure; the others have not been tried, and one of them leads next.

Rule: an exception may come at any moment (Ctrl-C, a signal's handler, in the main thread), and nobody else must suffer: not
wait for ever, nor be written twice, nor be told of what was not written.
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
    #: Whether the transaction was committed.
    is_done: bool = False
    # Held until it is done, or to lead.
    _turn: threading.Lock = field(factory=threading.Lock)

    def wait(self) -> None:
        """Wait until it is done, or its turn to lead."""
        self._turn.acquire()

    def wake(self) -> None:
        """Let `wait` return. Twice is as good as once; call it under the mutex."""
        if self._turn.locked():
            self._turn.release()


class GroupCommit:
    """
    The writers of one connection.

    Args:
        write: Carries out all that it is given in one transaction, commits, and marks all of it as done. If it raises, what
            it has not marked was not written.
    """

    def __init__(self, write: Callable[[Sequence[Written]], None]) -> None:
        self._write = write
        self._mutex = threading.Lock()
        #: Who waits to be written, or to lead; who is being written stays here until it is done.
        self._waiting: deque[Written] = deque()
        self._leader: Written | None = None

    def write(self, work: Callable[[Any], Any], use: Use) -> Written:
        """Return what became of *work* in a transaction that was committed. Raises what ended that transaction."""
        mine = Written(work, use)
        mine.wait()  # nobody holds it yet
        try:
            with self._mutex:
                if self._leader is None:
                    self._leader = mine
                else:
                    self._waiting.append(mine)
            if self._leader is not mine:
                mine.wait()
            if not mine.is_done:
                self._lead(mine)
            self._leave(mine)
        except BaseException:
            self._leave(mine)  # perhaps once more: it may have been interrupted, even as it began
            raise
        return mine

    def _lead(self, mine: Written) -> None:
        with self._mutex:
            others = [each for each in self._waiting if each is not mine]
        self._write([mine, *others])

    def _leave(self, mine: Written) -> None:
        """Let those go on that are done, and the next one lead. Each step may be done twice."""
        with self._mutex:
            still: deque[Written] = deque()
            for each in self._waiting:
                if each.is_done:
                    each.wake()
                elif each is not mine:
                    still.append(each)
            self._waiting = still
            if self._leader is mine:
                self._leader = still[0] if still else None
            if self._leader is not None:
                self._leader.wake()
