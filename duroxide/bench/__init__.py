"""
Measures this library on your machine and your database: ``python -m duroxide.bench --list``.

Each scenario runs in a fresh interpreter, on a fresh database file or schema that is removed afterwards.
"""

from __future__ import annotations
