"""What a process does not import on its way to the first result."""

from __future__ import annotations

import subprocess
import sys

from pathlib import Path


#: A program as users write them, up to its first result; then it says what it has imported.
FIRST_RESULT = """
import sys
from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime

registry = Registry()

@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    return number + 1

@registry.orchestration
def first(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    return (yield from ctx.schedule_activity(step, number))

with Runtime(sys.argv[1], registry) as runtime:
    runtime.client.start_orchestration("first", first, 1)
    assert runtime.client.wait_for_result("first", timeout=60) == 2

print(*sorted(sys.modules))
"""

#: What is slow to import, or is for others: with what it takes to need it.
NOT_NEEDED = {
    "alembic": "a database of an older release",
    "cattrs": "a payload that JSON does not know",
    "mako": "writing a migration",
    "multiprocessing": "nothing of ours",
    "psycopg": "Postgres",
    "sqlalchemy.dialects.postgresql": "Postgres",
    "sqlalchemy.orm": "nothing of ours",
    "duroxide._core.converter": "a payload that JSON does not know",
    "duroxide._guard.watching": "a guard that is switched on",
    "duroxide.bench": "measuring",
    "duroxide.lint": "checking",
    "duroxide.providers.sql.audit": "an audit",
    "duroxide.providers.sql.definitions": "creating tables elsewhere than on SQLite",
    "duroxide.providers.sql.deletion": "deleting instances",
    "duroxide.providers.sql.listing": "looking through instances",
    "duroxide.providers.sql.postgres": "Postgres",
    "duroxide.providers.sql.pruning": "pruning executions",
    "duroxide.providers.sql.schema": "creating tables elsewhere than on SQLite",
    "duroxide.testing": "testing",
}


def test_imports(tmp_path: Path) -> None:
    """A process that runs its first orchestration on a fresh SQLite file does without these."""
    script = tmp_path / "first_result.py"
    script.write_text(FIRST_RESULT, encoding="utf-8")
    command = [sys.executable, "-I", str(script), f"sqlite:///{script.with_name('first.db')}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())

    assert [] == [f"{name}: for {use}" for name, use in NOT_NEEDED.items() if name in imported]
    assert {"duroxide._runtime.runtime", "duroxide.providers.sql.sqlite"} <= imported


def test_are_what_there_is() -> None:
    """The list above names modules of ours that exist."""
    package = Path(__file__).parents[2] / "duroxide"
    paths = [package.parent.joinpath(*name.split(".")) for name in NOT_NEEDED if name.startswith("duroxide.")]

    assert [] == [path for path in paths if not (path.is_dir() or path.with_suffix(".py").is_file())]
