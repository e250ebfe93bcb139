"""A PostgreSQL that goes away and comes back: instances wait, and then go on as if nothing had happened."""

from __future__ import annotations

import logging
import threading

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from duroxide import Client, ProviderError, Runtime, SqlProvider

from ..conftest import execute
from ..workload.outcomes import check, start_one_of_each
from ..workload.programs import OPTIONS, meter, registry


#: Instances of each kind.
ROUNDS = 6


@contextmanager
def running(url: Any, runtimes: int = 2) -> Iterator[SqlProvider]:
    """Run some runtimes, each with a provider of its own; yield one more provider."""
    with SqlProvider(url) as provider:
        others = [SqlProvider(url) for _ in range(runtimes)]
        started = [Runtime(other, registry, OPTIONS) for other in others]
        try:
            for runtime in started:
                runtime.start()
            yield provider
        finally:
            for runtime in started:
                runtime.shutdown()
            for other in others:
                other.close()


def start(provider: SqlProvider) -> list[str]:
    """Start instances of every kind; return their ids."""
    client = Client(provider)
    return [instance_id for number in range(ROUNDS) for instance_id in start_one_of_each(client, number)]


def check_log(caplog: pytest.LogCaptureFixture, *operations: str) -> None:
    """The log says what was tried in vain, and shows no traceback."""
    records = [record for record in caplog.records if record.name.startswith("duroxide")]
    lines = [record.getMessage() for record in records]
    assert any(operation in line for line in lines for operation in operations), lines
    assert [] == [record.getMessage() for record in records if record.exc_info]
    warnings = [record.getMessage() for record in records if record.levelno >= logging.WARNING]
    assert len(warnings) < 200, warnings


OPERATIONS = ("commit_turns", "ack_activities", "fetch_activities", "fetch_orchestration_items", "renew_activity_locks")


def terminate_all(url: str) -> int:
    """Disconnect everybody from the database at *url*; return how many there were."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        query = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        return int(connection.execute(text(query)).scalar_one())


class TestGone:
    def test_stopped(self, server: Any, server_url: str, caplog: pytest.LogCaptureFixture) -> None:
        """A server that is stopped, and started some seconds later, has lost nothing and done nothing twice."""
        caplog.set_level(logging.INFO, "duroxide")
        with running(server_url) as provider:
            before = meter.begun
            ids = start(provider)
            meter.wait_for(30, before)
            server.stop()
            with pytest.raises(ProviderError, match="get_instance_info") as caught:
                Client(provider).get_orchestration_status(ids[0])
            assert caught.value.retryable
            threading.Event().wait(2.0)
            server.start()
            check(provider, ids)
        check_log(caplog, *OPERATIONS)

    @pytest.mark.parametrize("moment", [40, *(pytest.param(each, marks=pytest.mark.thorough) for each in (5, 90))])
    def test_killed(self, server: Any, server_url: str, caplog: pytest.LogCaptureFixture, moment: int) -> None:
        """A server whose processes are all killed recovers what it had acknowledged, and all goes on."""
        caplog.set_level(logging.INFO, "duroxide")
        with running(server_url) as provider:
            before = meter.begun
            ids = start(provider)
            meter.wait_for(moment, before)
            server.kill()
            threading.Event().wait(0.3)
            server.start()
            check(provider, ids)
        check_log(caplog, *OPERATIONS, "listening")

    def test_terminated(self, server_url: str, caplog: pytest.LogCaptureFixture) -> None:
        """Connections that an administrator ends again and again are opened again, and no commit is done twice."""
        caplog.set_level(logging.INFO, "duroxide")
        with running(server_url) as provider:
            before = meter.begun
            ids = start(provider)
            meter.wait_for(5, before)
            ended = 0
            while ended < 20:
                ended += terminate_all(server_url)
                threading.Event().wait(0.1)
            check(provider, ids)
        check_log(caplog, *OPERATIONS, "listening")


class TestInTheWay:
    def test_full_pool(self, server_url: str, caplog: pytest.LogCaptureFixture) -> None:
        """With a single connection for many threads, who waits in vain is told what to do, and all goes on."""
        caplog.set_level(logging.INFO, "duroxide")
        engine = create_engine(server_url, pool_size=1, max_overflow=0, pool_timeout=0.4)
        try:
            with running(engine) as provider:
                ids = start_patiently(provider)
                with engine.connect():
                    with pytest.raises(ProviderError, match="get_instance_info: no free connection") as caught:
                        Client(provider).get_orchestration_status(ids[0])
                    assert caught.value.retryable
                    threading.Event().wait(1.0)
                with SqlProvider(server_url) as other:
                    check(other, ids)
        finally:
            engine.dispose()
        check_log(caplog, "no free connection in the pool; give the Engine a larger pool")

    @pytest.mark.parametrize(
        "code", ["40P01", *(pytest.param(each, marks=pytest.mark.thorough) for each in ("40001", "53200", "57014"))]
    )
    def test_given_up_by_the_server(self, server_url: str, caplog: pytest.LogCaptureFixture, code: str) -> None:
        """Serialisation failures, deadlocks, a lack of memory and cancelled statements are tried again, unnoticed."""
        caplog.set_level(logging.INFO, "duroxide")
        with SqlProvider(server_url):
            execute(make_url(server_url), *provocation(code))
        with running(server_url) as provider:
            ids = start(provider)
            check(provider, ids)
        check_log(caplog, *OPERATIONS, "start_instances")

    def test_serialisation_failures(self, server_url: str, caplog: pytest.LogCaptureFixture) -> None:
        """Where the database's default is SERIALIZABLE, transactions fail for real, are tried again, and cost nothing."""
        caplog.set_level(logging.INFO, "duroxide")
        name = make_url(server_url).database
        execute(make_url(server_url), f"ALTER DATABASE \"{name}\" SET default_transaction_isolation TO 'serializable'")
        with running(server_url) as provider:
            check(provider, start(provider))
        check_log(caplog, "could not serialize access")

    def test_deadlock(self, server_url: str, caplog: pytest.LogCaptureFixture) -> None:
        """A real deadlock, which the server resolves at our expense, costs a moment."""
        caplog.set_level(logging.INFO, "duroxide")
        with running(server_url) as provider:
            before = meter.begun
            ids = start(provider)
            meter.wait_for(10, before)
            for _ in range(30):
                deadlock(server_url)
                if "deadlock detected" in caplog.text:
                    break
            check(provider, ids)
        check_log(caplog, "deadlock detected")


def start_patiently(provider: SqlProvider) -> list[str]:
    """Start instances of every kind, however often it takes."""
    while True:
        try:
            return start(provider)
        except ProviderError as error:
            if not error.retryable:
                raise


def provocation(code: str) -> list[str]:
    """Return statements that let one in 30 writing statements fail with *code*."""
    tables = ("instances", "history", "orchestrator_queue", "worker_queue", "instance_locks")
    return [
        f"""CREATE FUNCTION provoke() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF random() < 0.03 THEN RAISE EXCEPTION 'provoked' USING ERRCODE = '{code}'; END IF; RETURN NULL; END $$""",
        *(
            f"CREATE TRIGGER provoke BEFORE INSERT OR UPDATE OR DELETE ON duroxide_{table}"
            " FOR EACH STATEMENT EXECUTE FUNCTION provoke()"
            for table in tables
        ),
    ]


def deadlock(url: str) -> None:
    """Take what a commit needs last, wait until one waits for it, and then want what it has."""
    engine = create_engine(url, poolclass=NullPool)
    waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'duroxide_history'::regclass"
    with engine.connect() as rival, engine.connect() as observer:
        rival.execute(text("SET deadlock_timeout = '20s'"))  # the other side finds out first
        rival.execute(text("LOCK TABLE duroxide_history IN ACCESS EXCLUSIVE MODE"))
        for _ in range(200):
            if observer.execute(text(waiting)).scalar_one():
                break
            threading.Event().wait(0.01)
        rival.execute(text("LOCK TABLE duroxide_worker_queue, duroxide_orchestrator_queue, duroxide_instances"))
        rival.rollback()
