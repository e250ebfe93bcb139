"""
What an orchestration decides: `run_turn`, `Executor`, and the `Turn` with its verdict.

The verdicts `Completed` and `Failed` are decisions of a turn; the statuses of the same names, in `duroxide` itself, say how
an instance stands.
"""

from __future__ import annotations

from ._core.executor import Executor
from ._core.turn import run_turn
from ._core.verdicts import Cancelled, Completed, Continue, ContinuesAsNew, Failed, Turn, Verdict


__all__ = ["Cancelled", "Completed", "Continue", "ContinuesAsNew", "Executor", "Failed", "Turn", "Verdict", "run_turn"]
