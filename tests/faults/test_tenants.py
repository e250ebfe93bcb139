"""Tenants: several schemas in one Postgres database, side by side, with the same instance ids."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

from duroxide import Client, InstanceFilter, NotFound, RetentionPolicy, Runtime, RuntimeOptions, SqlProvider
from duroxide._core.messages import StartOrchestration

from ..conftest import execute, fresh_name, with_psycopg
from ..patience import eventually
from ..workload.outcomes import check, start_one_of_each
from ..workload.programs import OPTIONS, registry


@pytest.fixture
def tenants(postgres_database_url: str) -> Iterator[tuple[SqlProvider, SqlProvider]]:
    """Two tenants of one database."""
    with (
        SqlProvider(postgres_database_url, schema="left") as left,
        SqlProvider(postgres_database_url, schema="right") as right,
    ):
        yield left, right


def test_side_by_side(tenants: tuple[SqlProvider, SqlProvider]) -> None:
    """The same ids run in both at the same time, each to its own end; what is deleted in one stays in the other."""
    left, right = tenants
    with Runtime(left, registry, OPTIONS), Runtime(right, registry, OPTIONS):
        started = [start_one_of_each(Client(each), 2) for each in tenants]
        for each, ids in zip(tenants, started, strict=True):
            check(each, ids)
    before = Client(right).get_system_metrics(count_events=True)
    assert before.total_instances == Client(left).get_system_metrics().total_instances

    Client(left).apply_retention(RetentionPolicy(completed_after=0, failed_after=0))
    Client(left).delete_instance_bulk(InstanceFilter())
    assert 0 == Client(left).get_system_metrics().total_instances
    assert before == Client(right).get_system_metrics(count_events=True)
    assert [] == left.audit() == right.audit()


def test_nobody_serves_the_other(tenants: tuple[SqlProvider, SqlProvider]) -> None:
    """A runtime of one tenant never takes what belongs to the other, although it is woken by the same server."""
    left, right = tenants
    client = Client(right)
    client.start_orchestration("a", "sequence", 1)
    with Runtime(left, registry, OPTIONS):
        Client(left).start_orchestration("b", "sequence", 1)
        Client(left).wait_for_orchestration("b", 30)

    assert isinstance(client.get_orchestration_status("a"), NotFound)
    assert isinstance(Client(left).get_orchestration_status("a"), NotFound)
    assert 1 == client.get_queue_depths().orchestrator_queue


def test_search_path(postgres_database_url: str) -> None:
    """Tenants that only the search path keeps apart are apart, also in one process: nothing is handed to the other's runtime."""
    url = with_psycopg(postgres_database_url)
    execute(url, "CREATE SCHEMA one", "CREATE SCHEMA two")
    urls = [url.update_query_dict({"options": f"-csearch_path={name}"}) for name in ("one", "two")]
    with SqlProvider(urls[0]) as left, SqlProvider(urls[1]) as right, Runtime(left, registry, OPTIONS):
        for number in range(10):
            Client(right).start_orchestration(f"right-{number}", "sequence", 1)
            Client(left).start_orchestration(f"left-{number}", "sequence", 1)
            Client(left).wait_for_orchestration(f"left-{number}", 30)

        assert 10 == Client(left).get_system_metrics().total_instances
        assert 10 == Client(right).get_queue_depths().orchestrator_queue


def test_odd_name(postgres_database_url: str) -> None:
    """Whatever a schema is called: dollars, braces, colons, and quotes in it mean nothing else."""
    with SqlProvider(postgres_database_url, schema="""$1 {key} :now 'it"s; --""") as provider:
        with Runtime(provider, registry, OPTIONS):
            check(provider, start_one_of_each(Client(provider), 1))
        assert Client(provider).delete_instance_bulk(InstanceFilter()).instances


@pytest.mark.parametrize(
    "names",
    [("left", "right"), ("x" * 60 + "_1", "x" * 60 + "_2"), ('we"ird', "we'ird"), (None, "other")],
    ids=["plain", "long", "quotes", "public"],
)
def test_notifications(postgres_database_url: str, names: tuple[str | None, str]) -> None:
    """Only those who listen for a tenant hear of its changes, however schemas are called."""
    with (
        SqlProvider(postgres_database_url, schema=names[0]) as one,
        SqlProvider(postgres_database_url, schema=names[1]) as other,
    ):
        engine = create_engine(with_psycopg(postgres_database_url), poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for each in (one, other):
                connection.execute(text(f'LISTEN "{each._channel}"'))
            one.start_instances([StartOrchestration("a", "sequence", "1")])
            driver = connection.connection.dbapi_connection
            assert driver is not None
            heard = [note.channel for note in driver.notifies(timeout=5, stop_after=1)]
            heard += [note.channel for note in driver.notifies(timeout=0)]

        assert [one._channel] == heard
        assert one._channel != other._channel


def test_each_is_upgraded_by_itself(postgres_database_url: str) -> None:
    """A tenant at an older revision is upgraded when it is opened, and no other is touched."""
    schemas = [fresh_name(), fresh_name()]
    engine = create_engine(with_psycopg(postgres_database_url), poolclass=NullPool)
    for schema in schemas:
        with SqlProvider(postgres_database_url, schema=schema):
            pass
        with engine.begin() as connection:
            connection.execute(text(f"DROP INDEX {schema}.duroxide_instances_named"))
            connection.execute(text(f"UPDATE {schema}.duroxide_schema_version SET version_num = '1_0001'"))  # noqa: S608  # ours
    with SqlProvider(postgres_database_url, schema=schemas[0]):
        pass

    with engine.connect() as connection:
        revisions = [
            connection.execute(text(f"SELECT version_num FROM {schema}.duroxide_schema_version")).scalar_one()  # noqa: S608  # ours
            for schema in schemas
        ]
    assert ["1_0002", "1_0001"] == revisions


def test_a_policy_for_one(tenants: tuple[SqlProvider, SqlProvider]) -> None:
    """A runtime's retention policy is for its own tenant."""
    left, right = tenants
    for each in tenants:
        with Runtime(each, registry, OPTIONS):
            Client(each).start_orchestration("a", "sequence", 1)
            Client(each).wait_for_orchestration("a", 30)
    keeper = Runtime(left, registry, RuntimeOptions(retention=RetentionPolicy(completed_after=0, interval=0.01)))
    with keeper:
        eventually(lambda: keeper.metrics_snapshot().retention_deleted_instances)

    assert isinstance(Client(left).get_orchestration_status("a"), NotFound)
    assert Client(right).get_instance_info("a") is not None
