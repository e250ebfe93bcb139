"""Waiting until a runtime has nothing to do, and nothing but an offer wakes it."""

from __future__ import annotations

import threading

from duroxide import Runtime
from duroxide.providers.wakeups import Wakeups

from ..patience import PATIENCE, eventually


def first_look(wakeups: Wakeups) -> threading.Event:
    """
    Return what is set when the watcher of the database has begun: it then tells everybody to look, once.

    Call it before anybody subscribes.
    """
    begun, publish = threading.Event(), wakeups.publish_everything

    def publish_everything() -> None:
        publish()
        begun.set()

    wakeups.publish_everything = publish_everything  # type: ignore[method-assign]  # to see it happen
    return begun


def until_idle(runtime: Runtime, begun: threading.Event) -> None:
    """Wait until *runtime*, which polls seldom, has asked what is due next, and waits for that."""
    assert begun.wait(PATIENCE)
    dispatcher = runtime._dispatcher

    def is_idle() -> bool:
        return dispatcher.desk.is_open and not (dispatcher._has_work() or dispatcher._agenda.has_question)

    eventually(is_idle, "the runtime always has something to do")
