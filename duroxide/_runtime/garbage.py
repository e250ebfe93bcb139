"""
Garbage is collected between rounds, not in the middle of one.

A round makes dozens of objects for each of its turns, and all of them live until its commit. The collector, called each
time that a few hundred more are alive, would look through them again and again and find nothing: a fifth of the cost of a
round. What the rest of the process leaves is collected as soon as the round is over.

The switch is the whole process's: it is set back as it was found, by the last who leaves.
"""

from __future__ import annotations

import gc
import threading


class _Straw:
    """An object more: to make one is what has the collector look whether it is due."""


class Collector:
    """Whether this process collects garbage: not within a ``with`` of it, which a round is. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if self._rounds == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._rounds += 1

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._rounds -= 1
            if self._rounds == 0 and self._was_on:
                gc.enable()
        # Rounds may follow each other so closely that nothing else is made in between.
        _Straw()


#: The one of this process.
COLLECTOR = Collector()
