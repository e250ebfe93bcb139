"""The examples do what they say: they run as people run them, as programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from pathlib import Path

import pytest

import duroxide


EXAMPLES = Path(__file__).parent.parent / "examples"

# The examples use the package that is tested, wherever it is.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(str(duroxide.__file__)).parent.parent)}


def run(folder: Path, example: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run *example* in *folder*."""
    return subprocess.run(
        [sys.executable, str(EXAMPLES / example), *arguments],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestHelloWorld:
    def test_greets(self, tmp_path: Path) -> None:
        """The first run prints the greeting and the history, and leaves an SQLite file behind."""
        hello = run(tmp_path, "hello_world.py")

        assert (0, "") == (hello.returncode, hello.stderr)
        assert hello.stdout.startswith("Hello, world! Hello, durable world!\n")
        assert "OrchestrationCompleted" in hello.stdout
        assert (tmp_path / "hello.db").exists()

    def test_again(self, tmp_path: Path) -> None:
        """Every later run prints the stored result, and does nothing."""
        file = str(tmp_path / "other.db")
        run(tmp_path, "hello_world.py", file)
        hello = run(tmp_path, "hello_world.py", file)

        assert (0, "") == (hello.returncode, hello.stderr)
        assert hello.stdout.startswith("already done: Hello, world! Hello, durable world!\n")


class TestOrderFulfilment:
    def test_reports_malformed_rows(self, tmp_path: Path) -> None:
        """Each malformed row is reported with its line and the reason; none of them stops the others."""
        orders = run(tmp_path, "order_fulfilment.py", "--limit", "0")

        assert 0 == orders.returncode, orders.stderr
        assert [
            "skipped orders.csv, line 33: the row is too short: no items",
            "skipped orders.csv, line 61: quantity of chair is 'two', not a whole number from 1 on",
            "skipped orders.csv, line 101: unknown currency 'XBT', not one of EUR, USD, CHF",
            "skipped orders.csv, line 138: order 'A-1012' is in the file already",
            "skipped orders.csv, line 166: items is empty",
            "skipped orders.csv, line 195: price of shelf is '-79.90', not a positive number",
            "skipped orders.csv, line 229: approve_within_s is 'tomorrow', not a positive number",
        ] == [line for line in orders.stdout.splitlines() if line.startswith("skipped")]

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            (["--csv", "missing.csv"], "No such file or directory: 'missing.csv'"),
            (["--csv", "wrong.csv"], "wrong.csv has no column card, currency, customer"),
            (["--database", "oracle://x"], "'oracle' is not supported"),
            (["--speed", "0"], "must be from 0.1 to 100"),
        ],
    )
    def test_explains_what_it_cannot_use(self, tmp_path: Path, arguments: list[str], reason: str) -> None:
        """What cannot work is refused in a sentence, without a traceback."""
        (tmp_path / "wrong.csv").write_text("order_id,approve_within_s,items\n")
        orders = run(tmp_path, "order_fulfilment.py", *arguments)

        assert 2 == orders.returncode
        assert reason in orders.stderr
        assert "Traceback" not in orders.stderr
