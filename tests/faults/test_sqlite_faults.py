"""An SQLite file that is locked, full or read-only for a while: clear errors, and then all goes on."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sqlalchemy import create_engine, text

from duroxide import Client, ProviderError, Runtime, SqlProvider
from duroxide.providers.sql import engines

from ..runtime.stage import eventually
from ..workload.outcomes import check, start_one_of_each
from ..workload.programs import OPTIONS, meter, registry


ROUNDS = 4

#: Writes to the file at argv[1] and says so, and rolls back when its standard input ends.
LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("DELETE FROM duroxide_kv")
print("locked", flush=True)
sys.stdin.read()
connection.execute("ROLLBACK")
"""

NOBODY = 65534


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Let another process hold the write lock of the file at *path*."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCKER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        yield


@contextmanager
def running(provider: SqlProvider) -> Iterator[list[str]]:
    """Run instances of every kind; yield their ids when they are well under way."""
    client = Client(provider)
    with Runtime(provider, registry, OPTIONS):
        before = meter.begun
        ids = [instance_id for number in range(ROUNDS) for instance_id in start_one_of_each(client, number)]
        meter.wait_for(5, before)
        yield ids


def check_log(caplog: pytest.LogCaptureFixture, text: str | None) -> None:
    """The log says *text* (None: nothing at all), without a traceback, and never "database is locked"."""
    records = [record for record in caplog.records if record.name.startswith("duroxide.")]
    lines = [record.getMessage() for record in records if record.levelno >= logging.WARNING]
    if text is None:
        assert [] == [line for line in lines if "attempt" not in line]
    else:
        assert any(text in record.getMessage() for record in records)
    assert [] == [record.getMessage() for record in records if record.exc_info]
    assert [] == [record.getMessage() for record in records if "database is locked" in record.getMessage()]
    assert len(lines) < 200


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file that does not exist yet."""
    return tmp_path / "duroxide.db"


@pytest.fixture
def humble_path() -> Iterator[Path]:
    """A file that does not exist yet, in a folder of a user's whom permissions concern, which is us for a while."""
    with tempfile.TemporaryDirectory() as folder:
        is_root = os.geteuid() == 0
        if is_root:
            Path(folder).chmod(0o755)
            os.chown(folder, NOBODY, NOBODY)
            os.seteuid(NOBODY)
        try:
            yield Path(folder, "duroxide.db")
        finally:
            if is_root:
                os.seteuid(0)
            Path(folder).chmod(0o755)


class TestLocked:
    def test_for_seconds(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Another process that writes for seconds is waited for; nobody hears of it, and reading goes on."""
        caplog.set_level(logging.DEBUG, "duroxide")
        with SqlProvider(f"sqlite:///{path}") as provider, running(provider) as ids:
            with locked(path):
                threading.Event().wait(2.0)
                Client(provider).get_orchestration_status(ids[0])
            check(provider, ids)
        check_log(caplog, None)

    def test_for_too_long(self, path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another process that never ends its transaction is an error that says so, and can be tried again."""
        monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 20)
        with SqlProvider(f"sqlite:///{path}") as provider, running(provider) as ids:
            with locked(path):
                with pytest.raises(ProviderError, match="kept locked by a transaction") as caught:
                    Client(provider).start_orchestration("x", "sequence", 1)
                until_logged(caplog, "kept locked by a transaction")
            assert ("start_instances", True) == (caught.value.operation, caught.value.retryable)
            assert "database is locked" not in str(caught.value)
            check(provider, ids)
        check_log(caplog, "kept locked by a transaction")

    def test_by_oneself(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever sends beside a transaction of his own, in which he has written, is told how to send in it."""
        monkeypatch.setattr(engines, "BUSY_TIMEOUT_MS", 20)
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE orders (id TEXT)"))
        with Client(f"sqlite:///{path}") as client, engine.begin() as connection:
            connection.execute(text("INSERT INTO orders VALUES ('x')"))
            with pytest.raises(ProviderError, match=r"or by one of your own\..* pass connection=$"):
                client.start_orchestration("x", "sequence", 1)
            client.start_orchestration("x", "sequence", 1, connection=connection)
        engine.dispose()

    def test_overtaken(self, path: Path) -> None:
        """Whoever reads in a transaction, and starts in it when others have written, is told to begin that one again."""
        engine = create_engine(f"sqlite:///{path}", isolation_level="AUTOCOMMIT")  # so that it begins when it says so
        with Client(f"sqlite:///{path}") as client, engine.connect() as connection:
            connection.execute(text("BEGIN"))
            connection.execute(text("SELECT COUNT(*) FROM duroxide_instances")).all()
            client.start_orchestration("x", "sequence", 1)
            with pytest.raises(
                ProviderError, match="Roll it back, and begin it again: with a write, or with BEGIN IMMEDIATE"
            ):
                client.start_orchestration("y", "sequence", 1, connection=connection)
            connection.execute(text("ROLLBACK"))
            connection.execute(text("BEGIN IMMEDIATE"))
            assert client.start_orchestration("y", "sequence", 1, connection=connection).is_new
            connection.execute(text("COMMIT"))
        engine.dispose()


class TestFull:
    def test_no_page_left(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A database that may not grow (``PRAGMA max_page_count``) says so, and goes on when there is room again."""
        caplog.set_level(logging.INFO, "duroxide")
        with SqlProvider(f"sqlite:///{path}") as provider, running(provider) as ids:
            limit_pages(provider, 1)
            with pytest.raises(ProviderError, match="Make room on the disk") as caught:
                start_big(provider)
            assert ("start_instances", True) == (caught.value.operation, caught.value.retryable)
            until_logged(caplog, "Make room on the disk")
            limit_pages(provider, 1_000_000)
            check(provider, ids)
            assert [] == list(provider.audit())
        check_log(caplog, "Make room on the disk")

    def test_full_disk(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """On a full disk (a tmpfs of 40 MB) nothing is lost: all goes on when there is room again."""
        with small_disk(tmp_path) as folder, SqlProvider(f"sqlite:///{folder}/duroxide.db") as provider:
            with running(provider) as ids:
                fill(folder / "ballast")
                with pytest.raises(ProviderError, match=r"Make room on the disk|Check the disk") as caught:
                    start_big(provider)
                assert ("start_instances", True) == (caught.value.operation, caught.value.retryable)
                until_logged(caplog, "Make room on the disk")
                (folder / "ballast").unlink()
                check(provider, ids)
            assert provider.audit() == []
        check_log(caplog, "Make room on the disk")


def until_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    """Wait until the runtime, too, has met the fault, and said so with *text*."""
    eventually(lambda: any(text in record.getMessage() for record in caplog.records))


def start_big(provider: SqlProvider) -> None:
    """Start instances with large inputs until there is no room."""
    for number in range(1000):
        Client(provider).start_orchestration(f"big-{number}", "nobody runs this", "x" * 100_000)


def limit_pages(provider: SqlProvider, count: int) -> None:
    """Let the file have *count* pages, or what it has if that is more."""
    with provider._database.shared.write_lock:
        provider._database._open_writer().exec_driver_sql(f"PRAGMA max_page_count={count}")


@contextmanager
def small_disk(parent: Path) -> Iterator[Path]:
    """Make a file system of 40 MB, which takes root's rights."""
    folder = parent / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], check=False)  # noqa: S607
    if mount.returncode:
        pytest.skip("no rights to mount a small file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S607


def fill(path: Path) -> None:
    """Write to *path* until the disk is full."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


class TestReadOnly:
    def test_file(self, humble_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A read-only file is an error that says so; made writable, it works without a restart."""
        caplog.set_level(logging.INFO, "duroxide")
        with SqlProvider(f"sqlite:///{humble_path}"):
            pass
        humble_path.chmod(0o444)
        provider = SqlProvider(f"sqlite:///{humble_path}")
        provider.initialize()
        client = Client(provider)
        with pytest.raises(ProviderError, match="Let this user write to the file, to its -wal") as caught:
            client.start_orchestration("sequence-1", "sequence", 1)
        assert ("start_instances", True) == (caught.value.operation, caught.value.retryable)
        with Runtime(provider, registry, OPTIONS):
            until_logged(caplog, "Let this user write")
            for each in humble_path.parent.iterdir():
                each.chmod(0o644)
            check(provider, start_one_of_each(client, 1))
        provider.close()
        check_log(caplog, "Let this user write")

    def test_folder(self, humble_path: Path) -> None:
        """A folder where no file can be created is an error that names it; made writable, it works."""
        humble_path.parent.chmod(0o555)
        provider = SqlProvider(f"sqlite:///{humble_path}")
        with pytest.raises(ProviderError, match="Check that its folder exists, and that this user may") as caught:
            provider.initialize()
        assert caught.value.retryable
        assert str(humble_path) in str(caught.value)
        humble_path.parent.chmod(0o755)
        provider.initialize()
        with Runtime(provider, registry, OPTIONS):
            check(provider, start_one_of_each(Client(provider), 1))
        provider.close()

    def test_file_and_folder(self, humble_path: Path) -> None:
        """Where not even reading works, as that takes a file beside it, the error says so; then reading works."""
        with SqlProvider(f"sqlite:///{humble_path}"):
            pass
        humble_path.chmod(0o444)
        humble_path.parent.chmod(0o555)
        provider = SqlProvider(f"sqlite:///{humble_path}")
        with pytest.raises(ProviderError, match="Let this user write to the file, to its -wal"):
            provider.get_instance_info("a")
        humble_path.parent.chmod(0o755)
        humble_path.chmod(0o644)
        assert provider.get_instance_info("a") is None
        provider.close()
