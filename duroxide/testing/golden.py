"""Golden histories: what instances did once, kept as files, so that the code goes on doing it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import define

from .._core.registry import Registry
from ..errors import InvalidInput
from .documents import file_name, read_document, write_document
from .replaying import check_replay


@define
class Golden:
    """
    Keeps histories in *folder*, under the name of a test; the pytest fixture `duroxide_golden` is one.

    Args:
        folder: Where the files are; it belongs into version control.

        name: What they are called; the second one of a test gets a number.

        is_recording: Whether to write files, instead of comparing with them.
    """

    folder: Path
    name: str
    is_recording: bool = False
    _count: int = 0

    def __call__(self, document: Mapping[str, Any], registry: Registry) -> Path:
        """
        Replay *document*, and the one that was kept, against *registry*; return the file.

        Raises:
            ReplayDiverged: If the code decides something else in replay than it did in the test just now, or something
                else than it did when the file was recorded.

            InvalidInput: If there is no file yet, and nothing is recorded.
        """
        check_replay(document, registry)
        self._count += 1
        path = self.folder / file_name(self.name if self._count == 1 else f"{self.name}-{self._count}")
        if self.is_recording:
            write_document(document, path)
        elif not path.exists():
            msg = f"no history was recorded for this test: run pytest --duroxide-record once, and commit {path}."
            raise InvalidInput(msg)
        check_replay(read_document(path), registry)
        return path
