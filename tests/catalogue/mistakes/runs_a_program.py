"""
Runs a program.

It is run again at every replay.
"""

from __future__ import annotations

import subprocess

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"


@registry.orchestration
def built(ctx: OrchestrationContext) -> Orchestration[str]:
    revision = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, check=False).stdout
    return (yield from ctx.schedule_activity(charge, len(revision)))


MAIN = built


CAUGHT_BY = {
    "lint": "DX105",
    "guard": "calls subprocess.Popen (through subprocess.run) at",
}
