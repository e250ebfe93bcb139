"""Whose time it is: machines whose clocks are apart agree on the database's."""

from __future__ import annotations

import logging

import pytest

from sqlalchemy import create_engine

from duroxide._clock import SystemClock
from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance.vocabulary import start


HOUR_MS = 3_600_000

#: Far more than any machine takes to answer, and far less than an hour.
TOLERANCE_MS = 120_000


@pytest.mark.parametrize(("ahead_ms", "words"), [(-HOUR_MS, "behind"), (HOUR_MS, "ahead of")])
def test_postgres(
    postgres_url: str,
    postgres_schema: str,
    ahead_ms: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A machine that is an hour off takes the server's time, and says so once."""
    now_ms = SystemClock().now_ms
    monkeypatch.setattr(SystemClock, "now_ms", lambda self: now_ms() + ahead_ms)
    with caplog.at_level(logging.INFO), SqlProvider(postgres_url, schema=postgres_schema) as provider:
        assert abs(provider.now_ms() - now_ms()) < TOLERANCE_MS
        provider.initialize()
        provider._database._clock._checked_at = float("-inf")
        provider.initialize()
        assert abs(provider.now_ms() - now_ms()) < TOLERANCE_MS
    told = [record.getMessage() for record in caplog.records if "this machine's clock is" in record.getMessage()]

    assert 1 == len(told)
    assert f"ms {words} the database's" in told[0]


def test_postgres_quickest_answer(postgres_url: str, postgres_schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several answers the quickest counts: the slow ones may have been under way on one side only."""
    with SqlProvider(postgres_url, schema=postgres_schema) as provider:
        answers = iter([(0.9, 450), (0.001, 7), (0.5, -250)])
        monkeypatch.setattr(provider._database._clock, "_ask", lambda transaction: next(answers))
        provider._database._clock._checked_at = float("-inf")
        provider.initialize()

        assert 7 == provider._database._clock.offset_ms


class Set:
    """A machine's clock that can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead_ms = 0
        self.right_ms = SystemClock().now_ms
        now_ms = SystemClock.now_ms
        monkeypatch.setattr(SystemClock, "now_ms", lambda clock: now_ms(clock) + self.ahead_ms)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Set:
    """This machine's clock."""
    return Set(monkeypatch)


@pytest.mark.parametrize("ahead_ms", [-HOUR_MS, HOUR_MS])
def test_set_meanwhile(postgres_url: str, postgres_schema: str, clock: Set, ahead_ms: int) -> None:
    """A clock that is set does not move the time, not even until the server is asked again; nor do the seconds that it is asked in."""
    clock.ahead_ms = ahead_ms
    with SqlProvider(postgres_url, schema=postgres_schema) as provider:
        clock.ahead_ms = 0
        assert abs(provider.now_ms() - clock.right_ms()) < TOLERANCE_MS
        for look in (lambda: provider.fetch_orchestration_items(1, 1000), lambda: provider.enqueue([start()])):
            clock.ahead_ms += ahead_ms
            look()
            assert abs(provider.now_ms() - clock.right_ms()) < TOLERANCE_MS
            assert abs(provider._database._clock.offset_ms + clock.ahead_ms) < TOLERANCE_MS


@pytest.mark.parametrize("in_a_transaction", [False, True])
def test_not_initialized(postgres_url: str, postgres_schema: str, clock: Set, in_a_transaction: bool) -> None:
    """A provider that nobody has initialized asks for the time before it sends, and if need be in the caller's transaction."""
    with SqlProvider(postgres_url, schema=postgres_schema):
        pass
    clock.ahead_ms = HOUR_MS
    engine = create_engine(postgres_url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    provider = SqlProvider(engine, schema=postgres_schema)
    if in_a_transaction:
        with engine.begin() as connection:
            provider.start_instances([start().message], connection=connection)
    else:
        provider.start_instances([start().message])

    assert 1 == len(provider.fetch_orchestration_items(1, 1000))
    assert abs(provider.now_ms() - clock.right_ms()) < TOLERANCE_MS
    provider.close()
    engine.dispose()


def test_given_clock(postgres_url: str, postgres_schema: str) -> None:
    """A clock that is given is right."""

    class Held:
        def now_ms(self) -> int:
            return 5

    with SqlProvider(postgres_url, schema=postgres_schema, clock=Held()) as provider:
        assert 5 == provider.now_ms()
