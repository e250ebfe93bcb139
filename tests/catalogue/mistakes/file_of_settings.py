"""
Reads its settings from a file.

The file changes, or is not there on the next machine.
"""

from __future__ import annotations

from pathlib import Path

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def configured(ctx: OrchestrationContext) -> Orchestration[str]:
    limit = int(Path("limit.txt").read_text(encoding="utf-8"))
    return (yield from ctx.schedule_activity(charge, limit))


MAIN = configured


CAUGHT_BY = {
    "lint": "DX105",
    "guard": "calls builtins.open (through pathlib.read_text) at",
}
