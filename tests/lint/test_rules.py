"""Every mistake of the catalogue is found where it is, and none in the code that is right."""

from __future__ import annotations

import re

from pathlib import Path

import pytest

from duroxide.lint import RULES, lint

from .cases import CASES, CORRECT, PRELUDE, Case


def found_in(folder: Path, code: str) -> list[tuple[int, str]]:
    file = folder / "flows.py"
    file.write_text(PRELUDE + code, encoding="utf-8")
    return [(finding.line, finding.code) for finding in lint([str(file)])]


def expected(code: str) -> list[tuple[int, str]]:
    marks = [
        (number, mark)
        for number, line in enumerate((PRELUDE + code).splitlines(), 1)
        if (match := re.search(r"#! (\S+)", line))
        for mark in match[1].split(",")
    ]
    return sorted(marks)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.code}-{case.title}")
class TestCatalogue:
    def test_wrong(self, case: Case, tmp_path: Path) -> None:
        """The marked lines are found, with their codes, and nothing else is."""
        assert expected(case.wrong) == found_in(tmp_path, case.wrong)

    def test_right(self, case: Case, tmp_path: Path) -> None:
        """The same thing done right is no finding."""
        assert [] == found_in(tmp_path, case.right)


def test_every_rule_has_a_case() -> None:
    """No rule without an example that breaks it; what cannot be read is tested with the files."""
    assert set(RULES) - {"DX001"} == {case.code for case in CASES}


def test_every_case_breaks_its_rule() -> None:
    """A case is listed under what it shows."""
    assert [] == [case.title for case in CASES if case.code not in {code for _, code in expected(case.wrong)}]


def test_a_long_correct_program(tmp_path: Path) -> None:
    """Sagas, sliding windows, deadlines, key-values, pattern matching: nothing to complain about."""
    file = tmp_path / "flows.py"
    file.write_text(CORRECT, encoding="utf-8")

    assert [] == lint([str(file)])
