"""Behind pgbouncer in transaction mode, every transaction may get another session: everything works, without LISTEN."""

from __future__ import annotations

import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from attrs import evolve
from sqlalchemy import URL, create_engine, make_url

from duroxide import (
    ActivityContext,
    Client,
    ErrorKind,
    Failed,
    Orchestration,
    OrchestrationContext,
    Registry,
    Running,
    Runtime,
    SqlProvider,
)

from ..patience import PATIENCE
from ..runtime.stage import eventually
from ..workload.outcomes import check, every_instance, start_one_of_each
from ..workload.programs import OPTIONS, registry


RUNTIME_TESTS = Path(__file__).parent.parent / "runtime"

#: Few server sessions for many clients, so that they are shared all the time.
CONFIGURATION = """
[databases]
* = host={host}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = 4
max_client_conn = 1000
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
pidfile = {folder}/pid
"""


@pytest.fixture
def pooled_url(server: Any, server_url: str) -> Iterator[URL]:
    """The URL of an empty database behind a pooler in transaction mode."""
    program = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer here: apt-get install pgbouncer")
    direct = make_url(server_url)
    with tempfile.TemporaryDirectory(prefix="duroxide-pooler-") as name:
        folder, port = Path(name), free_port()
        configuration = folder / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(host=server.data, port=port, folder=folder))
        (folder / "users").write_text('"postgres" ""\n')
        if server.user is not None:  # we are root, which pgbouncer refuses to be
            shutil.chown(folder, server.user)
        as_user = {} if server.user is None else {"user": server.user}
        with subprocess.Popen([program, "-q", str(configuration)], **as_user) as process:
            try:
                wait_for_port(port)
                yield URL.create(
                    "postgresql+psycopg", "postgres", host="127.0.0.1", port=port, database=direct.database
                )
            finally:
                process.terminate()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Wait until somebody listens."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        threading.Event().wait(0.02)
    pytest.fail("pgbouncer does not start")


def test_everything(pooled_url: URL, caplog: pytest.LogCaptureFixture) -> None:
    """Runtimes and clients behind the pooler run instances of every kind; they poll, since LISTEN hears nothing."""
    caplog.set_level(logging.INFO, "duroxide")
    with SqlProvider(pooled_url) as provider, SqlProvider(pooled_url) as other:
        with Runtime(provider, registry, OPTIONS), Runtime(other, registry, OPTIONS):
            client = Client(other)
            ids = [instance_id for number in range(4) for instance_id in start_one_of_each(client, number)]
            check(provider, ids)
            eventually(lambda: "hears no notifications" in caplog.text)
        assert client.get_system_metrics().total_instances >= len(ids)
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert [] == [line for line in lines if "hears no" not in line and "attempt" not in line]


def test_tenants(pooled_url: URL) -> None:
    """Two schemas of one database are two stores, though all of their sessions are the same: nothing gets mixed up."""
    tenants = {"one": 1, "two": 2}
    with ExitStack() as stack:
        providers = {name: stack.enter_context(SqlProvider(pooled_url, schema=name)) for name in tenants}
        ids: dict[str, list[str]] = {}
        for name, number in tenants.items():
            stack.enter_context(Runtime(providers[name], registry, OPTIONS))
            ids[name] = start_one_of_each(Client(providers[name]), number)
        for name in tenants:
            check(providers[name], ids[name])
            found = set(every_instance(Client(providers[name])))
            assert set(ids[name]) <= found
            assert found.isdisjoint(*(ids[other] for other in tenants if other != name))


def test_waiting_and_cancelling(pooled_url: URL, server_url: str) -> None:
    """A client behind the pooler hears of status, values and the end, and a running activity of its cancellation."""
    local = Registry()
    cancelled = threading.Event()

    @local.activity
    def dawdle(ctx: ActivityContext) -> None:
        if ctx.wait_cancelled(PATIENCE):
            cancelled.set()

    @local.orchestration
    def slow(ctx: OrchestrationContext) -> Orchestration[None]:
        ctx.set_kv_value("stage", "dawdling")
        ctx.set_custom_status("begun")
        yield from ctx.schedule_activity(dawdle)

    with SqlProvider(pooled_url) as provider, SqlProvider(server_url) as elsewhere, Runtime(elsewhere, local, OPTIONS):
        client = Client(provider)
        client.start_orchestration("slow", slow)
        status = client.wait_for_status_change("slow", 0, PATIENCE)
        assert isinstance(status, Running)
        assert status.custom_status == "begun"
        assert client.wait_for_kv_value("slow", "stage", PATIENCE) == "dawdling"
        client.cancel_instance("slow", "enough")
        ended = client.wait_for_orchestration("slow", PATIENCE)
        assert isinstance(ended, Failed)
        assert ended.details.kind is ErrorKind.CANCELLED
        assert cancelled.wait(PATIENCE)


#: End-to-end tests that also run behind the pooler, each in a schema of its own.
END_TO_END = (
    "test_activity_cancellation",
    "test_children",
    "test_continue_as_new",
    "test_custom_status",
    "test_event_queues",
    "test_events",
    "test_faults",
    "test_key_values",
    "test_load",
    "test_locks",
    "test_management_end_to_end",
    "test_retries",
    "test_session_work",
    "test_timers",
    "test_transactions",
    "test_workflows",
)


@pytest.mark.thorough
def test_end_to_end(pooled_url: URL) -> None:
    """The end-to-end tests pass behind the pooler as they do without it."""
    modules = [str(RUNTIME_TESTS / f"{name}.py") for name in END_TO_END]
    only = ["-k", "postgres and short_cuts", "-m", "", "-n", "0", "-q", "-p", "no:cacheprovider"]
    environment = {**os.environ, "DUROXIDE_TEST_POSTGRES_URL": pooled_url.render_as_string(hide_password=False)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *only, *modules],
        env=environment,
        cwd=RUNTIME_TESTS.parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout


def test_another_process_is_heard(pooled_url: URL, server_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """What a client elsewhere starts is found by polling, long before the runtime's own slow poll."""
    slow = evolve(OPTIONS, poll_interval=3600.0)
    with (
        SqlProvider(pooled_url) as provider,
        SqlProvider(server_url) as elsewhere,
        Runtime(provider, registry, slow),
    ):
        eventually(lambda: "hears no notifications" in caplog.text)
        Client(elsewhere).start_orchestration("sequence-1", "sequence", 1)
        check(elsewhere, ["sequence-1"])


def test_an_engine_of_the_callers(pooled_url: URL) -> None:
    """An Engine whose driver prepares nothing works behind a pooler too."""
    engine = create_engine(pooled_url, connect_args={"prepare_threshold": None})
    try:
        with SqlProvider(engine) as provider, Runtime(provider, registry, OPTIONS):
            client = Client(provider)
            ids = [instance_id for number in range(4) for instance_id in start_one_of_each(client, number)]
            check(provider, ids)
    finally:
        engine.dispose()


def test_an_engine_that_prepares(pooled_url: URL) -> None:
    """An Engine that would prepare statements by itself, as psycopg does, prepares none of ours."""
    engine = create_engine(pooled_url)
    try:
        with SqlProvider(engine) as provider:
            ask_often(provider)
    finally:
        engine.dispose()


def ask_often(provider: SqlProvider) -> None:
    """Let many threads do the same again and again, by way of many sessions."""
    with ThreadPoolExecutor(8) as pool:
        for answer in [pool.submit(provider.get_instance_info, "x") for _ in range(2000)]:
            answer.result()
