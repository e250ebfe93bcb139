"""``python -m duroxide lint``: formats, choices and exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from pathlib import Path

import pytest

from duroxide.cli.main import main
from duroxide.lint import RULES


DOCS = Path(__file__).parent.parent.parent / "docs" / "lint.md"

FLOW = """\
import time
from duroxide import OrchestrationContext

def fulfil(ctx: OrchestrationContext, order):
    print(price(order))
    yield from ctx.schedule_timer(1)

def price(order):
    return time.time()
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flow.py").write_text(FLOW, encoding="utf-8")
    return "flow.py"


class TestLint:
    def test_text(self, flow: str, capsys: pytest.CaptureFixture[str]) -> None:
        """One line per finding: where, what, why, what instead, and how the code gets there; exit code 1."""
        assert 1 == main(["lint", flow])

        assert [
            f"flow.py:5:5: DX108 print(): {RULES['DX108'].reason}; {RULES['DX108'].remedy} [fulfil → print]",
            f"flow.py:9:12: DX101 time.time(): {RULES['DX101'].reason}; use ctx.utc_now() [fulfil → price → time.time]",
        ] == capsys.readouterr().out.splitlines()

    def test_json(self, flow: str, capsys: pytest.CaptureFixture[str]) -> None:
        """The same for programs."""
        assert 1 == main(["lint", "--format", "json", "--select=DX101", flow])

        assert [
            {
                "path": "flow.py",
                "line": 9,
                "column": 12,
                "code": "DX101",
                "severity": "error",
                "message": "time.time(): the clock says something else in replay",
                "remedy": "use ctx.utc_now()",
                "chain": ["fulfil", "price", "time.time"],
            }
        ] == json.loads(capsys.readouterr().out)

    @pytest.mark.parametrize(
        ("options", "codes"),
        [
            ([], ["DX108", "DX101"]),
            (["--select", "DX101"], ["DX101"]),
            (["--select", "DX1", "--ignore", "DX101,DX109"], ["DX108"]),
            (["--ignore", "DX108"], ["DX101"]),
            (["--select", "DX2"], []),
            (["--ignore", "DX"], []),
        ],
    )
    def test_choice(self, flow: str, capsys: pytest.CaptureFixture[str], options: list[str], codes: list[str]) -> None:
        """Codes and beginnings of codes choose; without a finding the exit code is 0."""
        assert bool(codes) == main(["lint", flow, *options])

        assert codes == re.findall(r"DX\d+", capsys.readouterr().out)

    @pytest.mark.parametrize(
        "arguments",
        [
            ["lint"],
            ["lint", "x.py", "--select", "E501"],
            ["lint", "nowhere"],
            ["lint", "--format=xml", "."],
            [],
            ["wash"],
        ],
    )
    def test_wrong_usage(self, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
        """Wrong arguments are exit code 2, with a text on stderr."""
        try:
            code: object = main(arguments)
        except SystemExit as stop:
            code = stop.code

        assert 2 == code
        assert capsys.readouterr().err

    def test_nothing_found(self, flow: str, capsys: pytest.CaptureFixture[str]) -> None:
        """No finding prints nothing as text, and an empty list as JSON."""
        assert 0 == main(["lint", flow, "--select", "DX2"])
        assert "" == capsys.readouterr().out

        assert 0 == main(["lint", flow, "--select", "DX2", "--format", "json"])
        assert [] == json.loads(capsys.readouterr().out)

    def test_as_a_process(self, flow: str) -> None:
        """It runs as ``python -m duroxide``, also where the terminal knows no arrows."""
        command = [sys.executable, "-X", "utf8=0", "-m", "duroxide", "lint", flow]
        path = str(Path(__file__).parent.parent.parent)
        environment = {"PYTHONPATH": path, "PYTHONIOENCODING": "ascii", "PATH": ""}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)

        assert (1, "2 findings\n") == (done.returncode, done.stderr)
        assert "[fulfil ? price ? time.time]" in done.stdout


class TestDocs:
    def test_table(self) -> None:
        """The table in the docs is the one in the code."""
        rows = [
            f"| `{rule.code}` | {rule.title}{' (mild)' if rule.is_mild else ''} | {rule.reason} | {rule.remedy} |"
            for rule in RULES.values()
        ]
        documented = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `DX")]

        assert rows == documented

    def test_codes(self) -> None:
        """Codes are sorted and have one form, so that beginnings of them mean something."""
        assert sorted(RULES) == list(RULES)
        assert all(re.fullmatch(r"DX\d{3}", code) and code == rule.code for code, rule in RULES.items())
