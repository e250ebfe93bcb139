"""The layers whose time `benchmarks/cost.py` takes are there."""

from __future__ import annotations

import importlib
import importlib.util

from operator import attrgetter
from pathlib import Path

import pytest


_FILE = Path(__file__).parents[2] / "benchmarks" / "layers.py"
_spec = importlib.util.spec_from_file_location("benchmark_layers", _FILE)
assert _spec is not None
assert _spec.loader is not None
layers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(layers)


@pytest.mark.parametrize(("module", "path"), [(module, path) for module, path, _ in layers.LAYERS])
def test_is_there(module: str, path: str) -> None:
    """Each function that is watched exists: otherwise its time would be missing from the table."""
    assert callable(attrgetter(path)(importlib.import_module(module)))
