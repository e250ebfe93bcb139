"""The provider for SQLite and Postgres."""

from __future__ import annotations

from ..._core.audit import Violation
from .provider import SqlProvider


__all__ = ["SqlProvider", "Violation"]
