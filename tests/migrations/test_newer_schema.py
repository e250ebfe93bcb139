"""What a later release of the same generation may do to a database, while this one goes on working with it."""

from __future__ import annotations

import pytest

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from duroxide import Client, InstanceFilter, Runtime, SqlProvider
from duroxide.providers.sql.schema import metadata
from duroxide.providers.sql.tables import VERSION_TABLE

from ..conftest import with_psycopg
from ..workload.outcomes import check, start_one_of_each
from ..workload.programs import OPTIONS, registry


def upgrade_to_the_future(url: str) -> None:
    """
    Add to every table a column that nobody here knows, an index on it, and a table of another kind.

    Done again, as an upgrade is, if it and a turn that was being committed wanted the same tables in another order.
    """
    engine = create_engine(url if url.startswith("sqlite") else with_psycopg(url), poolclass=NullPool)
    for _ in range(20):
        try:
            with engine.begin() as connection:
                add_what_nobody_knows(connection)
        except OperationalError as error:
            if "deadlock" not in str(error):
                raise
        else:
            return
    raise AssertionError("a runtime with little to do is always in the way")


def add_what_nobody_knows(connection: Connection) -> None:
    """Change the schema, in the caller's transaction."""
    for table in metadata.sorted_tables:
        connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN future TEXT DEFAULT 'x' NOT NULL"))
        connection.execute(text(f"CREATE INDEX {table.name}_future ON {table.name} (future)"))
    connection.execute(text("CREATE TABLE duroxide_future (instance_id TEXT PRIMARY KEY)"))
    connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '1_9999'"))  # noqa: S608  # ours


def test_additions_are_ignored(store_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Columns with defaults, indexes and tables that this release does not know are no concern of its work, old or new."""
    with SqlProvider(store_url) as before, Runtime(before, registry, OPTIONS):
        client = Client(before)
        client.start_orchestration("old", "told", 1)
        upgrade_to_the_future(store_url)
        with SqlProvider(store_url) as after, Runtime(after, registry, OPTIONS):
            check(after, start_one_of_each(Client(after), 1))
        assert [1, 2] == client.wait_for_result("old", 30)

    assert "newer_schema" in [getattr(record, "action", "") for record in caplog.records]
    with SqlProvider(store_url) as provider:
        assert [] == provider.audit()
        assert Client(provider).delete_instance_bulk(InstanceFilter()).instances
        assert 0 == Client(provider).get_system_metrics(count_events=True).total_events
