"""A role that may not create tables: a clear error, and a command that prints what another role must run."""

from __future__ import annotations

import shlex

from collections.abc import Iterator

import pytest

from sqlalchemy import URL, create_engine, make_url
from sqlalchemy.pool import NullPool

from duroxide import Client, ProviderError, Runtime, SqlProvider
from duroxide.cli.main import main

from ..conftest import execute, fresh_name
from ..workload.outcomes import check, start_one_of_each
from ..workload.programs import OPTIONS, registry


@pytest.fixture
def restricted_url(postgres_database_url: str) -> Iterator[URL]:
    """The URL of an empty database for a role that may create nothing there."""
    url = make_url(postgres_database_url)
    role = fresh_name()
    execute(url, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'", "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield url.set(username=role, password="secret")  # noqa: S106  # for a minute
    execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.parametrize("schema", [None, "it's $HOME"])
def test_printed_and_run(
    restricted_url: URL, postgres_database_url: str, capsys: pytest.CaptureFixture[str], schema: str | None
) -> None:
    """The error names the command; when what that prints was run by another role, everything works."""
    provider = SqlProvider(restricted_url, schema=schema)
    with pytest.raises(ProviderError, match="python -m duroxide schema --url") as caught:
        provider.initialize()
    assert not caught.value.retryable
    assert "secret" not in str(caught.value)

    arguments = shlex.split(str(caught.value).partition("python -m duroxide ")[2])
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    engine = create_engine(postgres_database_url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(printed)

    provider.initialize()
    with Runtime(provider, registry, OPTIONS):
        check(provider, start_one_of_each(Client(provider), 1))
    assert Client(provider).delete_instance("sequence-1") is not None
    provider.close()


def test_role_of_the_system(restricted_url: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    """A URL may leave it to the system who logs in: the command names that role all the same."""
    given = restricted_url
    assert given.username is not None
    monkeypatch.setenv("PGUSER", given.username)
    monkeypatch.setenv("PGPASSWORD", "secret")
    provider = SqlProvider(
        URL.create(given.drivername, host=given.host, port=given.port, database=given.database, query=given.query)
    )
    with pytest.raises(ProviderError, match=f"--grant-to {restricted_url.username}$"):
        provider.initialize()
    provider.close()


def test_schema_without_grants(restricted_url: URL, postgres_database_url: str) -> None:
    """Tables that exist but are forbidden are no reason to create them: the error says what is missing."""
    with SqlProvider(postgres_database_url, schema="flows"):
        pass
    provider = SqlProvider(restricted_url, schema="flows")
    with pytest.raises(ProviderError, match=r"permission denied for schema flows.*--grant-to"):
        provider.initialize()
    provider.close()


def test_may_create_tables_but_no_schemas(restricted_url: URL, postgres_database_url: str) -> None:
    """A role that owns its schema needs no right to create schemas."""
    execute(make_url(postgres_database_url), f'CREATE SCHEMA mine AUTHORIZATION "{restricted_url.username}"')
    with SqlProvider(restricted_url, schema="mine") as provider, Runtime(provider, registry, OPTIONS):
        check(provider, start_one_of_each(Client(provider), 1))


def test_printed_for_sqlite(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For SQLite the command prints a script too; a role there is wrong usage."""
    assert main(["schema", "--url", sqlite_url]) == 0
    execute(make_url(sqlite_url), *capsys.readouterr().out.split(";\n")[1:-2])
    with SqlProvider(sqlite_url) as provider, Runtime(provider, registry, OPTIONS):
        check(provider, start_one_of_each(Client(provider), 1))
    assert main(["schema", "--url", sqlite_url, "--grant-to", "me"]) == 2
    assert "SQLite has no roles" in capsys.readouterr().err
