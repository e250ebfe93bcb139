"""
The threads that run activities, and that the runtime can count on.

Waking a thread costs more than a short activity. So a batch of work wakes one thread, and each thread
that takes a piece while more is waiting wakes the next before it begins: work that blocks spreads over
all threads at once, work that does not is done by few.
"""

from __future__ import annotations

import threading

from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar


WorkT = TypeVar("WorkT")


class WorkerThreads(Generic[WorkT]):
    """
    A growing pool of daemon threads.

    Args:
        name: Prefix of the threads' names.

        size: Threads at most. `replace_one` allows one more, for one that is lost to a piece of work
            that does not end.

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
        self._is_stopping = False

    def post(self, work: Iterable[WorkT]) -> None:
        """Run *work*, each piece in some thread."""
        self._waiting.extend(work)
        self._wake_one()

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
        self._wake_one()

    def stop(self) -> None:
        """Let every thread end after the piece it is at."""
        with self._lock:
            self._is_stopping = True
            idle, self._idle = self._idle, []
        for sleeper in idle:
            sleeper.release()

    def join(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds in all for the threads to end; return whether they have."""
        for thread in tuple(self._threads):
            thread.join(max(timeout, 0) / max(len(self._threads), 1))
        return not any(thread.is_alive() for thread in self._threads)

    def _wake_one(self) -> None:
        with self._lock:
            if not self._waiting:
                return
            if self._idle:
                self._idle.pop().release()
                return
            if self._started >= self._size or self._is_stopping:
                return
            self._started += 1
            thread = threading.Thread(target=self._run, name=f"{self._name}-{self._started}", daemon=True)
            self._threads.add(thread)
        thread.start()

    def _next(self) -> WorkT | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    def _run(self) -> None:
        sleeper = threading.Lock()
        sleeper.acquire()
        while True:
            work = self._next()
            if work is None:
                with self._lock:
                    if self._is_stopping:
                        return
                    if self._waiting:
                        continue
                    self._idle.append(sleeper)
                sleeper.acquire()
                continue
            if self._waiting:
                self._wake_one()
            self._do(work)
