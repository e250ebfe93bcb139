"""
Runs an example under the guard, and replays what its instances did: ``python guarded_example.py FILE ARGUMENTS``.

Exit code 1: something was called that must not be, or does not come out again in replay.
"""

from __future__ import annotations

import runpy
import sys

from pathlib import Path
from typing import Any

from duroxide import Registry, Runtime
from duroxide.testing import guard, replay


documents: dict[str, dict[str, Any]] = {}
registries: list[Registry] = []


class Recorded(Runtime):
    """A runtime that notes what is in its database before it stops."""

    def shutdown(self, timeout: float | None = None) -> None:
        """Note it, and stop."""
        if "running" in repr(self):
            registries.append(self._registry)
            documents.update((document["instance_id"], document) for document in self.client.export_instances())
        super().shutdown(timeout)


def main(example: str, *arguments: str) -> int:
    """Run *example*, and return the exit code."""
    import duroxide

    duroxide.Runtime = Recorded  # type: ignore[misc]  # what the example imports
    sys.argv = [example, *arguments]
    sys.path.insert(0, str(Path(example).parent))
    with guard():
        try:
            runpy.run_path(example, run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
    report = replay(documents.values(), Registry().merge(*registries), guard="raise")
    sys.stderr.write(f"{report}\n")
    return 0 if report.is_clean and report.executions else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
