"""Databases that releases have left behind are upgraded, and what was under way there goes on."""

from __future__ import annotations

import re
import shlex

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from duroxide import Client, ExecutionStatus, ProviderError, Runtime, RuntimeOptions, SqlProvider, TagFilter
from duroxide.cli.main import main
from duroxide.providers.sql import migrate
from duroxide.testing.conformance import HeldClock

from ..conftest import execute, fresh_name
from ..providers.stores import described
from . import released


GOLDEN = Path(__file__).parent.parent / "golden"
DUMPS = sorted(GOLDEN.glob("schema_*.sql"))
HOUR_MS = 3_600_000


def kind_of(dump: Path) -> str:
    """Which database a dump is of."""
    return dump.stem.rpartition(".")[2]


def revision_of(dump: Path) -> str:
    """At which revision a dump is."""
    return dump.stem.removeprefix("schema_").partition(".")[0]


def last_ms(dump: Path) -> int:
    """When the last thing happened in a dump, in milliseconds since the epoch; timers and locks are of later."""
    histories = [line for line in dump.read_text().splitlines() if "duroxide_history" in line and "INSERT" in line]
    return max(int(number) for line in histories for number in re.findall(r"', ?(\d{13}),", line))


def load(url: str, dump: Path) -> None:
    """Make a database again."""
    text = dump.read_text()
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        if kind_of(dump) == "sqlite":
            driver.executescript(text)
        else:
            driver.execute(text)
            driver.commit()


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
def dump(request: pytest.FixtureRequest) -> Path:
    """A database that a release has left behind."""
    return request.param


@pytest.fixture
def empty_url(dump: Path, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the dump's kind."""
    return request.getfixturevalue("sqlite_url" if kind_of(dump) == "sqlite" else "postgres_database_url")


@pytest.fixture
def old_url(dump: Path, empty_url: str) -> str:
    """The URL of a database as a release has left it."""
    load(empty_url.replace("postgresql:", "postgresql+psycopg:"), dump)
    return empty_url


@pytest.fixture
def open_old(old_url: str, dump: Path) -> Iterator[Callable[[], SqlProvider]]:
    """Open the old database, at a time when all of its timers are due."""
    opened = []

    def open_() -> SqlProvider:
        opened.append(SqlProvider(old_url, clock=HeldClock(last_ms(dump) + HOUR_MS)))
        opened[-1].initialize()
        return opened[-1]

    yield open_
    for provider in opened:
        provider.close()


class TestReleased:
    def test_all_are_there(self) -> None:
        """There is a dump of every revision before this release's, on both databases."""
        assert {*migrate.REVISIONS[:-1]} <= {revision_of(dump) for dump in DUMPS if kind_of(dump) == "sqlite"}
        assert {*migrate.REVISIONS[:-1]} <= {revision_of(dump) for dump in DUMPS if kind_of(dump) == "postgres"}

    def test_same_schema(self, open_old: Callable[[], SqlProvider], tmp_path: Path, dump: Path) -> None:
        """An upgraded database has exactly the tables and indexes of a new one."""
        upgraded = open_old()
        with upgraded._engine.connect() as connection:
            revision = connection.exec_driver_sql("SELECT version_num FROM duroxide_schema_version").scalar_one()
        assert migrate.HEAD == revision
        schema = None
        if kind_of(dump) == "sqlite":
            new = SqlProvider(f"sqlite:///{tmp_path / 'new.db'}")
        else:
            schema = fresh_name()
            new = SqlProvider(upgraded._engine, schema=schema)
        with new:
            assert described(new, schema) == described(upgraded, None)

    def test_goes_on(self, open_old: Callable[[], SqlProvider]) -> None:
        """Nothing is lost by an upgrade, and everything that was under way comes to its end."""
        provider = open_old()
        client = Client(provider)
        assert [] == provider.audit()
        assert ExecutionStatus.FAILED is client.get_instance_info("failed").status
        assert 42 == client.get_kv_value("order", "doubled")

        with Runtime(provider, released.registry, RuntimeOptions(worker_tag_filter=TagFilter(tags=None))):
            outcomes = {each: client.wait_for_result(each, 30) for each in released.OUTCOMES}
        assert released.OUTCOMES == outcomes
        assert [] == provider.audit()

    def test_lists(self, open_old: Callable[[], SqlProvider]) -> None:
        """Management knows what is in an upgraded database."""
        client = Client(open_old())

        assert (8, 10) == (len(client.list_all_instances()), client.get_system_metrics().total_executions)
        assert ["parent", "parent::child"] == list(client.get_instance_tree("parent").ids)

    def test_an_older_release_goes_on_with_it(self, old_url: str, dump: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """While a newer release has upgraded the database, one that knows only the old revision works on, too."""
        clock = HeldClock(last_ms(dump) + HOUR_MS)
        with SqlProvider(old_url, clock=clock) as newer:
            monkeypatch.setattr(migrate, "REVISIONS", (revision_of(dump),))
            monkeypatch.setattr(migrate, "HEAD", revision_of(dump))
            options = RuntimeOptions(worker_tag_filter=TagFilter(tags=None))
            with SqlProvider(old_url, clock=clock) as older, Runtime(older, released.registry, options):
                client = Client(newer)
                assert released.OUTCOMES == {each: client.wait_for_result(each, 30) for each in released.OUTCOMES}


def test_without_rights(postgres_database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A role that may not upgrade is told what to let run; when that was run, everything goes on."""
    (dump,) = (each for each in DUMPS if each.name == "schema_1_0001.postgres.sql")
    load(postgres_database_url, dump)
    url, role = make_url(postgres_database_url), fresh_name()
    execute(url, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
    try:
        execute(url, f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}")
        restricted = url.set(username=role, password="secret")  # noqa: S106  # for a minute
        provider = SqlProvider(restricted, clock=HeldClock(last_ms(dump) + HOUR_MS))
        with pytest.raises(ProviderError, match="--from 1_0001") as caught:
            provider.initialize()
        assert not caught.value.retryable

        assert main(shlex.split(str(caught.value).partition("python -m duroxide ")[2])) == 0
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(capsys.readouterr().out)
        provider.initialize()
        with Runtime(provider, released.registry, RuntimeOptions()):
            assert 10 == Client(provider).wait_for_result("late", 30)
        provider.close()
    finally:
        execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_no_such_revision(capsys: pytest.CaptureFixture[str]) -> None:
    """An upgrade from a revision that does not exist, or is the newest one, is wrong usage."""
    for revision in ("1_9999", migrate.HEAD):
        assert main(["schema", "--url", "sqlite:///unused.db", "--from", revision]) == 2
        assert "there is nothing to upgrade from" in capsys.readouterr().err
