"""What a provider leaves behind when nobody has it any more, and what it leaves on what is the caller's."""

from __future__ import annotations

import gc

from weakref import ref

import pytest

from sqlalchemy import create_engine

from duroxide import Client, Registry, Runtime, SqlProvider
from duroxide.providers.sql.postgres import PostgresDialect
from duroxide.testing.conformance.vocabulary import start


def test_dropped(store_url: str) -> None:
    """A provider that is dropped without close() is collected, with its connections, and says so; others go on."""
    with SqlProvider(store_url) as other:
        provider = SqlProvider(store_url)
        provider.initialize()
        provider.enqueue([start()])
        database = ref(provider._database)
        with pytest.warns(ResourceWarning, match=r"dropped without close\(\)"):  # noqa: PT031  # whichever of them it is
            del provider
            gc.collect()

        assert database() is None
        other.enqueue([start("another")])


def test_runtime_that_was_never_started(sqlite_url: str) -> None:
    """Its shutdown closes the provider that it has made."""
    runtime = Runtime(sqlite_url, Registry())
    runtime.provider.initialize()
    runtime.shutdown()

    assert runtime.provider._database._closed.is_set()  # type: ignore[attr-defined]


def test_callers_connection(sqlite_url: str) -> None:
    """However many transactions of a Connection, and clients in them, one listener stays on it; and it hurries the watcher."""
    engine = create_engine(sqlite_url)
    with Client(sqlite_url) as client, engine.connect() as connection:
        for number in range(3):
            with Client(sqlite_url) as another, connection.begin():
                client.start_orchestration(f"a{number}", "o", connection=connection)
                another.start_orchestration(f"b{number}", "o", connection=connection)
        hurry = client._provider._shared.hurry  # type: ignore[attr-defined]

        assert hurry.is_set()
        assert 1 == len(list(connection.dispatch.commit))
    engine.dispose()


def test_type_that_was_changed() -> None:
    """A session that has prepared a statement for other types is not asked again, but replaced."""
    errors = pytest.importorskip("psycopg.errors")

    assert PostgresDialect(None, "channel").is_stale(
        errors.FeatureNotSupported("cached plan must not change result type")
    )
