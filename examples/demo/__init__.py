"""
What the short examples share: a place to keep the history, and ids that are new in each run.

Nothing here is about durable execution. An example that is given no database uses an SQLite file that is gone
when the example ends; your programs keep theirs.
"""

from __future__ import annotations

import argparse
import inspect
import tempfile
import uuid

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def database() -> Iterator[str]:
    """Yield the URL of the database that the command line names, or of a temporary SQLite file."""
    caller = inspect.getmodule(inspect.stack()[2].frame)
    parser = argparse.ArgumentParser(
        description=caller.__doc__ if caller else None, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", metavar="URL", help="SQLite or Postgres (default: a temporary SQLite file)")
    given = parser.parse_args().database
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="duroxide-example-", ignore_cleanup_errors=True) as folder:
        yield f"sqlite:///{Path(folder, 'example.db')}"


def new_id(prefix: str) -> str:
    """Return an instance id that no run before has used, so that an example can run again on the same database."""
    return f"{prefix}-{uuid.uuid4().hex[:8]}"
