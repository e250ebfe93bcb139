"""
Who is waiting for what in a database, inside this process.

The signal belongs to the database, not to an object: two providers on one database share one
`Wakeups`, so a client and a runtime that were given the same URL wake each other. What other processes
write is noticed by a watcher of the provider (LISTEN, or a look at ``PRAGMA data_version``), which then
calls `publish_everything`.

Callbacks run in the publisher's thread, right after its commit: they must only set a flag and return.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterable, Mapping
from typing import Self, TypeAlias, TypeVar

from attrs import field

from .._nouns import frozen, noun
from .handover import Offer
from .recent import RecentStarts


CallbackT = TypeVar("CallbackT")


@frozen
class Output:
    """What an instance has completed with, and who waited for it before that was committed: others must look."""

    #: JSON.
    text: str
    awaited_by: tuple[OnInstance, ...]
    #: Whether that is all there is to know: the instance never had a custom status.
    is_all: bool = False


#: Called with the output of an instance that has completed, or with None: look what has changed.
OnInstance: TypeAlias = Callable[[Output | None], None]


@noun(kw_only=True)
class Changes:
    """What one commit left for others."""

    #: Orchestrator messages that are visible now.
    messages: bool = False
    #: The earliest time (ms since the epoch) at which a message written by it becomes visible.
    due_ms: int | None = None
    #: Activities that anybody may take.
    activities: bool = False
    #: Instances whose status, custom status or key-values have changed.
    instances: Iterable[str] = ()
    #: Of those that have completed, if anybody has waited for them.
    outputs: Mapping[str, Output] = field(factory=dict)


NO_CHANGES = Changes()


@frozen(eq=False)
class _Taker:
    """Who takes what is handed over, and by which door."""

    callback: Callable[[Offer], bool]
    door: object


class Subscription:
    """Keeps a callback registered until it is closed."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the callback. Idempotent; a call under way may still finish."""
        self._close()


class Wakeups:
    """The in-process signal of one database. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.recent_starts = RecentStarts()
        # Tuples are replaced, never changed, so that publishing needs no lock.
        self._on_messages: tuple[Callable[[int | None], None], ...] = ()
        self._on_activities: tuple[Callable[[], None], ...] = ()
        self._on_instance: dict[str, tuple[OnInstance, ...]] = {}
        self._on_offers: tuple[_Taker, ...] = ()
        self._subscribers = 0
        self._when_subscribed: Callable[[], None] | None = None

    def on_messages(self, callback: Callable[[int | None], None]) -> Subscription:
        """Call *callback* with None when messages are there, or with the time (ms) when some will be."""
        with self._lock:
            self._on_messages = (*self._on_messages, callback)
        return self._subscription(lambda: self._drop_messages(callback))

    def on_activities(self, callback: Callable[[], None]) -> Subscription:
        """Call *callback* when there are activities that anybody may take."""
        with self._lock:
            self._on_activities = (*self._on_activities, callback)
        return self._subscription(lambda: self._drop_activities(callback))

    def on_instance(self, instance_id: str, callback: OnInstance) -> Subscription:
        """Call *callback* when status, custom status or key-values of *instance_id* change; see `OnInstance`."""
        with self._lock:
            self._on_instance[instance_id] = (*self._on_instance.get(instance_id, ()), callback)
        return self._subscription(lambda: self._drop_instance(instance_id, callback))

    def waiting_for(self, instance_id: str) -> tuple[OnInstance, ...]:
        """Return who waits for changes of *instance_id* now."""
        return self._on_instance.get(instance_id, ())

    def on_offers(self, callback: Callable[[Offer], bool], *, door: object) -> Subscription:
        """
        Call *callback* with what a client would hand over; it returns at once whether the offer is taken.

        Args:
            door: What client and taker must share: see `wrapping.door_of`.
        """
        taker = _Taker(callback, door)
        with self._lock:
            self._on_offers = (*self._on_offers, taker)
        return self._subscription(lambda: self._drop_offers(taker))

    @property
    def has_subscribers(self) -> bool:
        """Whether anybody in this process waits for anything: only then is watching the database worth it."""
        return self._subscribers > 0

    def when_subscribed(self, callback: Callable[[], None]) -> None:
        """Call *callback* at every new subscription; the provider starts its watcher with it."""
        self._when_subscribed = callback

    def begin_as_child(self) -> None:
        """Forget who waited in the process that this one was forked from: they are not here."""
        self._lock = threading.Lock()
        self._on_messages = self._on_activities = self._on_offers = ()
        self._on_instance = {}
        self._subscribers = 0

    def publish(self, changes: Changes) -> None:
        """Tell those who wait for what has changed. Call it after the commit, holding no lock."""
        if changes.messages or changes.due_ms is not None:
            due_ms = None if changes.messages else changes.due_ms
            for on_messages in self._on_messages:
                on_messages(due_ms)
                if due_ms is None and changes.due_ms is not None:
                    on_messages(changes.due_ms)
        if changes.activities:
            for on_activities in self._on_activities:
                on_activities()
        self.recent_starts.heard_of(changes.instances)
        for instance_id in changes.instances if self._on_instance else ():
            output = changes.outputs.get(instance_id)
            for on_instance in self.waiting_for(instance_id):
                on_instance(output if output is not None and on_instance in output.awaited_by else None)

    def hand_over(self, offer: Offer, *, door: object) -> bool:
        """Return whether a runtime of this process, with the same *door*, has taken *offer*."""
        return any(taker.callback(offer) for taker in self._on_offers if taker.door is door)

    def publish_everything(self) -> None:
        """Tell everybody: another process has written something, and nobody knows what."""
        self.recent_starts.heard_something()
        self.publish(Changes(messages=True, activities=True, instances=self._waited_for()))

    def look_again(self) -> None:
        """Have everybody who waits for an instance look at it: something else than a change may end the wait."""
        self.publish(Changes(instances=self._waited_for()))

    def _waited_for(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(self._on_instance)

    def _subscription(self, drop: Callable[[], None]) -> Subscription:
        lock = self._lock
        with lock:
            self._subscribers += 1
            started = self._when_subscribed
        if started is not None:
            started()
        is_open = True

        def close() -> None:
            nonlocal is_open
            if lock is not self._lock:
                return  # it was opened in the process that this one was forked from
            with lock:
                if is_open:
                    is_open = False
                    self._subscribers -= 1
                    drop()

        return Subscription(close)

    def _drop_messages(self, callback: Callable[[int | None], None]) -> None:
        self._on_messages = _without(self._on_messages, callback)

    def _drop_activities(self, callback: Callable[[], None]) -> None:
        self._on_activities = _without(self._on_activities, callback)

    def _drop_instance(self, instance_id: str, callback: OnInstance) -> None:
        left = _without(self._on_instance[instance_id], callback)
        if left:
            self._on_instance[instance_id] = left
        else:
            del self._on_instance[instance_id]

    def _drop_offers(self, taker: _Taker) -> None:
        self._on_offers = _without(self._on_offers, taker)


def _without(callbacks: tuple[CallbackT, ...], callback: CallbackT) -> tuple[CallbackT, ...]:
    """Return *callbacks* less one occurrence of *callback* (compared by equality: bound methods are made anew)."""
    position = callbacks.index(callback)
    return callbacks[:position] + callbacks[position + 1 :]
