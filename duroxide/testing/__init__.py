"""
What others test with.

For authors of orchestrations: `check_deterministic`, the `guard`, and `replay` of exported instances. For authors of
storage: `duroxide.testing.conformance`, the promises of the storage contract as checks.
"""

from __future__ import annotations

from ..errors import Divergence, NondeterministicCall, ReplayDiverged
from .determinism import check_deterministic
from .documents import read_document, read_folder, write_document
from .guarding import guard
from .replaying import ReplayReport, check_replay, replay


__all__ = [
    "Divergence",
    "NondeterministicCall",
    "ReplayDiverged",
    "ReplayReport",
    "check_deterministic",
    "check_replay",
    "guard",
    "read_document",
    "read_folder",
    "replay",
    "write_document",
]
