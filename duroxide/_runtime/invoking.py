"""Calling a user's activity function: payload in, recorded outcome out. Whatever it raises becomes a value."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from contextlib import suppress
from functools import partial
from types import CoroutineType
from typing import Any, NoReturn

from attrs import evolve

from .._core import payloads
from .._core.events import ActivityCompleted, ActivityFailed
from .._core.functions import FunctionInfo
from .._core.limits import Limits
from .._core.messages import ActivityExecute
from ..errors import ErrorDetails, ErrorKind, InvalidInput
from ..providers.forking import PROCESS
from .activity_context import ActivityContext, Cancellation


_log = logging.getLogger("duroxide.runtime")

ActivityOutcome = ActivityCompleted | ActivityFailed


def invoke(
    info: FunctionInfo, work: ActivityExecute, context: ActivityContext, limits: Limits
) -> ActivityOutcome | CoroutineType[Any, Any, Any]:
    """Call an activity function in this thread; what returns a coroutine is to go on in an event loop, by `finish`."""
    process = PROCESS.token
    try:
        result = info.fn(*_arguments(info, work, context))
        if PROCESS.token is not process:
            _end_copy(0)
        if type(result) is CoroutineType:
            return result
        return completed(info, work, result, limits)
    except BaseException as error:  # noqa: BLE001  # user code; SystemExit must not end the worker thread either
        if PROCESS.token is not process:
            _end_copy(error.code if isinstance(error, SystemExit) else 1)
        return failed(work, error)


async def finish(
    info: FunctionInfo, work: ActivityExecute, coroutine: CoroutineType[Any, Any, Any], limits: Limits
) -> ActivityOutcome:
    """Run what an activity function has returned to its end, in the running event loop."""
    try:
        return completed(info, work, await coroutine, limits)
    except BaseException as error:  # noqa: BLE001  # as above; also a cancellation
        return failed(work, error)


async def invoke_async(
    info: FunctionInfo, work: ActivityExecute, context: ActivityContext, limits: Limits
) -> ActivityOutcome:
    """Run an ``async def`` activity in the running event loop."""
    called = invoke(info, work, context, limits)
    return await finish(info, work, called, limits) if isinstance(called, CoroutineType) else called


def invoke_whole(
    info: FunctionInfo, work: ActivityExecute, context: ActivityContext, limits: Limits
) -> ActivityOutcome:
    """Run an activity of any kind to its end, in this thread; one that needs an event loop gets one of its own."""
    if info.is_async:
        return asyncio.run(invoke_async(info, work, context, limits))
    called = invoke(info, work, context, limits)
    return asyncio.run(finish(info, work, called, limits)) if isinstance(called, CoroutineType) else called


def invoke_elsewhere(info: FunctionInfo, work: ActivityExecute, worker_id: str, limits: Limits) -> ActivityOutcome:
    """Run an activity in another process: all arguments are picklable, and a cancellation does not get there."""
    context = ActivityContext(work, worker_id=worker_id, cancellation=Cancellation(), client=None)
    return invoke_whole(info, work, context, limits)


def _end_copy(code: object) -> NoReturn:
    """
    End this process, which an activity has forked, and whose copy of the activity comes to its end.

    It has a single thread, this one. Nobody waits for it but the activity in the parent; and what it would do next as a
    worker is the parent's.
    """
    with suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


def completed(info: FunctionInfo, work: ActivityExecute, result: object, limits: Limits) -> ActivityOutcome:
    """Return the event that says what the activity returned, or that it cannot be stored."""
    where = f"result of activity {work.name!r}"
    warn = partial(_log.warning, "instance %r: %s", work.key.instance_id)
    try:
        text = limits.encode(result, where=where, type_=info.result_type, warn=warn)
    except InvalidInput as error:
        failure = failed(work, error)
        # What it was to do is done: to do it again would change nothing, and may do harm.
        return evolve(failure, details=evolve(failure.details, retryable=False))
    return ActivityCompleted(0, 0, work.key.activity_id, text)


def failed(work: ActivityExecute, error: BaseException) -> ActivityFailed:
    """Return the event that says what the activity raised."""
    details = ErrorDetails.from_exception(error, kind=ErrorKind.ACTIVITY_FAILED, attempt=work.attempt)
    return ActivityFailed(0, 0, work.key.activity_id, details)


def _arguments(info: FunctionInfo, work: ActivityExecute, context: ActivityContext) -> list[Any]:
    if not info.takes_input or (work.input == "null" and info.has_default_input):
        return [context]
    return [context, payloads.decode(work.input, info.input_type, where=f"input of activity {work.name!r}")]
