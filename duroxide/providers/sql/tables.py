"""
What the tables are called, and of which revision they are.

What is in them says `schema`, which takes longer to import than a start can spare.
"""

from __future__ import annotations

from collections.abc import Mapping


#: Keeps our tables apart from those of an application that shares its database with us.
PREFIX = "duroxide_"

#: Which migration the database is at; our own name, since an application may use Alembic itself.
VERSION_TABLE = PREFIX + "schema_version"

#: The tables' names under the names that statements call them by.
TABLE_NAMES: Mapping[str, str] = {
    name: PREFIX + name
    for name in (
        *("instances", "executions", "history", "instance_locks", "orchestrator_queue", "worker_queue", "sessions"),
        "kv",
    )
}

#: All revisions, oldest first; the last is what this release works with.
REVISIONS = ("1_0001", "1_0002")
HEAD = REVISIONS[-1]


def quoted(name: str) -> str:
    """Return *name* as SQL writes names of any kind."""
    return '"' + name.replace('"', '""') + '"'


def qualified(table: str, schema: str | None) -> str:
    """Return the name of *table* in *schema*."""
    return table if schema is None else f"{quoted(schema)}.{table}"
