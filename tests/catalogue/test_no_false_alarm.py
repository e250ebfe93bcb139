"""Code that is right is not accused: our own examples are clean under the guard, and in replay."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

from pathlib import Path

import pytest

import duroxide

from duroxide.cli.main import main


CHECKOUT = Path(__file__).parents[2]
EXAMPLES = sorted((CHECKOUT / "examples").glob("*.py"))
ARGUMENTS = {"order_fulfilment.py": ["--limit", "12", "--speed", "50"]}


WRONG = """
import time
from duroxide import Registry, Runtime

registry = Registry()

@registry.orchestration
def reads(ctx):
    yield ctx.schedule_timer(0)
    return time.time()

with Runtime("sqlite:///wrong.db", registry) as runtime:
    runtime.client.start_orchestration("i", reads)
    runtime.client.wait_for_orchestration("i")
"""


def run(example: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run *example* in *folder*, guarded and replayed."""
    runner = Path(__file__).parent / "guarded_example.py"
    return subprocess.run(
        [sys.executable, str(runner), str(example), *ARGUMENTS.get(example.name, [])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(str(duroxide.__file__)).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.thorough
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(example: Path, tmp_path: Path) -> None:
    """An example calls nothing that it must not, and does the same in replay."""
    done = run(example, tmp_path)

    assert 0 == done.returncode, done.stdout + done.stderr
    assert "NondeterministicCall" not in done.stdout + done.stderr
    assert re.search(r"^[1-9]\d* executions replayed, 0 diverged$", done.stderr, re.MULTILINE), done.stderr


def test_the_runner_notices(tmp_path: Path) -> None:
    """An example that reads the clock would be noticed."""
    script = tmp_path / "wrong.py"
    script.write_text(WRONG, encoding="utf-8")

    done = run(script, tmp_path)
    assert 1 == done.returncode
    assert "calls time.time at" in done.stderr


def test_pre_commit_hook(capsys: pytest.CaptureFixture[str]) -> None:
    """What the hook runs is the linter, and what pre-commit appends are files."""
    hook = (CHECKOUT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    (entry,) = re.findall(r"^  entry: (.*)$", hook, flags=re.MULTILINE)
    assert ["python", "-m", "duroxide"] == shlex.split(entry)[:3]
    mistakes = Path(__file__).parent / "mistakes"

    assert 0 == main([*shlex.split(entry)[3:], str(EXAMPLES[0])])
    assert 1 == main([*shlex.split(entry)[3:], str(EXAMPLES[0]), str(mistakes / "sleeps.py")])
    assert "DX106" in capsys.readouterr().out
