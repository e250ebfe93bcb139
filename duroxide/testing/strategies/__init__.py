"""
Hypothesis strategies: payloads, orchestrations, and the histories that they leave.

- `payloads`: values that travel through the codec and come back equal.
- `orchestrations`: generated programs; ``program.function()`` is an orchestration function.
- `histories`: what really running such a program, in a world in which anything happens, writes down.
- `cuts`: a history in pieces.
"""

from __future__ import annotations

from .histories import History, cuts, histories
from .payloads import payloads
from .programs import Program, orchestrations


__all__ = ["History", "Program", "cuts", "histories", "orchestrations", "payloads"]
