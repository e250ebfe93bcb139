"""
What to do with a fetched instance: run a turn, just consume the messages, pass them on, or give it up.

Pure decisions on fetched values; the dispatcher carries them out.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from .._core import events as e
from .._core.commit import ENDED, ExecutionStatus, Outgoing, TurnCommit
from .._core.execution import begin, fail
from .._core.messages import Deliver, StartOrchestration
from .._nouns import noun
from ..errors import ErrorCategory, ErrorDetails, ErrorKind
from ..providers.contract import OrchestrationItem


@noun
class Batch:
    """The messages of a fetched instance, sorted by what they are for."""

    #: The message that begins a new execution, if there is one that may.
    start: StartOrchestration | None
    deliveries: tuple[Deliver, ...]
    #: Answers to parents whose start cannot be carried out because the id exists.
    refusals: tuple[Outgoing, ...]
    message_ids: tuple[int, ...]
    #: Whether the instance has ended, so that all there is to do is to consume the messages.
    is_over: bool


def sort_messages(item: OrchestrationItem) -> Batch:
    """Return what the messages of *item* are for."""
    expected = _execution_to_start(item)
    start: StartOrchestration | None = None
    refusals: list[Outgoing] = []
    deliveries: list[Deliver] = []
    for queued in item.messages:
        message = queued.message
        if isinstance(message, Deliver):
            deliveries.append(message)
        elif start is None and message.execution_id == expected:
            start = message
        elif message.parent is not None and message.execution_id == 1:
            refusals.append(_refusal(message, message.parent))
    return Batch(
        start,
        tuple(deliveries),
        tuple(refusals),
        (*(queued.id for queued in item.messages), *item.unreadable_messages),
        is_over=item.execution_id > 0 and start is None and item.status in ENDED,
    )


def _execution_to_start(item: OrchestrationItem) -> int | None:
    """Return which execution a start message may begin; None: another one is running, or the instance has ended."""
    if item.execution_id == 0:
        return 1
    return item.execution_id + 1 if item.status is ExecutionStatus.CONTINUED_AS_NEW else None


def _refusal(message: StartOrchestration, parent: e.Parent) -> Outgoing:
    details = ErrorDetails(
        category=ErrorCategory.APPLICATION,
        kind=ErrorKind.ORCHESTRATION_FAILED,
        message=(
            f"child {message.instance_id!r} was not started: an instance of this id already exists. Use another"
            " instance_id, or none."
        ),
        type="duroxide.errors.InstanceAlreadyExists",
    )
    failed = e.SubOrchestrationFailed(0, 0, parent.event_id, details)
    return Outgoing(Deliver(parent.instance_id, parent.execution_id, failed))


def consume(item: OrchestrationItem, batch: Batch) -> TurnCommit:
    """Return the commit that only takes the messages away: the instance has ended."""
    return TurnCommit(
        instance_id=item.lock.instance_id,
        execution_id=item.execution_id,
        incarnation=item.incarnation,
        last_event_id=item.last_event_id,
        lock=item.lock,
        consumed_messages=batch.message_ids,
        messages=batch.refusals,
    )


def poison(
    item: OrchestrationItem,
    batch: Batch,
    history: Sequence[e.Event] | None,
    *,
    max_attempts: int,
    now_ms: int,
    duroxide_version: str,
    incarnation: int,
    reason: str | None,
) -> TurnCommit:
    """
    Return the commit that ends an instance whose messages were delivered too often.

    Args:
        history: Of the current execution; None if it cannot be read.

        reason: Why the deliveries came to nothing, if that is known: of a history, why it cannot be read.
    """
    start = batch.start or _lost_start(item, history) or _unreadable_start(item)
    if start is not None:
        history = [
            begin(
                start,
                start.version or "unknown",
                timestamp_ms=now_ms,
                duroxide_version=duroxide_version,
            )
        ]
    execution_id = item.execution_id if start is None else start.execution_id
    kind = ErrorKind.POISONED_ORCHESTRATION if history is not None else ErrorKind.UNREADABLE_HISTORY
    unreadable = item.unreadable_reason if history is not None else reason or item.unreadable_reason
    reason = reason or item.unreadable_reason
    details = ErrorDetails(
        category=ErrorCategory.POISON,
        kind=kind,
        message=unreadable or "; ".join(repr(queued.message)[:500] for queued in item.messages),
        cause=None if reason is None else ErrorDetails.because(reason, kind=kind),
        subject=f"orchestration {item.lock.instance_id!r} execution {execution_id}",
        attempt_count=item.attempt_count,
        max_attempts=max_attempts,
    )
    if not history:
        return _fail_unreadable(item, batch, details, now_ms)
    commit = fail(
        history,
        details,
        is_new=start is not None,
        incarnation=incarnation,
        now_ms=now_ms,
        lock=item.lock,
        consumed_messages=batch.message_ids,
    )
    return evolve(commit, messages=(*commit.messages, *batch.refusals)) if batch.refusals else commit


def _lost_start(item: OrchestrationItem, history: Sequence[e.Event] | None) -> StartOrchestration | None:
    """Return what began the next execution of an instance that has continued as new, as far as *history* tells."""
    if item.status is not ExecutionStatus.CONTINUED_AS_NEW or not history:
        return None
    started, ended = history[0], history[-1]
    if not (isinstance(started, e.OrchestrationStarted) and isinstance(ended, e.OrchestrationContinuedAsNew)):
        return None
    execution_id, parent = item.execution_id + 1, started.parent
    return StartOrchestration(item.lock.instance_id, started.name, ended.input, started.version, execution_id, parent)


def _unreadable_start(item: OrchestrationItem) -> StartOrchestration | None:
    """Return what stands for the start of an instance that does not exist, so that it can be seen to have failed."""
    return None if item.execution_id else StartOrchestration(item.lock.instance_id, "unknown", "null")


def _fail_unreadable(item: OrchestrationItem, batch: Batch, details: ErrorDetails, now_ms: int) -> TurnCommit:
    """End an instance without looking at its history, and tell its parent."""
    parent = item.parent
    report: tuple[Outgoing, ...] = ()
    if parent is not None:
        failed = e.SubOrchestrationFailed(0, 0, parent.event_id, details)
        report = (Outgoing(Deliver(parent.instance_id, parent.execution_id, failed)),)
    return TurnCommit(
        instance_id=item.lock.instance_id,
        execution_id=item.execution_id,
        incarnation=item.incarnation,
        last_event_id=item.last_event_id,
        lock=item.lock,
        consumed_messages=batch.message_ids,
        events=(e.OrchestrationFailed(item.last_event_id + 1, now_ms, details),),
        status=ExecutionStatus.FAILED,
        output=details.display,
        messages=(*batch.refusals, *report),
    )
