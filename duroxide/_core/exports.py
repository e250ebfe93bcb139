"""
An instance as a JSON document: all its histories, and nothing that replaying them needs besides the code.

Rule: a document that was written once can be read forever. Its events are written as the store writes them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .._nouns import frozen
from ..errors import InvalidInput
from . import events as e
from .codec import UnreadableEvent, event_from_dict, event_to_dict
from .commit import STATUS_OF, ExecutionStatus


FORMAT = "duroxide-history"
FORMAT_VERSION = 1


@frozen
class ExportedInstance:
    """The histories of one instance, by execution, the oldest first. Each begins with its start event."""

    executions: tuple[tuple[e.Event, ...], ...]

    @property
    def started(self) -> e.OrchestrationStarted:
        """Event 1 of the last execution."""
        first = self.executions[-1][0]
        assert isinstance(first, e.OrchestrationStarted), "that was checked where it was made"
        return first

    @property
    def instance_id(self) -> str:
        """The id that the instance was started with."""
        return self.started.instance_id

    @property
    def status(self) -> ExecutionStatus:
        """How the last execution stands."""
        return STATUS_OF.get(type(self.executions[-1][-1]), ExecutionStatus.RUNNING)

    @classmethod
    def of(cls, executions: Sequence[Sequence[e.Event]]) -> ExportedInstance:
        """
        Return the instance that *executions* are of.

        Raises:
            InvalidInput: If there is none, or one that does not begin with its start event.
        """
        if not executions:
            msg = "an exported instance has no executions: there is nothing to replay."
            raise InvalidInput(msg)
        for events in executions:
            if not events or not isinstance(events[0], e.OrchestrationStarted):
                found = type(events[0]).__name__ if events else "nothing"
                msg = f"a history begins with {found}; its first event must be OrchestrationStarted. Export it whole."
                raise InvalidInput(msg)
        return cls(tuple(tuple(events) for events in executions))

    def to_document(self) -> dict[str, Any]:
        """Return it as plain JSON values. What stands before the executions is for people who read it."""
        started = self.started
        return {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "instance_id": started.instance_id,
            "orchestration": started.name,
            "version": started.version,
            "status": self.status.value,
            "parent_instance_id": None if started.parent is None else started.parent.instance_id,
            "executions": [[event_to_dict(event) for event in events] for events in self.executions],
        }

    @classmethod
    def from_document(cls, document: object) -> ExportedInstance:
        """
        Return the instance that `to_document` made *document* from.

        Raises:
            InvalidInput: If it is no such document, of a newer format, or has an event that cannot be read.
        """
        if not isinstance(document, Mapping) or document.get("format") != FORMAT:
            msg = f'this is no exported instance: it must be a JSON object with "format": "{FORMAT}".'
            raise InvalidInput(msg)
        version = document.get("format_version")
        if version != FORMAT_VERSION:
            msg = (
                f"the document is of format_version {version!r}, and this release reads {FORMAT_VERSION}."
                " Upgrade duroxide, or export it again with this release."
            )
            raise InvalidInput(msg)
        try:
            executions = [[event_from_dict(event) for event in events] for events in document["executions"]]
        except (KeyError, TypeError, AttributeError, UnreadableEvent) as error:
            msg = f"the exported instance {document.get('instance_id')!r} cannot be read: {error!r}"
            raise InvalidInput(msg) from error
        return cls.of(executions)
