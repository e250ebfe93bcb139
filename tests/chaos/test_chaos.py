"""The chaos run itself: it ends well where all is well, and says so where it is not."""

from __future__ import annotations

import json

from pathlib import Path

import pytest

from .figures import Figures
from .run import Chaos, Severity


def chaos(url: str, folder: Path, severity: Severity) -> Chaos:
    """Return a run on the database at *url*."""
    return Chaos(url, folder, Figures("test", seed=3), severity)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_moment_of_chaos(sqlite_url: str, tmp_path: Path) -> None:
    """Some seconds of kills and faults cost time, and nothing else."""
    run = chaos(sqlite_url, tmp_path, Severity(workers=2, families=3, kill_interval=2.0, faults=0.1, kills=0.02))
    run.run(6.0)

    assert run.figures.findings == []
    assert run.figures.is_clean
    assert run.figures.instances > 0 < run.figures.activities
    assert json.loads(json.dumps(run.figures.as_json()))["is_clean"]


def test_what_nobody_does_is_lost(sqlite_url: str, tmp_path: Path) -> None:
    """Instances that do not end are counted and named, and the run is not clean."""
    run = chaos(sqlite_url, tmp_path, Severity(workers=0, families=1, patience=0.5))
    run.run(0.5)

    assert run.figures.lost == 19
    assert "lost: sequence-1" in run.figures.findings
    assert run.figures.left_over > 0
    assert not run.figures.is_clean
    assert "lost" in run.figures.table()


@pytest.mark.parametrize(
    "fault", ["lost", "duplicated", "wrong", "audit_violations", "left_over", "crashes", "complaints"]
)
def test_each_fault_counts(fault: str) -> None:
    """A run with a single fault of ours is not clean, and neither is one that did nothing."""
    assert Figures("test", seed=1, instances=1).is_clean
    assert not Figures("test", seed=1, instances=1, **{fault: 1}).is_clean
    assert not Figures("test", seed=1).is_clean
