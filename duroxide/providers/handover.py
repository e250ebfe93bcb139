"""
Handing messages over to a runtime of the same process, instead of leaving them in the queue for it.

A client offers its messages. A dispatcher that has nothing to do takes the offer, runs a turn for each message, and
commits the turns: the messages are stored as what they led to, and never as messages. Until the commit begins, the
client may take its offer back and send the messages the general way, as it does with those that are declined.

Rule 1: it is a short cut, and nothing rests on it. What must hold is what the commits say (`TurnCommit.handed_over`).

Rule 2: nobody waits for a turn. Orchestration code that waits for its starter meets one who has gone another way.
"""

from __future__ import annotations

import threading

from collections.abc import Iterator, Sequence
from enum import Enum

from .._core.messages import Message
from .._nouns import frozen
from ..errors import ProviderError


class _State(Enum):
    """How far an offer has come."""

    OFFERED = "offered"
    WITHDRAWN = "withdrawn"
    BEING_WRITTEN = "being written"


class Offer:
    """
    Messages that a client would rather hand over than send.

    The client waits in `outcome`; the dispatcher that has taken the offer calls `begin_writing` before it commits,
    and says of each message what became of it. What is said first counts.
    """

    def __init__(self, messages: Sequence[Message]) -> None:
        self._messages = messages
        self._lock = threading.Lock()
        self._state = _State.OFFERED
        self._fates: list[bool | None] = [None] * len(messages)
        self._left = len(messages)
        #: Why some were not stored, if nobody knows whether they were.
        self._error: ProviderError | None = None
        # Held until the fate of each message is known.
        self._waiting = threading.Lock()
        self._waiting.acquire()

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Offered]:
        """Return the messages, each with its way to say what became of it."""
        return (Offered(self, position, message) for position, message in enumerate(self._messages))

    # The dispatcher's side

    @property
    def is_withdrawn(self) -> bool:
        """Whether the client has gone another way."""
        return self._state is _State.WITHDRAWN

    def begin_writing(self) -> bool:
        """Return whether the turns may be committed. If so, the client waits from now on, however long that takes."""
        with self._lock:
            if self._state is _State.OFFERED:
                self._state = _State.BEING_WRITTEN
            return self._state is _State.BEING_WRITTEN

    def settle(self, position: int, *, is_stored: bool, error: ProviderError | None = None) -> None:
        """Say what became of one message."""
        with self._lock:
            if self._fates[position] is not None:
                return
            self._fates[position] = is_stored
            if self._state is _State.BEING_WRITTEN:
                self._error = self._error or error
            self._left -= 1
            is_over = not self._left
        if is_over:
            self._waiting.release()

    # The client's side

    def outcome(self, patience: float) -> Outcome:
        """
        Wait for what becomes of the messages; withdraw the offer if the commit has not begun in *patience* seconds.

        Of a withdrawn offer nothing is stored.
        """
        is_over = False
        try:
            is_over = self._waiting.acquire(timeout=patience)
        finally:
            is_withdrawn = not is_over and self._withdraw()  # Ctrl-C, too
        if is_withdrawn:
            return Outcome([False] * len(self._messages))
        if not is_over:
            self._waiting.acquire()
        return Outcome([bool(fate) for fate in self._fates], self._error)

    def _withdraw(self) -> bool:
        with self._lock:
            if self._state is _State.OFFERED:
                self._state = _State.WITHDRAWN
            return self._state is _State.WITHDRAWN


@frozen
class Offered:
    """One message of an offer."""

    offer: Offer
    position: int
    message: Message

    def stored(self) -> None:
        """It is in the store."""
        self.offer.settle(self.position, is_stored=True)

    def declined(self) -> None:
        """It is not in the store, and must go the general way."""
        self.offer.settle(self.position, is_stored=False)

    def failed(self, error: ProviderError) -> None:
        """The commit failed: if that may pass, nobody knows whether it has happened; else it has not."""
        self.offer.settle(self.position, is_stored=False, error=error if error.retryable else None)


@frozen
class Outcome:
    """What became of an offer."""

    #: For each message, whether it is known to be in the store.
    stored: Sequence[bool]
    #: Set if nobody knows whether those that are not are: the commit has failed.
    error: ProviderError | None = None
