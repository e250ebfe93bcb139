"""
What others test with: `duroxide.testing.conformance`, the promises of the storage contract as checks, and
`duroxide.testing.faults`, a provider that breaks by plan.
"""

from __future__ import annotations
