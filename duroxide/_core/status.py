"""How an instance stands, as clients see it."""

from __future__ import annotations

from typing import Any, TypeAlias

from .._nouns import frozen
from ..errors import ErrorDetails


@frozen
class NotFound:
    """There is no such instance (yet): it was never started, its start was not processed yet, or it was deleted."""


@frozen
class Running:
    """The instance goes on."""

    custom_status: str | None = None
    #: Grows by one with each commit that sets or clears the custom status.
    custom_status_version: int = 0


@frozen
class Completed:
    """The orchestration returned *output* (as plain JSON values)."""

    output: Any
    custom_status: str | None = None
    custom_status_version: int = 0


@frozen
class Failed:
    """The orchestration raised, was cancelled, or could not go on."""

    details: ErrorDetails
    custom_status: str | None = None
    custom_status_version: int = 0

    @property
    def message(self) -> str:
        """The one-line text of the failure."""
        return self.details.display

    @property
    def is_cancelled(self) -> bool:
        """Whether the instance was cancelled."""
        return self.details.kind == "Cancelled"


OrchestrationStatus: TypeAlias = NotFound | Running | Completed | Failed
