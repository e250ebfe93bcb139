"""
What a provider may offer besides its contract: to wake everybody who waits for work, in other processes too.

It is worth something where others are told only of what concerns them at the moment: who leaves lets them look at what it
would have seen to itself, timers say. A provider that has no `rouse` lacks nothing that the slow poll does not find.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Rousing(Protocol):
    """A provider that can wake those who wait."""

    def rouse(self) -> None:
        """Let everybody look who waits for messages or activities. Raises `ProviderError` as any operation does."""
        ...
