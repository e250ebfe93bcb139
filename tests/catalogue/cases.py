"""
The catalogue: orchestrations with a mistake that people really make, one file each, and which tools catch it.

A file says what is wrong in its docstring, and in ``CAUGHT_BY`` which tools catch it, each with a part of what it says.
``MAIN`` is the orchestration, ``registry`` its code, and ``BEFORE`` what was deployed before; ``INPUT``, ``setup``,
``always`` and ``at_end`` are what the simulator and `explore` need to know.
"""

from __future__ import annotations

import importlib.util
import sys

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from attrs import frozen


FOLDER = Path(__file__).parent / "mistakes"
PATHS = sorted(FOLDER.glob("*.py"))


@frozen
class Mistake:
    """One file of the catalogue."""

    path: Path
    module: ModuleType

    @property
    def name(self) -> str:
        """What it is called."""
        return self.path.stem

    @property
    def title(self) -> str:
        """What is wrong, in a sentence."""
        return str(self.module.__doc__).strip().splitlines()[0]

    @property
    def caught_by(self) -> Mapping[str, str]:
        """Tool → a part of what it says."""
        found: Mapping[str, str] = self.module.CAUGHT_BY
        return found


def load(path: Path) -> Mistake:
    """Import the file at *path* anew."""
    name = f"catalogue_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return Mistake(path, module)
