"""The schema: created at once, upgraded under a lock, and the same whichever way it came about."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading

from pathlib import Path

import pytest

from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text

from duroxide import Registry, Runtime
from duroxide.errors import ProviderError
from duroxide.providers.sql import SqlProvider, migrate
from duroxide.providers.sql.definitions import definitions
from duroxide.providers.sql.schema import metadata
from duroxide.providers.sql.tables import VERSION_TABLE
from duroxide.testing.conformance.vocabulary import fetch_one, start

from .stores import Store, described


def set_revision(store: Store, provider: SqlProvider, revision: str) -> None:
    """Pretend that another release has migrated the database."""
    table = VERSION_TABLE if store.schema is None else f'"{store.schema}".{VERSION_TABLE}'
    with provider._engine.begin() as connection:
        connection.execute(text(f"UPDATE {table} SET version_num = '{revision}'"))  # noqa: S608


class TestMissing:
    def test_says_what_to_do(self, store_url: str) -> None:
        """A database that nobody has initialized: what has to come first, not just which table is missing."""
        runtime = Runtime(store_url, Registry())
        try:
            with pytest.raises(ProviderError, match="call its start") as raised:
                runtime.client.start_orchestration("a", "flow")
            assert "duroxide_" in str(raised.value)
            assert not raised.value.retryable
        finally:
            runtime.shutdown()


class TestMigrations:
    def test_same_schema(self, shared_store: Store) -> None:
        """The migrations make the schema that schema.py describes."""
        created = shared_store.open()
        expected = described(created, shared_store.schema)
        schema = shared_store.schema
        with created._engine.begin() as connection:
            metadata.drop_all(connection.execution_options(schema_translate_map={None: schema}))
            connection.execute(text(f"DROP TABLE {migrate._table(schema)}"))
        with created._engine.begin() as connection:
            migrate.upgrade(connection, schema)

        assert expected == described(created, schema)

    def test_written_down(self) -> None:
        """What a fresh SQLite database is made of is what schema.py describes: print it again when that has changed."""
        provider = SqlProvider.in_memory()
        compiler, dialect = provider.dialects
        provider.close()

        expected = [" ".join(each.split()) for each in definitions(compiler, dialect, None)]
        assert expected == [" ".join(each.split()) for each in dialect.definitions()]

    def test_revisions(self) -> None:
        """The revisions that the code knows are Alembic's, in order."""
        config = Config()
        config.set_main_option("script_location", "duroxide.providers.sql:migrations")
        revisions = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]

        assert list(migrate.REVISIONS) == revisions[::-1]


class TestInitialize:
    def test_twice(self, store: Store) -> None:
        """Initializing again changes nothing."""
        provider = store.open()
        provider.enqueue([start()])
        provider.initialize()

        assert "a" == fetch_one(provider).lock.instance_id

    def test_at_once(self, shared_store: Store) -> None:
        """Many providers may initialize one empty database at the same time."""
        providers = [shared_store.make() for _ in range(5)]
        barrier = threading.Barrier(len(providers))
        errors: list[BaseException] = []

        def run(provider: SqlProvider) -> None:
            barrier.wait()
            try:
                provider.initialize()
            except BaseException as error:  # noqa: BLE001  # reported by the assertion
                errors.append(error)

        threads = [threading.Thread(target=run, args=(provider,)) for provider in providers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert [] == errors
        assert [] == providers[0].audit()

    def test_newer_but_compatible(self, shared_store: Store, caplog: pytest.LogCaptureFixture) -> None:
        """A newer schema of the same generation is used as it is, with a warning."""
        set_revision(shared_store, shared_store.open(), "1_9999")
        with caplog.at_level(logging.WARNING, "duroxide.provider"):
            provider = shared_store.open()
        provider.enqueue([start()])

        assert ["newer_schema"] == [record.__dict__["action"] for record in caplog.records]
        assert "a" == fetch_one(provider).lock.instance_id

    def test_other_generation(self, shared_store: Store) -> None:
        """A schema of another generation is refused, with the remedy."""
        set_revision(shared_store, shared_store.open(), "2_0001")
        with pytest.raises(ProviderError, match="Upgrade duroxide") as caught:
            shared_store.open()

        assert not caught.value.retryable

    def test_nothing_noted(self, shared_store: Store) -> None:
        """A version table that somebody has emptied is an error that says so."""
        provider = shared_store.open()
        table = VERSION_TABLE if shared_store.schema is None else f'"{shared_store.schema}".{VERSION_TABLE}'
        with provider._engine.begin() as connection:
            connection.execute(text(f"DELETE FROM {table}"))  # noqa: S608  # ours
        with pytest.raises(ProviderError, match="is empty: somebody has removed its row") as caught:
            shared_store.open()

        assert not caught.value.retryable

    def test_without_alembic(self, sqlite_url: str) -> None:
        """Neither a fresh nor a current database costs the import of Alembic, nor of the ORM."""
        program = (
            "import sys; from duroxide.providers.sql import SqlProvider\n"
            "for _ in range(2):\n"
            "    with SqlProvider(sys.argv[1]): pass\n"
            "print([name for name in ('alembic', 'sqlalchemy.orm', 'psycopg') if name in sys.modules])"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, sqlite_url],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

        assert "[]" == done.stdout.strip()
