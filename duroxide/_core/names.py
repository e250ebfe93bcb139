"""What types are called in messages."""

from __future__ import annotations

from ..errors import class_name


def name_of(hint: object) -> str:
    """Return what users call a type."""
    return class_name(hint) if isinstance(hint, type) else str(hint)
