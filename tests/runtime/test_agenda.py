"""When a dispatcher asks the store again, and for what it comes late."""

from __future__ import annotations

from typing import Any

from duroxide import Registry, RuntimeOptions
from duroxide._runtime.agenda import Agenda
from duroxide._runtime.dispatcher import Dispatcher
from duroxide._runtime.lateness import LATE_MS
from duroxide._runtime.metrics import Metrics
from duroxide.testing.conformance.vocabulary import first_turn, timer


NOW = 1_700_000_000_000


class Store:
    """Says what is due, at a moment that stands still."""

    def __init__(self, *dues: int) -> None:
        self.dues = [NOW + due for due in dues]
        self.questions = 0
        self.ms = NOW

    def now_ms(self) -> int:
        return self.ms

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


def pause_ms(agenda: Agenda) -> int:
    return round(agenda.pause() * 1000)


def test_passing_on() -> None:
    """Who has passed an instance on comes later for it than one that has passed on another, and that one later than the rest."""
    mine, others, rest = (agenda_of(Store()) for _ in range(3))
    mine.lateness.pass_on(NOW, 500, 3600)
    others.lateness.pass_on(NOW, 900, 3600)
    for agenda in (mine, others, rest):
        agenda.note(NOW + 500)

    assert [500 + 2 * LATE_MS, 500 + LATE_MS, 500] == [pause_ms(agenda) for agenda in (mine, others, rest)]


def test_question() -> None:
    """So it does if the store says when something is due."""
    store = Store(500, 510)
    agenda = agenda_of(store)
    agenda.lateness.pass_on(NOW, 900, 3600)
    agenda._ask_at = 0.0

    assert (500 + LATE_MS, 1) == (pause_ms(agenda), store.questions)


def test_for_a_while() -> None:
    """When nothing can be left of what was passed on, it is on time again."""
    agenda = agenda_of(Store())
    agenda.lateness.pass_on(NOW, 500, 0)
    agenda.note(NOW + 500)

    assert 500 == pause_ms(agenda)


def test_own_timers() -> None:
    """The timers of executions in memory fire on time all the same."""
    provider: Any = Store()
    dispatcher = Dispatcher(provider, Registry(), RuntimeOptions(), runtime_id="runtime", metrics=Metrics())
    dispatcher._agenda = agenda_of(provider)
    dispatcher._agenda.lateness.pass_on(NOW, 500, 3600)
    dispatcher._timers.add(first_turn(messages=(timer("a", 2, NOW + 500),)))
    dispatcher.notice_messages(NOW + 500)

    assert 0.5 == round(dispatcher._pause(), 3)


def test_fetched_before_it_is_due() -> None:
    """What is known to be due later is still known after a fetch, and nobody is asked for it."""
    store = Store(500)
    agenda = agenda_of(store)
    agenda.note(NOW + 500)
    agenda.before_fetch()
    agenda._ask_at = None

    assert (500, 0) == (pause_ms(agenda), store.questions)


def test_fetched_when_it_is_due() -> None:
    """Once what was due has been fetched, the store is asked what comes after it, at once."""
    store = Store(500, 700)
    agenda = agenda_of(store)
    agenda.note(NOW + 500)
    store.ms = NOW + 500
    agenda.before_fetch()

    assert (200, 1) == (pause_ms(agenda), store.questions)
