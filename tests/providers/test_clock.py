"""Whose time it is: machines whose clocks are apart agree on the database's."""

from __future__ import annotations

import logging

import pytest

from duroxide._clock import SystemClock
from duroxide.providers.sql import SqlProvider


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


def test_given_clock(postgres_url: str, postgres_schema: str) -> None:
    """A clock that is given is right."""

    class Held:
        def now_ms(self) -> int:
            return 5

    with SqlProvider(postgres_url, schema=postgres_schema, clock=Held()) as provider:
        assert 5 == provider.now_ms()
