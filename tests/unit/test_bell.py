"""A bell is never rung in vain."""

from __future__ import annotations

import threading

from duroxide._runtime.bell import Bell

from ..patience import PATIENCE


def test_rung_before() -> None:
    """Rung while nobody waits, it is heard by the next wait, and by one only."""
    bell = Bell()
    bell.ring()
    bell.ring()

    assert bell.wait(PATIENCE)
    assert not bell.wait(0.001)


def test_rung_meanwhile() -> None:
    """Who waits is woken."""
    bell, heard = Bell(), threading.Event()

    def wait() -> None:
        if bell.wait(PATIENCE):
            heard.set()

    waiter = threading.Thread(target=wait)
    waiter.start()
    bell.ring()

    assert heard.wait(PATIENCE)
    waiter.join(PATIENCE)


def test_silence() -> None:
    """What is forgotten is not heard; it is told whether there was something to forget."""
    bell = Bell()
    bell.ring()

    assert [bell.silence(), bell.silence(), bell.wait(0.001)] == [True, False, False]
