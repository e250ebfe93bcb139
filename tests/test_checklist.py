"""The acceptance checklist has no holes."""

from __future__ import annotations

import sys

from pathlib import Path


sys.path.insert(0, str(Path(__file__).parent))
import checklist


class TestChecklist:
    def test_every_line_is_covered(self) -> None:
        """Every line of the specification's checklist is covered by a test, or we say why we differ."""
        known = {*checklist.coverage(), *checklist.DIFFERENT}

        missing = {number for number in checklist.table_lines() if number not in known}
        assert missing == set(checklist.NOT_YET)

    def test_every_promise_is_kept(self) -> None:
        """Every test that the checklist names by its docstring still makes that promise."""
        assert checklist.broken_promises() == set()

    def test_table_is_up_to_date(self) -> None:
        """tests/checklist.md is what `python tests/checklist.py` would write now."""
        assert checklist.render(checklist.table_lines()) == checklist.TABLE.read_text(encoding="utf-8")
