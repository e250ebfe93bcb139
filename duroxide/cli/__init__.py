"""The command line: ``python -m duroxide``."""

from __future__ import annotations
