"""
How a client's messages get into the store: handed over to a runtime of this process, or by the queue.

What is handed over is stored with the turn that it leads to: one transaction instead of two and a fetch. Whatever is
not, for whichever reason, goes the general way.
"""

from __future__ import annotations

from collections.abc import Sequence

from ._core.commit import Outgoing
from ._core.messages import Deliver, Message, StartOrchestration
from .errors import ProviderError
from .providers.contract import Provider
from .providers.handover import Offer, Outcome
from .providers.wrapping import door_of


#: How long (seconds) a client waits at least for a runtime to begin writing down what it was offered. Far longer than
#: turns take, so that a turn that has not ended by then may be waiting for the client itself.
PATIENCE = 0.05

#: More messages than this are not handed over: their turns would take longer than putting them into the queue, which is
#: all that the client waits for, and which costs little for each of many.
MOST = 20


def start(
    provider: Provider, messages: Sequence[StartOrchestration], *, must_be_new: bool, connection: object
) -> Sequence[bool]:
    """Start instances as `Provider.start_instances` does; return for each whether its id was free."""
    # Several that must all be new are all or nothing, and commits of turns stand and fall alone.
    may_be_handed_over = connection is None and (len(messages) == 1 or not must_be_new)
    handed_over = _hand_over(provider, messages) if may_be_handed_over else _nothing(messages)
    if must_be_new:
        _raise("start_instances", handed_over)
    # Otherwise nothing is done twice: an id that was taken after all is not free.
    others = [message for message, is_stored in zip(messages, handed_over.stored, strict=True) if not is_stored]
    if not others:
        return handed_over.stored
    answers = iter(provider.start_instances(others, must_be_new=must_be_new, connection=connection))
    return [is_stored or next(answers) for is_stored in handed_over.stored]


def send(provider: Provider, message: Deliver, *, connection: object) -> None:
    """Send *message* as `Provider.enqueue` does."""
    handed_over = _hand_over(provider, [message]) if connection is None else _nothing([message])
    _raise("enqueue", handed_over)
    if not all(handed_over.stored):
        provider.enqueue((Outgoing(message),), connection=connection)


def _hand_over(provider: Provider, messages: Sequence[Message]) -> Outcome:
    if not 0 < len(messages) <= MOST:
        return _nothing(messages)
    offer = Offer(messages)
    if not provider.wakeups.hand_over(offer, door=door_of(provider)):
        return _nothing(messages)
    return offer.outcome(PATIENCE)


def _nothing(messages: Sequence[Message]) -> Outcome:
    return Outcome([False] * len(messages))


def _raise(operation: str, handed_over: Outcome) -> None:
    """Raise what the caller's own transaction would have."""
    error = handed_over.error
    if error is not None:
        raise ProviderError(operation, error.message, retryable=error.retryable) from error
