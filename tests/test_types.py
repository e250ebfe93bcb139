"""The public API, as type checkers see it."""

from __future__ import annotations

import json
import subprocess
import sys

from pathlib import Path

import pytest

import duroxide


API = Path(__file__).parent / "typing" / "api.py"

BASEDPYRIGHT = {
    "include": [str(API)],
    # Where the package under test is, installed or not.
    "extraPaths": [str(Path(duroxide.__file__).parents[1])],
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    "reportUnnecessaryTypeIgnoreComment": "error",
    "enableTypeIgnoreComments": False,
}


def run(*arguments: str, cwd: Path) -> None:
    """Run a module of this interpreter's environment; it must be content."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=300
    )

    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy(tmp_path: Path) -> None:
    """mypy infers what tests/typing/api.py says, and refuses what it says is wrong, and nothing else."""
    pytest.importorskip("mypy")
    run("mypy", "--strict", "--follow-imports", "silent", "--config-file", "", "--cache-dir", str(tmp_path), "--python-executable", sys.executable,
        str(API), cwd=API.parents[2])  # fmt: skip


@pytest.mark.thorough
def test_basedpyright(tmp_path: Path) -> None:
    """So does pyright."""
    pytest.importorskip("basedpyright")
    project = tmp_path / "pyrightconfig.json"
    project.write_text(json.dumps(BASEDPYRIGHT), encoding="utf-8")
    run("basedpyright", "--project", str(project), "--pythonpath", sys.executable, cwd=API.parents[2])
