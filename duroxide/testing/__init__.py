"""What others test with: `duroxide.testing.conformance`, the promises of the storage contract as checks."""

from __future__ import annotations
