"""Calling a user's activity function: payload in, recorded outcome out. Whatever it raises becomes a value."""

from __future__ import annotations

import asyncio
import logging

from collections.abc import Coroutine
from typing import Any

from .._core import payloads
from .._core.events import ActivityCompleted, ActivityFailed
from .._core.functions import FunctionInfo
from .._core.limits import Limits
from .._core.messages import ActivityExecute
from ..errors import ErrorDetails, ErrorKind
from .activity_context import ActivityContext, Cancellation


_log = logging.getLogger("duroxide.runtime")

ActivityOutcome = ActivityCompleted | ActivityFailed


def invoke(info: FunctionInfo, work: ActivityExecute, context: ActivityContext, limits: Limits) -> ActivityOutcome:
    """Run a plain activity function in this thread."""
    try:
        return completed(work, info.fn(*_arguments(info, work, context)), limits)
    except BaseException as error:  # noqa: BLE001  # user code; SystemExit must not end the worker thread either
        return failed(work, error)


async def invoke_async(
    info: FunctionInfo, work: ActivityExecute, context: ActivityContext, limits: Limits
) -> ActivityOutcome:
    """Run an ``async def`` activity in the running event loop."""
    try:
        result: Coroutine[Any, Any, Any] = info.fn(*_arguments(info, work, context))
        return completed(work, await result, limits)
    except asyncio.CancelledError as error:
        return failed(work, error)
    except BaseException as error:  # noqa: BLE001  # as above
        return failed(work, error)


def invoke_elsewhere(info: FunctionInfo, work: ActivityExecute, worker_id: str, limits: Limits) -> ActivityOutcome:
    """Run an activity in another process: all arguments are picklable, and a cancellation does not get there."""
    context = ActivityContext(work, worker_id=worker_id, cancellation=Cancellation(), client=None)
    if info.is_async:
        return asyncio.run(invoke_async(info, work, context, limits))
    return invoke(info, work, context, limits)


def completed(work: ActivityExecute, result: object, limits: Limits) -> ActivityOutcome:
    """Return the event that says what the activity returned."""
    where = f"result of activity {work.name!r}"
    text = payloads.encode(result, where=where)
    warning = limits.check_payload(text, where)
    if warning is not None:
        _log.warning("instance %r: %s", work.key.instance_id, warning)
    return ActivityCompleted(0, 0, work.key.activity_id, text)


def failed(work: ActivityExecute, error: BaseException) -> ActivityFailed:
    """Return the event that says what the activity raised."""
    details = ErrorDetails.from_exception(error, kind=ErrorKind.ACTIVITY_FAILED, attempt=work.attempt)
    return ActivityFailed(0, 0, work.key.activity_id, details)


def _arguments(info: FunctionInfo, work: ActivityExecute, context: ActivityContext) -> list[Any]:
    if not info.takes_input or (work.input == "null" and info.has_default_input):
        return [context]
    return [context, payloads.decode(work.input, info.input_type, where=f"input of activity {work.name!r}")]
