"""
The threads that run activities, and that the runtime can count on.

Waking a thread costs more than a short activity. So a batch of short work wakes one thread, and each thread that takes a
piece while more is waiting wakes the next, unless one is on its way: what blocks spreads over all threads even if it
was thought to be short, and what does not is done by few. A batch of work that is known to block wakes a thread for each
piece at once: each hop of the chain would wait for the GIL.
"""

from __future__ import annotations

import logging
import threading

from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar


_log = logging.getLogger("duroxide.runtime")

WorkT = TypeVar("WorkT")


class WorkerThreads(Generic[WorkT]):
    """
    A growing pool of daemon threads.

    Args:
        name: Prefix of the threads' names.

        size: Threads at most. `replace_one` allows one more, for one that is lost to a piece of work
            that does not end, until `take_one_back`.

        run: Does one piece of work. It must not raise.
    """

    def __init__(self, name: str, size: int, run: Callable[[WorkT], None]) -> None:
        self._name = name
        self._size = size
        self._do = run
        self._lock = threading.Lock()
        self._waiting: deque[WorkT] = deque()
        # Each idle thread sleeps on a lock of its own; the one that was busy last is woken first.
        self._idle: list[threading.Lock] = []
        self._threads: set[threading.Thread] = set()
        self._started = 0
        #: Threads that were woken or started, and have not looked for work yet.
        self._coming = 0
        #: Threads that will look for work when they have brought some.
        self._coming_back: set[int] = set()
        self._is_stopping = False

    def post(self, work: Sequence[WorkT], *, blocks: bool = False) -> None:
        """
        Run *work*, each piece in some thread.

        Args:
            blocks: Whether it will probably wait for something, so that each piece needs a thread of its own.
        """
        self._waiting.extend(work)
        others = (len(work) if blocks else 1) - (threading.get_ident() in self._coming_back)
        if others > 0:
            self._wake(others)

    def come_back_after(self, do: Callable[[], None]) -> None:
        """Run *do*, in a thread of the pool, which then looks for work: it need not be woken for one piece of its own."""
        me = threading.get_ident()
        self._coming_back.add(me)
        try:
            do()
        finally:
            self._coming_back.discard(me)

    @property
    def has_current(self) -> bool:
        """Whether it is one of these threads that asks."""
        return threading.current_thread() in self._threads

    def take_back(self) -> int:
        """Forget the work that no thread has begun; return how much it was."""
        taken = 0
        while self._next() is not None:
            taken += 1
        return taken

    def replace_one(self) -> None:
        """Allow one thread more: one is stuck."""
        with self._lock:
            self._size += 1
        self._wake(1)

    def take_one_back(self) -> None:
        """Allow one thread less: the one that was stuck has ended its work, and either it or another one ends."""
        with self._lock:
            self._size -= 1

    def stop(self) -> None:
        """Let every thread end after the piece it is at."""
        with self._lock:
            self._is_stopping = True
            idle, self._idle = self._idle, []
            self._coming += len(idle)
        for sleeper in idle:
            sleeper.release()

    def join(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds in all for the threads to end; return whether they have."""
        for thread in tuple(self._threads):
            thread.join(max(timeout, 0) / max(len(self._threads), 1))
        return not any(thread.is_alive() for thread in self._threads)

    def _wake(self, most: int) -> None:
        """Wake up to *most* idle threads for what is waiting; if there are too few, start one."""
        with self._lock:
            wanted = min(most, len(self._waiting) - self._coming)
            woken = [self._idle.pop() for _ in range(min(wanted, len(self._idle)))]
            self._coming += len(woken)
            thread = self._another() if wanted > len(woken) else None
        for sleeper in woken:
            sleeper.release()
        if thread is not None:
            self._start(thread)

    def _start(self, thread: threading.Thread) -> None:
        try:
            thread.start()
        except RuntimeError as error:  # the system gives no more
            with self._lock:
                self._started -= 1
                self._coming -= 1
                self._threads.discard(thread)
                if not self._started:
                    raise
            _log.warning("%d threads must do for all activities: %s", self._started, error)

    def _another(self) -> threading.Thread | None:
        """Return another thread, to be started, if there may be one. Call it under the lock."""
        if self._started >= self._size or self._is_stopping:
            return None
        self._started += 1
        self._coming += 1
        thread = threading.Thread(target=self._run, name=f"{self._name}-{self._started}", daemon=True)
        self._threads.add(thread)
        return thread

    def _next(self) -> WorkT | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _run(self) -> None:
        sleeper = threading.Lock()
        sleeper.acquire()
        self._arrive()
        while True:
            work = self._next()
            if work is not None:
                if self._waiting and not self._coming:
                    self._wake(1)
                self._do(work)
                if self._started > self._size and self._may_leave():
                    return
            elif self._may_sleep(sleeper):
                sleeper.acquire()
                self._arrive()
            elif self._is_stopping:
                return

    def _may_leave(self) -> bool:
        """Whether this thread is one too many, so that it ends."""
        with self._lock:
            if self._started <= self._size:
                return False
            self._started -= 1
            self._threads.discard(threading.current_thread())
        if self._waiting:  # it might have been expected to look
            self._wake(1)
        return True

    def _arrive(self) -> None:
        with self._lock:
            self._coming -= 1

    def _may_sleep(self, sleeper: threading.Lock) -> bool:
        """Whether there is nothing to do, so that whoever brings something will release *sleeper*."""
        with self._lock:
            if self._is_stopping or self._waiting:
                return False
            self._idle.append(sleeper)
            return True
