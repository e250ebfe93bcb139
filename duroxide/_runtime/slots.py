"""
The slots of a worker: the activities that it holds, and how many more it may.

Rule: a slot is free again only when the outcome has been handed over. Who sees that nothing runs any more finds the
outcomes of all that ran.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from attrs import field

from .._clock import monotonic
from .._core.commit import ActivityLock
from .._core.functions import FunctionInfo
from .._core.messages import ActivityExecute, ActivityKey
from .._nouns import define
from .activity_context import Cancellation
from .fetching import Next
from .pace import Pace


@define(eq=False)
class RunningActivity:
    """An activity that this runtime holds, waiting for a thread or running."""

    info: FunctionInfo
    work: ActivityExecute
    lock: ActivityLock
    renewed_at: float
    cancellation: Cancellation = field(factory=Cancellation)
    started_at: float | None = None
    cancelled_at: float | None = None
    is_abandoned: bool = False
    #: Whether it is at work in a thread of the runtime's own, and whether there was to be another one when it was abandoned.
    is_on_thread: bool = False
    is_replaced: bool = False
    #: Given back before it began: it must not begin any more.
    is_withdrawn: bool = False
    #: Where an executor of the user's runs it, and whether that was asked to let go of it.
    future: Future[Any] | None = None
    is_recalled: bool = False


class Slots:
    """
    Slots for activities. Thread-safe.

    Args:
        size: How many activities run at a time. More are held, as `Pace` says, and one for each that is abandoned.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._mutex = threading.Lock()
        self._idle = threading.Condition(self._mutex)
        self._running: dict[ActivityKey, RunningActivity] = {}
        #: Their locks expired, and they were fetched again: the second run is in `_running`, the first goes on until it is told.
        self._overtaken: set[RunningActivity] = set()
        #: Promised to a commit that is under way.
        self._promised = 0
        self._abandoned = 0
        self._pace = Pace(size)
        #: Whether the last fetch took all it could, so that more may be waiting for free slots.
        self._is_behind = False
        #: Claimed by a round, or fetched, after `close`.
        self._late: list[ActivityLock] = []
        self.is_closed = False

    @property
    def held(self) -> list[RunningActivity]:
        """What is held at the moment."""
        with self._mutex:
            return self._held()

    @property
    def promised(self) -> int:
        """How many slots are promised."""
        return self._promised

    @property
    def blocks(self) -> bool:
        """Whether activities wait for something, as a rule."""
        return self._pace.blocks

    # Promises

    def promise(self) -> bool:
        """Promise a slot to a commit, if there is one."""
        with self._mutex:
            if self._free() <= 0:
                return False
            self._promised += 1
            return True

    def release(self, how_many: int) -> bool:
        """Take promises back; return whether to fetch, as `end` does."""
        with self._mutex:
            self._promised -= how_many
            return how_many > 0 and self._is_behind and self._has_room()

    # What is held

    def fill(self, activities: Sequence[RunningActivity]) -> bool:
        """Hold *activities*; return False if it is too late, and they are to be given back."""
        with self._mutex:
            if self.is_closed:
                self._late += [each.lock for each in activities]
                return False
            for each in activities:
                before = self._running.setdefault(each.lock.key, each)
                if before is not each:
                    self._overtaken.add(before)
                    self._running[each.lock.key] = each
            return True

    def begin(self, activity: RunningActivity) -> bool:
        """Return whether *activity* may begin, which it then does."""
        with self._mutex:
            if activity.is_withdrawn:
                return False
            activity.started_at = monotonic()
            return True

    def end(self, activity: RunningActivity, hand_over: Callable[[bool], None]) -> tuple[bool, bool]:
        """
        Free the slot of *activity*, which has ended.

        Args:
            hand_over: Hands its outcome over, while nobody looks; is told whether nothing else is held or promised.

        Returns:
            Whether nothing else is held or promised, and whether to fetch: more is waiting, and there is room for it.
        """
        now = monotonic()
        with self._mutex:
            self._pace.ended(now - (activity.started_at or now))
            may_fetch = self._remove(activity)
            is_empty = not self._count()
            is_last = is_empty and not self._promised and not self.is_closed
            hand_over(is_last)
            if self.is_closed and is_empty:
                self._idle.notify_all()
        return is_last, may_fetch

    def drop(self, activity: RunningActivity) -> bool:
        """Free the slot of *activity*, of which nothing will come; return whether to fetch, as `end` does."""
        with self._mutex:
            may_fetch = self._remove(activity)
            if not self._count():
                self._idle.notify_all()
        return may_fetch

    def withdraw(self) -> list[ActivityLock]:
        """Take away what is held but has not begun, and return the locks."""
        with self._mutex:
            locks, self._late = self._late, []
            for each in [each for each in self._held() if each.started_at is None]:
                each.is_withdrawn = True
                self._remove(each)
                locks.append(each.lock)
        return locks

    def take_back(self, activities: Iterable[RunningActivity]) -> list[ActivityLock]:
        """Free the slots of those of *activities* that have not begun, and must not any more; return the locks."""
        with self._mutex:
            taken = [each for each in activities if each.started_at is None and not each.is_withdrawn]
            for each in taken:
                each.is_withdrawn = True
                self._remove(each)
            if not self._count():
                self._idle.notify_all()
        return [each.lock for each in taken]

    def of(self, keys: Iterable[ActivityKey]) -> list[RunningActivity]:
        """Return those of the activities *keys* that are held."""
        with self._mutex:
            return [each for each in map(self._running.get, keys) if each is not None]

    def tell(self, activities: Iterable[RunningActivity]) -> list[RunningActivity]:
        """Tell *activities* that nobody wants their result any more; return those that did not know."""
        with self._mutex:
            told = [each for each in activities if each.cancelled_at is None]
            for each in told:
                each.cancelled_at = monotonic()
        for each in told:
            each.cancellation.set()
        return told

    def abandon(self, activity: RunningActivity) -> bool:
        """Give the slot of an activity that does not end to another one; return whether there was one to give."""
        with self._mutex:
            if activity.is_abandoned or activity not in self._held():
                return False
            activity.is_abandoned = True
            activity.is_replaced = activity.is_on_thread
            self._abandoned += 1
            return True

    def leave_thread(self, activity: RunningActivity) -> None:
        """Take note that *activity* goes on elsewhere: to abandon it loses no thread from now on."""
        with self._mutex:
            activity.is_on_thread = False

    def close(self) -> None:
        """Hold no more."""
        with self._mutex:
            self.is_closed = True

    def wait_idle(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds until nothing is held; return whether nothing is."""
        with self._idle:
            return self._idle.wait_for(lambda: not self._count(), timeout)

    # Fetching

    def room(self) -> tuple[int, frozenset[str]]:
        """Return how many activities to fetch, 0 if it is not worth it yet, and the sessions of those that are held."""
        with self._mutex:
            if not self._has_room():
                self._is_behind = True
                return 0, frozenset()
            sessions = {each.work.session_id for each in self._held()}
            return self._free(), frozenset(each for each in sessions if each is not None)

    def fetched(self, found: int, wanted: int, seconds: float) -> Next:
        """Take note of a fetch, and return what to do after it."""
        with self._mutex:
            if found:
                self._pace.fetched(seconds)
            self._is_behind = found == wanted
            if not self._is_behind:
                return Next.WAIT
            return Next.FETCH if self._has_room() else Next.WAIT_FOR_ROOM

    def _held(self) -> list[RunningActivity]:
        """Return what is held. Call it under the mutex."""
        return [*self._running.values(), *self._overtaken]

    def _count(self) -> int:
        """Return how many are held. Call it under the mutex."""
        return len(self._running) + len(self._overtaken)

    def _free(self) -> int:
        """Return how many activities more may be held. Call it under the mutex."""
        return self._size + self._pace.ahead + self._abandoned - self._count() - self._promised

    def _has_room(self) -> bool:
        """Whether another fetch is worth it, with more waiting. Call it under the mutex."""
        return self._free() >= self._pace.portion

    def _remove(self, activity: RunningActivity) -> bool:
        """Free a slot; return whether to fetch. Call it under the mutex."""
        held = self._running.pop(activity.lock.key, None)
        if held is not activity:
            self._overtaken.discard(activity)
            if held is not None:
                self._running[activity.lock.key] = held
        if activity.is_abandoned:
            self._abandoned -= 1
        return self._is_behind and self._has_room()
