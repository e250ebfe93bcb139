"""What types are called in messages."""

from __future__ import annotations


def name_of(hint: object) -> str:
    """Return what users call a type."""
    if not isinstance(hint, type) or hint.__module__ == "builtins":
        return hint.__qualname__ if type(hint) is type else str(hint)
    return f"{hint.__module__}.{hint.__qualname__}"
