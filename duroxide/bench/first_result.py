"""
A program as users write them, up to its first result: what the scenario ``start_up`` runs in a process of its own.

usage: python -m duroxide.bench.first_result URL SCHEMA SYNCHRONOUS
"""

from __future__ import annotations

import sys

from .._clock import monotonic


# The package's __init__ has been imported by now; what that took can only be told by importing it again, elsewhere.
