"""When a dispatcher asks the store again, and for what it comes late."""

from __future__ import annotations

import threading

from collections.abc import Callable
from functools import partial
from typing import Any

from duroxide import Registry, RuntimeOptions
from duroxide._runtime.agenda import LATE_MS, Agenda
from duroxide._runtime.dispatcher import Dispatcher
from duroxide._runtime.metrics import Metrics
from duroxide.testing.conformance.vocabulary import first_turn, timer


NOW = 1_700_000_000_000


class Store:
    """Says what is due, at a moment that stands still."""

    def __init__(self, *dues: int) -> None:
        self.dues = [NOW + due for due in dues]
        self.questions = 0

    def now_ms(self) -> int:
        return NOW

    def next_due_ms(self, after_ms: int | None = None) -> int | None:
        self.questions += 1
        return min((due for due in self.dues if due > (after_ms or NOW)), default=None)


def agenda_of(store: Any) -> Agenda:
    """An agenda that is about to fetch in this thread."""
    agenda = Agenda(store, 3600.0)
    agenda.before_fetch()
    agenda.after_fetch()
    agenda._ask_at = None
    return agenda


def elsewhere(work: Callable[[], object]) -> None:
    """Do *work* in another thread."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def pause_ms(agenda: Agenda) -> int:
    return round(agenda.pause() * 1000)


def test_passing_on() -> None:
    """Who has passed an instance on comes later than others: for that one, and for what others have passed on meanwhile."""
    mine, other = agenda_of(Store()), agenda_of(Store())
    mine.come_late(3600)
    for due in (590, 500):
        for agenda in (mine, other):
            elsewhere(partial(agenda.note, NOW + due))

    assert (500 + LATE_MS, 500) == (pause_ms(mine), pause_ms(other))


def test_question() -> None:
    """So it does if the store says when something is due."""
    store = Store(500, 510)
    agenda = agenda_of(store)
    agenda.come_late(3600)
    agenda._ask_at = 0.0

    assert (500 + LATE_MS, 1) == (pause_ms(agenda), store.questions)


def test_for_a_while() -> None:
    """When nothing can be left of what was passed on, it is on time again."""
    agenda = agenda_of(Store())
    agenda.come_late(0)
    agenda.note(NOW + 500)

    assert 500 == pause_ms(agenda)


def test_own_timers() -> None:
    """The timers of executions in memory fire on time all the same."""
    provider: Any = Store()
    dispatcher = Dispatcher(provider, Registry(), RuntimeOptions(), runtime_id="runtime", metrics=Metrics())
    dispatcher._agenda = agenda_of(provider)
    dispatcher._agenda.come_late(3600)
    dispatcher._timers.add(first_turn(messages=(timer("a", 2, NOW + 500),)))
    dispatcher.notice_messages(NOW + 500)

    assert 0.5 == round(dispatcher._pause(), 3)
