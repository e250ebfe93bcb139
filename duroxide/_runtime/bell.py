"""What wakes a thread of the runtime: a flag that can be waited for, without the Python code of `threading.Event`."""

from __future__ import annotations

from queue import Empty, SimpleQueue


class Bell:
    """
    Wakes the one thread that waits for it. Rung while nobody waits, it is heard by the next wait.

    Whoever rings has said before what for, where the other one looks: a bell may ring once too often, never too seldom.
    """

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake who waits. Called from any thread."""
        if self._rings.empty():
            self._rings.put(None)

    def wait(self, timeout: float) -> bool:
        """Wait up to *timeout* seconds (more than 0) until it rings; return whether it did."""
        try:
            self._rings.get(timeout=timeout)
        except Empty:
            return False
        return True

    def silence(self) -> bool:
        """Forget that it rang; return whether it did."""
        rang = False
        while not self._rings.empty():
            # Nobody else takes anything out.
            self._rings.get()
            rang = True
        return rang
