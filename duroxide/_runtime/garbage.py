"""
Garbage is collected between rounds, not in the middle of one.

A round makes dozens of objects for each of its turns, and all of them live until its commit. The collector, called each
time that a few hundred more are alive, would look through them again and again and find nothing: a fifth of the cost of a
round. What the rest of the process leaves is collected as soon as the round is over.

The switch is the whole process's: it is set back as it was found, by the last who leaves. Rounds of several runtimes may
overlap without end, and one may wait for the store: so it is switched on for a moment at the end of each round, and by who
keeps the leases of a runtime.
"""

from __future__ import annotations

import gc
import threading

from ..providers.forking import in_child


class _Straw:
    """An object more: to make one is what has the collector look whether it is due."""


class Collector:
    """Whether this process collects garbage: not within a ``with`` of it, which a round is. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rounds = 0
        #: Whether the application has it on, as found by the first round of several.
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
            self._switch_on()
        self._let_collect()

    def look(self) -> None:
        """Collect what rounds that are under way have put off, if that is due."""
        with self._lock:
            if not self._rounds:
                return
            self._switch_on()
        self._let_collect()

    def _switch_on(self) -> None:
        if self._was_on:
            gc.enable()

    def _let_collect(self) -> None:
        """Let the collector see whether it is due; then it is off again, if any round is under way."""
        # Rounds may follow each other so closely, or overlap, that nothing else is made in between.
        _Straw()
        with self._lock:
            if self._rounds:
                gc.disable()

    def begin_as_child(self) -> None:
        """Go on in a child that was forked, perhaps in the middle of a round: the rounds are the parent's."""
        self._lock = threading.Lock()
        if self._rounds:
            self._rounds = 0
            self._switch_on()


#: The one of this process.
COLLECTOR = Collector()
in_child(COLLECTOR.begin_as_child)
