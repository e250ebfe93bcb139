"""Making providers, sharing a database, and what errors look like."""

from __future__ import annotations

import sys
import threading

from pathlib import Path
from typing import Any

import pytest

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.pool import NullPool

from duroxide.errors import InvalidInput, ProviderError
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.dialect import driver_connection
from duroxide.providers.sql.shared import shared_database
from duroxide.testing.conformance.vocabulary import LOCK_MS, fetch_one, start

from .stores import Store


class TestMaking:
    def test_repr(self) -> None:
        """A provider does not show its password."""
        provider = SqlProvider("postgresql://me:secret@db.example/orders", schema="flows")

        assert "<SqlProvider('postgresql+psycopg://me:***@db.example/orders', schema='flows')>" == repr(provider)

    @pytest.mark.parametrize(
        ("url", "options", "remedy"),
        [
            ("mysql://db/orders", {}, "sqlite:/// or postgresql://"),
            ("sqlite:///x.db", {"schema": "s"}, "a database file of its own"),
            ("sqlite:///x.db", {"synchronous": "OFF"}, "not one of"),
            ("sqlite://x.db", {}, "write sqlite:///path.db"),
            ("sqlite:///a\0b", {}, "write sqlite:///path.db"),
            ("sqlite+pysqlcipher:///x.db", {}, "'sqlite\\+pysqlcipher' is not supported"),
            (
                "postgresql://me:secret@db:port/orders",
                {},
                r"'postgresql://me:\*\*\*@db:port/orders' is not a database URL",
            ),
            ("postgresql://db/orders", {"schema": ""}, "at least one character"),
            ("postgresql://db/orders", {"schema": "a\0"}, "NUL"),
            ("postgresql://db/orders", {"schema": "\ud800"}, "lone surrogate"),
            ("postgresql://db/orders", {"schema": 5}, "give a str"),
            ("postgresql://db/orders", {"schema": "50%"}, "without it"),
            ("postgresql://db/orders", {"schema": "ü" * 32}, "of 64 bytes: Postgres cuts names to 63"),
        ],
    )
    def test_mistakes(self, url: str, options: dict[str, Any], remedy: str) -> None:
        """A mistake is refused with the remedy."""
        with pytest.raises(InvalidInput, match=remedy):
            SqlProvider(url, **options)

    def test_no_driver(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Without psycopg, whoever wants Postgres is told what to install."""
        monkeypatch.setitem(sys.modules, "psycopg", None)
        with pytest.raises(InvalidInput, match=r"psycopg 3.*pip install 'duroxide-python\[postgres\]'"):
            SqlProvider("postgresql://me:secret@db/orders")

    @pytest.mark.parametrize("url", ["sqlite+aiosqlite:///{}/a.db", "sqlite:///file::memory:?uri=true"])
    def test_odd_but_clear(self, url: str, tmp_path: Path) -> None:
        """A URL for an asynchronous driver is as good as another; a database in memory is one, however it is written."""
        with SqlProvider(url.format(tmp_path)) as provider:
            provider.enqueue([start()])
            fetch_one(provider)
            assert provider.next_due_ms() is not None

    def test_engine_in_memory(self) -> None:
        """An Engine whose in-memory database differs from thread to thread is refused."""
        with pytest.raises(InvalidInput, match=r"in_memory\(\)"):
            SqlProvider(create_engine("sqlite://"))

    def test_engine_stays_the_callers(self, shared_store: Store) -> None:
        """A given Engine works, and still works when the provider is closed."""
        engine = create_engine(shared_store.open()._engine.url, poolclass=NullPool)
        with SqlProvider(engine, schema=shared_store.schema) as provider:
            provider.enqueue([start()])
            fetch_one(provider)
        with engine.connect() as connection:
            assert 1 == connection.execute(text("SELECT 1")).scalar()
        engine.dispose()

    def test_engine_that_begins_by_itself(self, sqlite_url: str) -> None:
        """An Engine whose listeners begin transactions, as SQLAlchemy recommends for SQLite, works, on a new file or an old one."""
        engine = create_engine(sqlite_url)
        event.listen(engine, "connect", lambda driver, _: setattr(driver, "isolation_level", None))
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
        for instance_id in ("new", "old"):
            with SqlProvider(engine) as provider:
                with engine.begin() as connection:
                    provider.enqueue([start(instance_id)], connection=connection)
                assert fetch_one(provider).lock.instance_id == instance_id
        engine.dispose()

    def test_identity(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A database is the same however its path is written."""
        monkeypatch.chdir(tmp_path)
        one, other = SqlProvider("sqlite:///a.db"), SqlProvider(f"sqlite:///{tmp_path}/x/../a.db")

        assert one.wakeups is other.wakeups
        assert shared_database("elsewhere").wakeups is not one.wakeups

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("postgresql://db/orders?options=-csearch_path%3Da", "postgresql://db/orders?options=-csearch_path%3Db"),
            ("postgresql://me@db/orders", "postgresql://you@db/orders"),
            ("postgresql:///?service=a", "postgresql:///?service=b"),
            ("postgresql://db/orders?hostaddr=10.0.0.1", "postgresql://db/orders?hostaddr=10.0.0.2"),
        ],
        ids=["search path", "role", "service", "address"],
    )
    def test_not_the_same(self, one: str, other: str) -> None:
        """Postgres may hold other tables for another URL, or for another Engine: nobody is told of anybody else's."""
        assert SqlProvider(one).wakeups is not SqlProvider(other).wakeups
        engines = [create_engine("postgresql+psycopg://db/orders", connect_args={"options": each}) for each in "ab"]
        assert SqlProvider(engines[0]).wakeups is not SqlProvider(engines[1]).wakeups
        assert SqlProvider(engines[0]).wakeups is not SqlProvider("postgresql://db/orders").wakeups

    def test_the_same(self) -> None:
        """The same URL, and the same Engine, are the same database; with a schema, whoever logs in."""
        engine = create_engine("postgresql+psycopg://db/orders")
        pairs: list[tuple[Any, Any, str | None]] = [
            ("postgresql://me:a@db/orders", "postgresql+psycopg://me:b@db:5432/orders", None),
            ("postgresql://me@db/orders", "postgresql://you@db/orders", "flows"),
            ("postgresql:///orders?host=/run", "postgresql:///?host=/run&dbname=orders", None),
            (engine, engine.execution_options(isolation_level="SERIALIZABLE"), None),
        ]
        for one, other, schema in pairs:
            first, second = SqlProvider(one, schema=schema), SqlProvider(other, schema=schema)
            assert first.wakeups is second.wakeups


class TestErrors:
    def test_no_schema(self, store: Store) -> None:
        """A database that was never initialized is a ProviderError that names the operation, not a driver's error."""
        with pytest.raises(ProviderError) as caught:
            store.make().enqueue([start()])

        assert ("enqueue", False) == (caught.value.operation, caught.value.retryable)

    def test_no_file(self, tmp_path: Path) -> None:
        """A file that cannot be opened may be there later."""
        with pytest.raises(ProviderError) as caught:
            SqlProvider(f"sqlite:///{tmp_path}/missing/x.db").initialize()

        assert caught.value.retryable

    def test_no_database(self, tmp_path: Path) -> None:
        """A file of something else, and one that is damaged, are errors that say what to do; they do not pass by themselves."""
        (tmp_path / "text.db").write_text("no database" * 100)
        with SqlProvider(f"sqlite:///{tmp_path}/damaged.db"):
            pass
        whole = (tmp_path / "damaged.db").read_bytes()
        (tmp_path / "damaged.db").write_bytes(whole[: len(whole) // 2])
        for name, remedy in [("text.db", "the path of an SQLite database"), ("damaged.db", "from a backup")]:
            provider = SqlProvider(f"sqlite:///{tmp_path}/{name}")
            with pytest.raises(ProviderError, match=remedy) as caught:
                provider.initialize()
            assert not caught.value.retryable
            provider.close()

    def test_no_server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A server that does not answer may do so later; that was tried a few times."""
        monkeypatch.setattr("duroxide.providers.sql.database.PAUSES", (0.0, 0.0))
        with pytest.raises(ProviderError) as caught:
            SqlProvider(f"postgresql://me@/x?host={tmp_path}").initialize()

        assert caught.value.retryable

    def test_closed(self, sqlite_url: str) -> None:
        """A closed provider says so; closing twice is fine."""
        provider = SqlProvider(sqlite_url)
        provider.initialize()
        provider.close()
        provider.close()
        with pytest.raises(ProviderError, match="closed"):
            provider.enqueue([start()])

    def test_vanished(self, postgres_url: str, postgres_schema: str) -> None:
        """A server that vanishes without a word is noticed within a minute, unless the URL says otherwise."""
        names = ("keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout")
        url = make_url(postgres_url)
        found = []
        for each in (url, url.update_query_dict({"keepalives_idle": "600"})):
            with SqlProvider(each, schema=postgres_schema) as provider, provider._engine.connect() as connection:
                given = driver_connection(connection).info.get_parameters()
                found.append([int(given[name]) for name in names])

        assert [[30, 10, 3, 60_000], [600, 10, 3, 60_000]] == found

    def test_two_phases(self, postgres_url: str, postgres_schema: str) -> None:
        """A two-phase transaction, which Postgres would not prepare, is refused at the call."""
        with SqlProvider(postgres_url, schema=postgres_schema) as provider:
            engine = create_engine(provider._engine.url)
            with (
                engine.connect() as connection,
                connection.begin_twophase(),
                pytest.raises(InvalidInput, match="of one phase"),
            ):
                provider.enqueue([start()], connection=connection)
            engine.dispose()

    def test_lost_connections(self, postgres_url: str, postgres_schema: str) -> None:
        """When the server drops all connections, the next operation opens another, and nobody notices."""
        with SqlProvider(postgres_url, schema=postgres_schema) as provider:
            provider.enqueue([start()])
            killer = create_engine(provider._engine.url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
            with killer.connect() as connection:
                connection.execute(
                    text(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE pid <> pg_backend_pid() AND datname = current_database() AND application_name = ''"
                    )
                )

            assert 1 == len(provider.fetch_orchestration_items(1, LOCK_MS))


class TestManyWriters:
    def test_two_providers_on_a_file(self, shared_store: Store) -> None:
        """Providers that write at the same time wait for each other: nobody ever hears "database is locked"."""
        providers = [shared_store.open() for _ in range(3)]
        errors: list[BaseException] = []

        def write(provider: SqlProvider, name: int) -> None:
            try:
                for number in range(20):
                    provider.enqueue([start(f"{name}-{number}")])
            except BaseException as error:  # noqa: BLE001  # reported by the assertion
                errors.append(error)

        threads = [threading.Thread(target=write, args=(provider, n)) for n, provider in enumerate(providers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [] == errors
        assert 60 == len(providers[0].fetch_orchestration_items(100, LOCK_MS))
