"""
What a turn leaves to be written: the outcome of all decisions, ready for a provider to store.

A provider does not think. Whatever depends on the meaning of events (what a cancelled activity
costs, whom a finished child reports to, which limit was broken) was decided before a `TurnCommit`
was built, by `Execution.decide`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any

from attrs import field

from .._nouns import noun
from .events import (
    Event,
    KvEntry,
    OrchestrationCompleted,
    OrchestrationContinuedAsNew,
    OrchestrationFailed,
    Parent,
)
from .messages import ActivityExecute, ActivityKey, Message


#: No changes. One for all commits, of which nearly every one has none.
NOTHING: Mapping[str, Any] = MappingProxyType({})


class ExecutionStatus(StrEnum):
    """How an execution stands; an instance stands as its current execution does."""

    RUNNING = "Running"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CONTINUED_AS_NEW = "ContinuedAsNew"


#: What has ended, for good; all else goes on.
ENDED = (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED)
GOING_ON = (ExecutionStatus.RUNNING, ExecutionStatus.CONTINUED_AS_NEW)


def execution_to_start(execution_id: int, status: str | None) -> int | None:
    """
    Return which execution a start message may begin; None: another one is running, or the instance has ended.

    Args:
        execution_id: The instance's current execution; 0 if there is no such instance.

        status: An `ExecutionStatus`.
    """
    if execution_id == 0:
        return 1
    return execution_id + 1 if status == ExecutionStatus.CONTINUED_AS_NEW else None


#: How an execution stands by its last event; with any other event it is running.
STATUS_OF: Mapping[type[Event], ExecutionStatus] = {
    OrchestrationCompleted: ExecutionStatus.COMPLETED,
    OrchestrationFailed: ExecutionStatus.FAILED,
    OrchestrationContinuedAsNew: ExecutionStatus.CONTINUED_AS_NEW,
}


@noun
class NewExecution:
    """The execution (and with execution 1 the instance) that the commit brings to life."""

    name: str
    version: str
    parent: Parent | None
    #: The release that can replay it, e.g. ``1.2.3``.
    duroxide_version: str


@noun
class CustomStatusChange:
    """The last status that the turn set; None clears it. The stored version grows by one."""

    status: str | None


@noun
class Outgoing:
    """A message to enqueue. Visible at once, or from *visible_at_ms* on (timers)."""

    message: Message
    visible_at_ms: int | None = None


@noun
class ActivityLock:
    """Proof of ownership: the worker-queue row *key* is locked under *token*."""

    key: ActivityKey
    token: str


@noun
class InstanceLock:
    """Proof of ownership: the instance is locked under *token*."""

    instance_id: str
    token: str


@noun(kw_only=True)
class TurnCommit:
    """
    Everything that one turn of one execution writes, all or nothing.

    It holds good only if the store is still as the turn saw it: the execution's last event id is
    *last_event_id* (0: the execution does not exist), the instance is the same *incarnation*, and
    every lock named here is still held.
    """

    instance_id: str
    execution_id: int
    #: Identifies one life of the instance id; a deleted and re-created instance has another. With
    #: the first execution the committer chooses it, at random.
    incarnation: int
    #: The last event id that the turn started from.
    last_event_id: int
    #: The instance lock that the messages were fetched under, released by the commit. None on the
    #: short way round, which asks only that nobody else holds an unexpired lock.
    lock: InstanceLock | None = None
    #: Ids of the queue rows that the turn consumed.
    consumed_messages: tuple[int, ...] = ()
    #: Rows of the worker queue whose completion goes straight into this turn. All must still be
    #: there under their token, or nothing is written.
    finished_activities: tuple[ActivityLock, ...] = ()
    #: Timers of this execution, by event id, that fired straight into this turn (the short way round).
    #: The message of each must still be there, or nothing is written.
    fired_timers: tuple[int, ...] = ()
    #: Whether messages went straight into this turn that were never in the queue. They must not overtake any: no message
    #: of the instance may be visible there, and with the first execution of an id no start may be there or be on its
    #: way, as of `start_instances`, or nothing is written.
    handed_over: bool = False
    #: Appended to history, in order.
    events: tuple[Event, ...] = ()
    #: Set on the first commit of an execution.
    started: NewExecution | None = None
    #: RUNNING unless this turn ended the execution.
    status: ExecutionStatus = ExecutionStatus.RUNNING
    #: The output (JSON text), the error's display text, or the next execution's input.
    output: str | None = None
    custom_status: CustomStatusChange | None = None
    #: Whether the instance may have, or have had, a custom status; if not, whoever waits for its output need not look for one.
    may_have_status: bool = True
    #: None as value removes the key.
    kv: Mapping[str, KvEntry | None] = field(default=NOTHING)
    #: Inserted before *cancelled_activities* are removed.
    activities: tuple[ActivityExecute, ...] = ()
    #: Which of *activities* to insert already locked, for this runtime to run at once.
    eager: tuple[ActivityLock, ...] = ()
    messages: tuple[Outgoing, ...] = ()
    #: Rows of the worker queue to remove, by activity id of this execution.
    cancelled_activities: tuple[int, ...] = ()
    #: Timers of this execution whose messages to remove, by event id; only at its end.
    cancelled_timers: tuple[int, ...] = ()

    @property
    def tokens(self) -> Sequence[str | None]:
        """For each of *activities* the token to insert it with, or None if anybody may take it."""
        if not self.eager:
            return [None] * len(self.activities)
        if len(self.eager) == len(self.activities):
            # As a rule: all of them, in order, and with the very same keys.
            in_order = [
                lock.token for lock, work in zip(self.eager, self.activities, strict=True) if lock.key is work.key
            ]
            if len(in_order) == len(self.eager):
                return in_order
        tokens = {lock.key: lock.token for lock in self.eager}
        return [tokens.get(work.key) for work in self.activities]


class CommitResult(Enum):
    """What became of one `TurnCommit` of a batch."""

    COMMITTED = "committed"
    #: The instance lock has expired, or somebody else holds one.
    LOCK_LOST = "lock lost"
    #: History has moved on, the instance was deleted or re-created, or what was handed over would overtake a message.
    STALE = "stale"
    #: A row of *finished_activities* is gone or under another token, or a message of *fired_timers*
    #: is gone: what was completed is not wanted any more, or is somebody else's by now.
    GONE = "gone"
