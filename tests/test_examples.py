"""The examples do what they say: they run as people run them, as programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys

from pathlib import Path

import pytest

import duroxide

from duroxide.cli.main import main


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


#: Example → lines that it prints, with what differs from run to run cut off.
OUTPUTS = {
    "hello_world.py": ["Hello, world! Hello, durable world!"],
    "fan_out.py": [
        "count_all: there is no main/reference",
        "count_what_is_there: {'intro': 5, 'tutorial': 6, 'reference': None}",
        "count_with_mirror: {'intro': 5, 'tutorial': 6, 'reference': 6}",
    ],
    "human_approval.py": [
        "pencils: paid, without asking",
        "desk: approved by Ada",
        "yacht: rejected by Ada",
        "chair: no answer in time, so no",
    ],
    "saga.py": ["booked: flight to Rome, hotel", "  cancelled flight to Oslo", "not booked: no cars left"],
    "retry.py": [
        "growing pauses: answered at attempt 3",
        "too few attempts: gave up, attempt 2: ConnectionError: connection reset",
        "NonRetryableError: declined: no money left",
        "retry_if: gave up, attempt 1: ValueError: bad data at attempt 1",
        "timeout: gave up, attempt 1: TimeoutError: ",
        "total_timeout: gave up, attempt 1: TimeoutError: ",
    ],
    "eternal_monitor.py": ["stopped after ", "one execution for each round: True"],
    "chat_mailbox.py": ["IS THAT SO, Grace? Yes.", "the bot read 62 lines in 4 executions"],
    "sub_orchestrations.py": [
        'report_company: Completed, {"Italy":12,"Norway":"no report: the books of Bergen are wrong"}',
        "  report_region: Failed, the books of Bergen are wrong",
        "delegate: Failed, canceled: nobody needs it any more",
        "    delegate: Failed, canceled: ",
    ],
    "sessions.py": ["moby-dick: 10 questions, all to the same worker: True", "indexes built: 2"],
    "tagged_workers.py": [
        "cats.mp4 prepared by office",
        "not on the best machine: activity 'render' with tag 'quantum' was not begun",
        "cats.mp4 rendered by gpu-box (gpu)",
    ],
    "versioned_upgrade.py": [
        "four (1.0.0)",
        "FIVE (2.0.0)",
        "execution 2: version 1.0.0",
        "execution 3: version 2.0.0",
    ],
    "transactional_start.py": [
        "committed: lamp shipped",
        "rolled back: there is no order: True",
        "rolled back: there is no orchestration: True",
    ],
    "cancellation.py": [
        "  far: cancelled, removing what has arrived",
        "download_from_fastest: from the near mirror",
        "download_if_quick: it would have taken too long",
        "download_patiently: is_cancelled=True, canceled: the user closed the window, status 'downloading'",
    ],
    "management.py": [
        "pruned 4 executions with 16 events",
        "not deleted: ",
        "deleted 4 instances, children with their parents; left:",
    ],
}

#: Those that need more than a line of output to show that they work, and have tests of their own below.
TESTED_ELSEWHERE = {"order_fulfilment.py"}

#: Takes a file instead of a database.
WITHOUT_DATABASE = {"hello_world.py"}


def missing(printed: str, expected: list[str]) -> list[str]:
    """Return what was *expected* and not *printed*. Threads that print at the same time may share a line."""
    return [text for text in expected if text not in printed]


class TestEvery:
    def test_is_here(self) -> None:
        """No example goes untested."""
        assert set(OUTPUTS) | TESTED_ELSEWHERE == {path.name for path in EXAMPLES.glob("*.py")}

    @pytest.mark.parametrize("example", OUTPUTS)
    def test_ends_well(self, tmp_path: Path, example: str) -> None:
        """It ends by itself, with the result that it is about and nothing on stderr."""
        program = run(tmp_path, example)

        assert (0, "") == (program.returncode, program.stderr)
        assert [] == missing(program.stdout, OUTPUTS[example])

    @pytest.mark.thorough
    @pytest.mark.parametrize("example", sorted(set(OUTPUTS) - WITHOUT_DATABASE))
    def test_on_postgres(self, tmp_path: Path, postgres_database_url: str, example: str) -> None:
        """It does the same on Postgres."""
        program = run(tmp_path, example, "--database", postgres_database_url)

        assert (0, "") == (program.returncode, program.stderr)
        assert [] == missing(program.stdout, OUTPUTS[example])

    def test_lint(self, capsys: pytest.CaptureFixture[str]) -> None:
        """The linter finds nothing in the orchestrations of the examples: people copy them."""
        assert 0 == main(["lint", str(EXAMPLES)]), capsys.readouterr().out

    @pytest.mark.parametrize("example", sorted(set(OUTPUTS) - WITHOUT_DATABASE))
    def test_fits_on_a_page(self, example: str) -> None:
        """It is short enough to be read in one go, and says in front how to run it."""
        text = (EXAMPLES / example).read_text(encoding="utf-8")

        assert len(text.splitlines()) <= 90
        assert f"    python examples/{example} [--database URL]\n" in text


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
