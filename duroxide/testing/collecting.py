"""What the pytest plugin adds to a run when it is asked to: exported instances as tests, and tests under the guard."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .._guard import Mode
from ..errors import InvalidInput, ReplayDiverged
from .documents import read_document
from .guarding import guard
from .loading import load_registry
from .replaying import check_replay


class GuardedTests:
    """Guards the orchestrations of every test. Raises InvalidInput if *mode* is none."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        guard(mode)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Run one test, with its fixtures: orchestrations run in them, too."""
        with guard(self._mode):
            return (yield)


class HistoryFile(pytest.File):
    """A file with one exported instance."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the one test."""
        yield HistoryItem.from_parent(self, name="replay")


class HistoryItem(pytest.Item):
    """The test that replays it against the registry of the settings."""

    def runtest(self) -> None:
        """Replay every execution."""
        text: str = self.config.getini("duroxide_registry")
        if not text:
            msg = "there is nothing to replay against: set duroxide_registry = module:registry in pytest's settings."
            raise InvalidInput(msg)
        folder = self.config.rootpath if self.config.inipath is None else self.config.inipath.parent
        check_replay(read_document(self.path), load_registry(text, folder))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the divergences alone: the traceback would be ours."""
        if isinstance(excinfo.value, ReplayDiverged | InvalidInput):
            return str(excinfo.value)
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[str, None, str]:
        """Say which file it is about."""
        return str(self.path), None, f"replay of {self.path.name}"
