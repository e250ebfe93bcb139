"""
What is measured: times and what they are summed up to, what a process used, and on what it ran.

Rule: the name of a figure ends in its unit (``_per_s``, ``_ms``, ``_us``, ``_s``, ``_mb``, ``_kb``, ``_share``), or it is a count.
"""

from __future__ import annotations

import math
import os
import platform
import sqlite3
import sys

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module, metadata
from importlib.util import find_spec
from types import ModuleType
from typing import TypeAlias

from attrs import frozen
from sqlalchemy import Engine

from .._clock import SystemClock, monotonic
from .._version import __version__


#: Windows has none.
_resource: ModuleType | None = import_module("resource") if find_spec("resource") else None

#: What a scenario found, by name; the most important one first.
Figures: TypeAlias = Mapping[str, float]

#: Bytes in what ``ru_maxrss`` counts: kilobytes, but on macOS bytes.
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024

_DRIVERS = ("sqlalchemy", "psycopg", "attrs", "cattrs")


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of *values* that *percent* of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100) - 1, 0)]


def distribution(seconds: Sequence[float], *, prefix: str = "") -> dict[str, float]:
    """Return median, p95, p99 and maximum of *seconds*, in milliseconds."""
    return {f"{prefix}p{percent}_ms": percentile(seconds, percent) * 1000 for percent in (50, 95, 99)} | {
        f"{prefix}max_ms": max(seconds) * 1000
    }


class Stopwatch:
    """Measures seconds since it was made."""

    def __init__(self) -> None:
        self._begun = monotonic()

    def seconds(self) -> float:
        """Return the seconds since it was made."""
        return monotonic() - self._begun


@frozen
class Use:
    """What a process and its children have used so far; None where the platform does not say."""

    cpu_s: float | None
    peak_mb: float | None


def use_so_far() -> Use:
    """Return what this process, and those of its children that have ended, have used."""
    if _resource is None:
        return Use(None, None)
    both = [_resource.getrusage(who) for who in (_resource.RUSAGE_SELF, _resource.RUSAGE_CHILDREN)]
    cpu_s = sum(each.ru_utime + each.ru_stime for each in both)
    return Use(cpu_s, max(each.ru_maxrss for each in both) * _MAXRSS_UNIT / 1_000_000)


def cpu_seconds() -> float:
    """Return the CPU seconds of this process, without its children; 0 where the platform does not say."""
    if _resource is None:
        return 0.0
    own = _resource.getrusage(_resource.RUSAGE_SELF)
    return float(own.ru_utime + own.ru_stime)


def machine() -> dict[str, str]:
    """Return what figures depend on, apart from the database."""
    return {
        "date": datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC).isoformat(timespec="seconds"),
        "duroxide": __version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "cpus": str(os.cpu_count()),
        **{name: _version_of(name) for name in _DRIVERS},
    }


def database_settings(engine: Engine) -> dict[str, str]:
    """Return the version of the database behind *engine*, and how durable its commits are."""
    if engine.dialect.name == "sqlite":
        return {"database": f"SQLite {sqlite3.sqlite_version}"}
    with engine.connect() as connection:
        asked = {
            name: str(connection.exec_driver_sql(f"SHOW {name}").scalar_one())
            for name in ("server_version", "synchronous_commit", "fsync", "shared_buffers")
        }
    return {"database": f"PostgreSQL {asked.pop('server_version').split()[0]}", **asked}


def _version_of(distribution_name: str) -> str:
    try:
        return metadata.version(distribution_name)
    except metadata.PackageNotFoundError:
        return "not installed"
