"""Commits under way to Postgres: what may happen between sending them and collecting the answer."""

from __future__ import annotations

import gc

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from attrs import evolve
from sqlalchemy import Connection, create_engine, text
from sqlalchemy.pool import NullPool

from duroxide._core.commit import CommitResult
from duroxide._core.events import ActivityCompleted
from duroxide.errors import ProviderError
from duroxide.providers.pipelined import Pipelined, SentTurns
from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance.vocabulary import (
    LOCK_MS,
    NOW,
    eager_turn,
    events_of,
    finishing_turn,
    must_commit,
    next_turn,
)


FIRST = eager_turn()
SECOND = finishing_turn(FIRST)


@pytest.fixture
def provider(postgres_url: str, postgres_schema: str) -> Iterator[SqlProvider]:
    """A provider whose store has an instance with one turn."""
    with SqlProvider(postgres_url, schema=postgres_schema) as provider:
        must_commit(provider, FIRST)
        yield provider


def send(provider: SqlProvider) -> SentTurns:
    """Send the second turn."""
    assert isinstance(provider, Pipelined)
    return provider.send_turns([SECOND], lock_ms=LOCK_MS)


@contextmanager
def in_the_way(provider: SqlProvider) -> Iterator[Connection]:
    """Keep every commit waiting, by a lock on a table that it needs."""
    engine = create_engine(provider._engine.url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(f'LOCK TABLE "{provider._schema}".duroxide_history IN ACCESS EXCLUSIVE MODE'))
        yield connection
        connection.rollback()
    engine.dispose()


def until_it_waits(rival: Connection) -> int:
    """Return the process of the server that waits for the lock of *rival*, as soon as there is one."""
    waiting = text("SELECT pid FROM pg_stat_activity WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))")
    while not (found := rival.execute(waiting).scalars().all()):
        rival.execute(text("SELECT pg_sleep(0.01)"))
    return int(found[0])


def test_only_on_a_server() -> None:
    """Where the store is this process, nothing can be under way beside other work."""
    with SqlProvider.in_memory() as provider:
        assert not isinstance(provider, Pipelined)


def test_does_not_wait(provider: SqlProvider) -> None:
    """Sending returns although the server cannot commit yet."""
    with in_the_way(provider) as rival:
        sent = send(provider)
        until_it_waits(rival)

    assert [CommitResult.COMMITTED] == list(sent.results())


def test_lost_connection(provider: SqlProvider) -> None:
    """If the connection is lost in between, it is not known whether it was written, and nothing is tried again."""
    with in_the_way(provider) as rival:
        sent = send(provider)
        rival.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": until_it_waits(rival)})
        with pytest.raises(ProviderError, match=r"commit_turns: .*may or may not have happened") as caught:
            sent.results()

    assert caught.value.retryable
    assert 2 == len(events_of(provider))
    must_commit(provider, SECOND)


def test_cancelled(provider: SqlProvider) -> None:
    """What the server gives up for a reason that may pass is done again when the answer is collected."""
    with in_the_way(provider) as rival:
        sent = send(provider)
        rival.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": until_it_waits(rival)})
        rival.rollback()

        assert [CommitResult.COMMITTED] == list(sent.results())
    assert 4 == len(events_of(provider))


def test_never_collected(provider: SqlProvider) -> None:
    """A batch whose results nobody wants leaves the provider as it was, and is whole in the store, or not at all."""
    with in_the_way(provider) as rival:
        sent = send(provider)
        until_it_waits(rival)
        del sent
        gc.collect()

    assert list(provider.commit_turns([SECOND], lock_ms=LOCK_MS)) in ([CommitResult.COMMITTED], [CommitResult.STALE])
    assert 4 == len(events_of(provider))


def test_closed(provider: SqlProvider) -> None:
    """Commits that were sent are collected from a provider that has been closed meanwhile."""
    sent = send(provider)
    provider.close()

    assert [CommitResult.COMMITTED] == list(sent.results())


def test_no_server(postgres_url: str, postgres_schema: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure to send is told to whoever collects."""
    monkeypatch.setattr("duroxide.providers.sql.database.PAUSES", (0.0, 0.0))
    engine = create_engine(SqlProvider(postgres_url)._engine.url.update_query_dict({"host": "/nowhere"}))
    sent = send(SqlProvider(engine, schema=postgres_schema))

    with pytest.raises(ProviderError, match="commit_turns") as caught:
        sent.results()
    assert caught.value.retryable
    engine.dispose()


@pytest.mark.thorough
def test_larger_than_any_buffer(provider: SqlProvider) -> None:
    """A batch of many megabytes gets through, whatever the sockets hold."""
    answer = ActivityCompleted(3, NOW, 2, '"' + "é'\\\\" * 2_000_000 + '"')
    turn = evolve(next_turn(FIRST, answer), finished_activities=FIRST.eager)
    assert isinstance(provider, Pipelined)

    assert [CommitResult.COMMITTED] == list(provider.send_turns([turn], lock_ms=LOCK_MS).results())
    assert answer == events_of(provider)[-1]


def test_engine_of_one_connection(provider: SqlProvider) -> None:
    """An Engine whose pool is a single connection is enough to send, and to collect."""
    engine = create_engine(provider._engine.url, pool_size=1, max_overflow=0, pool_timeout=0.1)
    with SqlProvider(engine, schema=provider._schema) as other:
        assert [CommitResult.COMMITTED] == list(send(other).results())
        assert [CommitResult.STALE] == list(send(other).results())
    engine.dispose()
