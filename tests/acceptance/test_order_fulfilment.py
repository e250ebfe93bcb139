"""The order example: whatever stops it, and whenever, started again it ends with the same table."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

import duroxide

from duroxide import SqlProvider

from ..patience import PATIENCE


PROGRAM = Path(__file__).parent.parent.parent / "examples" / "order_fulfilment.py"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(str(duroxide.__file__)).parent.parent)}

ORDERS = 60
# How many orders are done when the program is killed: a first time as soon as it shows that it runs.
KILLED_AT = (0, 5, 15, 30, 45)
# Longer than any run takes: a program that hangs fails the test instead of stopping it.


def command(url: str) -> list[str]:
    """Return what starts the program on the database at *url*."""
    return [sys.executable, str(PROGRAM), "--database", url, "--limit", str(ORDERS), "--speed", "5"]


def run_to_the_end(folder: Path, url: str) -> str:
    """Run the program in *folder*, where it keeps its books; return what it prints when all is done."""
    program = subprocess.run(
        command(url), cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert 0 == program.returncode, program.stdout + program.stderr
    return program.stdout


def run_until(folder: Path, url: str, done: int, then: signal.Signals) -> tuple[int, Sequence[str]]:
    """Run the program until it says that *done* orders are done, then signal it; return its exit code and stderr."""
    with subprocess.Popen(
        command(url), cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as program:
        assert program.stderr is not None
        watchdog = threading.Timer(PATIENCE, program.kill)
        watchdog.start()
        said = []
        for line in program.stderr:
            said.append(line)
            progress = re.match(r"(\d+) of \d+ orders done", line)
            if progress and int(progress[1]) >= done:
                program.send_signal(then)
                break
        said.extend(program.stderr)
        watchdog.cancel()
    return program.returncode, said


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the program prints when nothing disturbs it."""
    folder = tmp_path_factory.mktemp("undisturbed")
    return run_to_the_end(folder, f"sqlite:///{folder / 'orders.db'}")


def test_undisturbed(expected: str) -> None:
    """Without any trouble, every kind of outcome turns up, and the books agree with the table."""
    table = dict(re.findall(r"^([a-z][a-z ]*?) +(\d+) ", expected, re.MULTILINE))

    assert {"shipped", "out of stock", "card declined", "not approved", "nobody approved", "total"} == set(table)
    assert str(ORDERS) == table["total"]
    assert "No order was charged twice" in expected


@pytest.mark.slow
@pytest.mark.thorough
def test_killed(tmp_path: Path, store_url: str, expected: str) -> None:
    """Killed with SIGKILL again and again, it ends with the same table, and nobody was charged twice."""
    for done in KILLED_AT:
        exit_code, said = run_until(tmp_path, store_url, done, signal.SIGKILL)
        assert -signal.SIGKILL == exit_code, said

    assert expected == run_to_the_end(tmp_path, store_url)
    with closing(sqlite3.connect(tmp_path / "order_fulfilment_books.db")) as books:
        charges = books.execute("SELECT order_id FROM entries WHERE kind = 'charge'").fetchall()
    assert len(set(charges)) == len(charges) > 0
    with SqlProvider(store_url) as provider:
        assert [] == provider.audit()


def test_interrupted(tmp_path: Path, sqlite_url: str, expected: str) -> None:
    """Ctrl-C ends it at once and without a traceback; started again, it ends with the same table."""
    exit_code, said = run_until(tmp_path, sqlite_url, 10, signal.SIGINT)

    assert (130, "Stopped. Run the same command again to go on.\n") == (exit_code, said[-1])
    assert not any("Traceback" in line for line in said)
    assert expected == run_to_the_end(tmp_path, sqlite_url)
