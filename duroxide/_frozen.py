"""
What the engine makes by the dozen in every turn: frozen for the type checker, and cheap to make.

attrs freezes a class by having `__setattr__` raise, so that its own `__init__` must go around it, field by field, which
was a fifth of the cost of a turn. Here nothing keeps running code from assigning to a field; mypy does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from attrs import frozen
else:
    from attrs import define

    frozen = partial(define, unsafe_hash=True)


__all__ = ["frozen"]
