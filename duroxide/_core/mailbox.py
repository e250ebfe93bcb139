"""
Who gets which event and which message.

A positional event goes to the oldest wait for its name that is open when it arrives, or to nobody, ever. A queue
message waits for its dequeue, also over continue-as-new. Who has been given up gets nothing and takes no turn.

A dequeue gets the message that is there already when the code next waits, not when it is asked for: a select of two
dequeues gives the loser up before it has received anything, and the message stays for the next one. Dequeues get theirs
one at a time, over all queues in the order in which they were asked for, and the code goes on after each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from . import events as e
from .actions import Scheduled


class Mailbox:
    """The open waits and dequeues of one execution, and its unread messages."""

    __slots__ = ("_arrivals", "_dequeues", "_unread", "_waits", "asked")

    def __init__(self, inherited: Iterable[e.QueuedMessage]) -> None:
        self._waits: dict[str, deque[Scheduled[Any]]] = {}
        #: Dequeues that code has asked for since it last waited, in order, by queue.
        self.asked: deque[tuple[str, Scheduled[Any]]] = deque()
        #: Dequeues for which there was no message when the code waited. A queue has some of these, or unread messages.
        self._dequeues: dict[str, deque[Scheduled[Any]]] = {}
        #: Messages nobody has taken, with their place over all queues in order of arrival.
        self._unread: dict[str, deque[tuple[int, str]]] = {}
        self._arrivals = 0
        for message in inherited:
            self.keep(message.queue, message.data)

    def wait(self, name: str, action: Scheduled[Any]) -> None:
        """Open a wait for the event *name*."""
        self._waits.setdefault(name, deque()).append(action)

    def next_wait(self, name: str) -> Scheduled[Any] | None:
        """Return (and close) the oldest open wait for *name*."""
        return _first_open(self._waits.get(name))

    def next_dequeue(self, queue: str) -> Scheduled[Any] | None:
        """Return (and close) the oldest dequeue that waits for a message of *queue*."""
        return _first_open(self._dequeues.get(queue))

    def keep(self, queue: str, data: str) -> None:
        """Put a message that nobody waits for into *queue*."""
        self._arrivals += 1
        self._unread.setdefault(queue, deque()).append((self._arrivals, data))

    def hand_out(self) -> tuple[Scheduled[Any], str] | None:
        """Return the next dequeue that was asked for and has a message, and the message; None: all others wait now."""
        while self.asked:
            queue, action = self.asked.popleft()
            if action.is_cancelled:
                continue
            unread = self._unread.get(queue)
            if unread:
                return action, unread.popleft()[1]
            self._dequeues.setdefault(queue, deque()).append(action)
        return None

    def unread(self) -> tuple[e.QueuedMessage, ...]:
        """Return the messages that nobody has taken, in order of arrival."""
        unread = [(arrival, queue, data) for queue, line in self._unread.items() for arrival, data in line]
        return tuple(e.QueuedMessage(queue, data) for _, queue, data in sorted(unread))


def _first_open(line: deque[Scheduled[Any]] | None) -> Scheduled[Any] | None:
    while line:
        action = line.popleft()
        if not action.is_cancelled:
            return action
    return None
