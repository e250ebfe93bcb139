"""
Who gets which event and which message.

A positional event goes to the oldest wait for its name that is open when it arrives, or to nobody, ever. A queue
message waits for its dequeue, also over continue-as-new. Who has been given up gets nothing and takes no turn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from . import events as e
from .actions import Scheduled


class Mailbox:
    """The open waits and dequeues of one execution, and its unread messages."""

    __slots__ = ("_arrivals", "_dequeues", "_unread", "_waits")

    def __init__(self, inherited: Iterable[e.QueuedMessage]) -> None:
        self._waits: dict[str, deque[Scheduled[Any]]] = {}
        self._dequeues: dict[str, deque[Scheduled[Any]]] = {}
        #: Messages nobody has taken, with their place over all queues in order of arrival.
        self._unread: dict[str, deque[tuple[int, str]]] = {}
        self._arrivals = 0
        for message in inherited:
            self.arrive(message.queue, message.data)

    def wait(self, name: str, action: Scheduled[Any]) -> None:
        """Open a wait for the event *name*."""
        self._waits.setdefault(name, deque()).append(action)

    def dequeue(self, queue: str, action: Scheduled[Any]) -> None:
        """Open a dequeue."""
        self._dequeues.setdefault(queue, deque()).append(action)

    def next_wait(self, name: str) -> Scheduled[Any] | None:
        """Return (and close) the oldest open wait for *name*."""
        line = self._waits.get(name)
        while line:
            action = line.popleft()
            if not action.is_cancelled:
                return action
        return None

    def arrive(self, queue: str, data: str) -> None:
        """Put a message into *queue*."""
        self._arrivals += 1
        self._unread.setdefault(queue, deque()).append((self._arrivals, data))

    def hand_out(self, queue: str) -> Iterator[tuple[Scheduled[Any], str]]:
        """Give unread messages to the dequeues that wait for them, first to first; each answer may give up others."""
        unread, line = self._unread.get(queue), self._dequeues.get(queue)
        while unread and line:
            action = line.popleft()
            if not action.is_cancelled:
                yield action, unread.popleft()[1]

    def unread(self) -> tuple[e.QueuedMessage, ...]:
        """Return the messages that nobody has taken, in order of arrival."""
        unread = [(arrival, queue, data) for queue, line in self._unread.items() for arrival, data in line]
        return tuple(e.QueuedMessage(queue, data) for _, queue, data in sorted(unread))
