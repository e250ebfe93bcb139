"""Many processes that share a database from its first moment, some of which are killed: all work is done, in peace."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from pathlib import Path

import pytest

import duroxide

from duroxide import SqlProvider

from .programs import RESULTS, check


WORKER = Path(__file__).parent / "worker.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(str(duroxide.__file__)).parent.parent)}

#: What hangs is killed after so many seconds.
PATIENCE = 60.0

#: Instances of each kind that each process starts.
EACH = 2


class Worker:
    """One process of the worker program; its log is kept in *folder*."""

    def __init__(self, url: str, number: int, folder: Path) -> None:
        self._log = folder / f"log-{number}"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER), url, str(number * EACH), str(EACH)],
                env=ENVIRONMENT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._watchdog = threading.Timer(PATIENCE, self._process.kill)
        self._watchdog.start()

    def go(self) -> None:
        """Let it open the database."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def wait_for(self, word: str) -> None:
        """Wait until it says that it is ``loaded``, or has started its instances and is ``ready``."""
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{word}\n", self.log()

    def kill(self) -> None:
        """End it without a chance to do anything about it."""
        self._process.kill()
        self._end()

    def stop(self) -> None:
        """Let it end; it must do so without complaint."""
        self._end()
        assert self._process.returncode == 0, self.log()

    def log(self) -> str:
        """Return what it logged."""
        return self._log.read_text()

    def _end(self) -> None:
        self._process.communicate()
        self._watchdog.cancel()


@pytest.mark.slow
@pytest.mark.parametrize(("store", "count"), [("postgres_database_url", 8), ("sqlite_url", 4)])
def test_from_the_first_moment(request: pytest.FixtureRequest, tmp_path: Path, store: str, count: int) -> None:
    """Processes that start at the same moment on an empty database share its work, and outlive two of them."""
    url = request.getfixturevalue(store)
    workers = [Worker(url, number, tmp_path) for number in range(count)]
    for worker in workers:
        worker.wait_for("loaded")
    for worker in workers:
        worker.go()
    for worker in workers:
        worker.wait_for("ready")
    for victim in workers[:2]:
        victim.kill()
    with SqlProvider(url) as provider:
        check(provider, [f"{kind}-{number}" for kind in RESULTS for number in range(count * EACH)])
        for survivor in workers[2:]:
            survivor.stop()
        assert provider.audit() == []
    logs = "".join(worker.log() for worker in workers)
    assert "locked" not in logs
    assert "deadlock" not in logs
    assert "Traceback" not in logs
    assert [] == [line for line in logs.splitlines() if line.startswith(("WARNING", "ERROR"))]
