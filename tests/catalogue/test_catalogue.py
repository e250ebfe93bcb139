"""Every mistake of the catalogue is caught by the tools that it names; the page about it says the same."""

from __future__ import annotations

import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

from .cases import FOLDER, PATHS, load
from .tools import CHECKOUT, TOOLS


PAGE = CHECKOUT / "docs" / "reference" / "catalogue.md"


def claims() -> Iterator[tuple[Path, str]]:
    """Yield each file with each tool that it names."""
    for path in PATHS:
        for tool in load(path).caught_by:
            yield path, tool


@pytest.mark.parametrize(
    ("path", "tool"),
    [claim for claim in claims() if claim[1] in TOOLS],
    ids=lambda value: getattr(value, "stem", value),
)
def test_caught(path: Path, tool: str) -> None:
    """The tool catches the mistake, and says what the file says that it says."""
    mistake = load(path)

    assert mistake.caught_by[tool] in TOOLS[tool](mistake)


@pytest.mark.thorough
def test_types(tmp_path: Path) -> None:
    """So does the type checker."""
    pytest.importorskip("mypy")
    wanted = {path: load(path).caught_by["types"] for path, tool in claims() if tool == "types"}
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports", "silent", "--config-file", "", "--cache-dir", str(tmp_path),
         "--python-executable", sys.executable, *map(str, wanted)],
        cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip

    found = {path: [line for line in done.stdout.splitlines() if path.name in line] for path in wanted}
    assert {path.name for path in wanted} == {
        path.name for path, text in wanted.items() if any(text in line for line in found[path])
    }, done.stdout


def test_none_is_missed() -> None:
    """Every file of the catalogue is caught by something, and every tool catches something."""
    claimed = list(claims())

    assert set(PATHS) == {path for path, _ in claimed}
    assert {*TOOLS, "types"} == {tool for _, tool in claimed}
    assert len(PATHS) >= 25


def test_page() -> None:
    """The page has a row for every file, with what is wrong and the tools that catch it, in this order."""
    rows = []
    for path in PATHS:
        mistake = load(path)
        link = f"[`{path.name}`](../../{path.relative_to(CHECKOUT).as_posix()})"
        rows.append(f"| {mistake.title} | {', '.join(f'`{tool}`' for tool in mistake.caught_by)} | {link} |")

    assert rows == [line for line in PAGE.read_text(encoding="utf-8").splitlines() if FOLDER.name in line]
