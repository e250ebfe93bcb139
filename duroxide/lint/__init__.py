"""
The determinism linter: what in orchestration code will do something else when it is replayed.

Rule: the code under test is read, never imported or run.
"""

from __future__ import annotations

from .._rules import RULES, Rule
from .findings import Finding
from .linter import lint


__all__ = ["RULES", "Finding", "Rule", "lint"]
