"""When a dispatcher asks the store again, and for what it comes late."""

from __future__ import annotations

import threading

from collections.abc import Callable
from typing import Any

from duroxide._runtime.agenda import LATE_MS, Agenda


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


def elsewhere(work: Callable[[], object]) -> None:
    """Do *work* in another thread."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def pause_ms(agenda: Agenda) -> int:
    return round(agenda.pause() * 1000)


def test_passing_on() -> None:
    """Who has passed an instance on comes later for it than those who have not."""
    mine, other = agenda_of(Store()), agenda_of(Store())
    with mine.passing_on():
        for agenda in (mine, other):
            agenda.note(NOW + 500)

    assert (500 + LATE_MS, 500) == (pause_ms(mine), pause_ms(other))


def test_nothing_else_is_late() -> None:
    """What was not passed on here is fetched when it is due, whoever tells of it and when."""
    agenda = agenda_of(Store())
    with agenda.passing_on():
        agenda.note(NOW + 500)
        elsewhere(lambda: agenda.note(NOW + 590))
    assert 590 == pause_ms(agenda)
    agenda.note(NOW + 550)

    assert 550 == pause_ms(agenda)


def test_question() -> None:
    """The store says when that is due, too: it is not taken for news, and hides nothing else."""
    store = Store(500, 510, 520, 1000)
    agenda = agenda_of(store)
    with agenda.passing_on():
        agenda.note(NOW + 500)
        agenda.note(NOW + 510)
    agenda._ask_at = 0.0

    assert (520, 3) == (pause_ms(agenda), store.questions)


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


def test_what_was_passed_on_is_forgotten() -> None:
    """When its time has come, also for who comes late, an instance that was passed on is one like all others."""
    store = Store()
    agenda = agenda_of(store)
    with agenda.passing_on():
        agenda.note(NOW + 500)
    for ms, left in ((500 + LATE_MS - 1, 1), (500 + LATE_MS, 0)):
        store.ms = NOW + ms
        agenda.before_fetch()

        assert left == len(agenda._left_to_others)
