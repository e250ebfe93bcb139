"""
Hypothesis strategies: payloads, orchestrations, and the histories that they leave.

- `payloads`: values that travel through the codec and come back equal.
- `orchestrations`: generated programs; ``program.function()`` is an orchestration function.
- `histories`: what really running such a program, in a world in which anything happens, writes down.
- `cuts`: a history in pieces.
"""

from __future__ import annotations

from ..extra import needs_hypothesis


needs_hypothesis(__name__)

from .drawing import orchestrations  # noqa: E402  # not before it is clear that they can be imported
from .histories import History, cuts, histories  # noqa: E402
from .payloads import payloads  # noqa: E402
from .programs import Program  # noqa: E402


__all__ = ["History", "Program", "cuts", "histories", "orchestrations", "payloads"]
