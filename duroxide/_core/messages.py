"""
What travels through the two queues.

An orchestrator message either starts an execution or delivers an event that is waiting to be
appended; that is all. The worker queue carries activities to run.

A delivered event has no place in history yet: its `event_id` and `timestamp_ms` are 0 until the turn
that stages it fills them in.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field

from .._nouns import noun
from .events import Event, KvEntry, Parent, QueuedMessage


@noun
class StartOrchestration:
    """
    Start execution *execution_id* of an instance.

    Execution 1 comes from a client, a parent or a detached start; a later one from continue-as-new,
    and then carries what the execution before it leaves behind.
    """

    instance_id: str
    name: str
    #: JSON text.
    input: str
    #: None: the registry's policy decides when the message is processed.
    version: str | None = None
    execution_id: int = 1
    parent: Parent | None = None
    custom_status: str | None = None
    kv: Mapping[str, KvEntry] = field(factory=dict)
    queued: tuple[QueuedMessage, ...] = ()


@noun
class Deliver:
    """
    Append *event* to the history of an instance.

    Completions are for one execution and are dropped when another one is current; None (external
    events, queue messages, cancellations) means whichever is current.
    """

    instance_id: str
    execution_id: int | None
    event: Event


Message = StartOrchestration | Deliver


@noun
class ActivityKey:
    """Names one scheduled activity, and so at most one row of the worker queue."""

    instance_id: str
    execution_id: int
    activity_id: int


@noun
class ActivityExecute:
    """Run one activity. *input* is JSON text."""

    key: ActivityKey
    name: str
    input: str
    orchestration_name: str
    orchestration_version: str
    session_id: str | None = None
    tag: str | None = None
    #: Which attempt of a retry policy this is, from 1.
    attempt: int = 1
    #: If no worker has begun it by then (ms since the epoch), it fails.
    expires_at_ms: int | None = None
