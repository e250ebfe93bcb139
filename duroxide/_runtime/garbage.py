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

from collections.abc import Iterator
from contextlib import contextmanager


class Collector:
    """Whether this process collects garbage, as far as rounds are concerned. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds = 0
        self._was_on = False

    @contextmanager
    def put_off(self) -> Iterator[None]:
        """Collect nothing meanwhile."""
        with self._lock:
            if self._rounds == 0:
                self._was_on = gc.isenabled()
                gc.disable()
            self._rounds += 1
        try:
            yield
        finally:
            with self._lock:
                self._rounds -= 1
                if self._rounds == 0 and self._was_on:
                    gc.enable()


#: The one of this process.
COLLECTOR = Collector()
