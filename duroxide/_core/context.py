"""
What orchestration code is given: the methods that build actions, and the values it may depend on.

Everything here is the same in replay as in the first run. Nothing here waits: only ``yield`` does.
"""

from __future__ import annotations

import hashlib
import random
import uuid

from collections.abc import Callable, Coroutine, Generator
from datetime import datetime, timedelta
from typing import Any, NoReturn, TypeVar, overload

from ..errors import InvalidInput
from . import limits
from .actions import Action, Value
from .arguments import check_type
from .attempts import attempts
from .callees import activities, orchestrations
from .combining import Combining
from .durations import Duration, duration_ms
from .logs import OrchestrationLogger
from .replay import Replay
from .requests import (
    CallActivity,
    ContinueAsNew,
    CreateTimer,
    DequeueEvent,
    StartOrchestrationDetached,
    StartSubOrchestration,
    WaitExternal,
)
from .retry import RetryPolicy
from .state import OrchestrationState, decoder, decoder_as
from .times import EPOCH
from .versions import Version


T = TypeVar("T")
InputT = TypeVar("InputT")

#: Built into every runtime: reads a live key-value of any instance.
GET_KV_VALUE = "__duroxide_syscall:get_kv_value"


class OrchestrationContext(Combining, OrchestrationState):
    """The first argument of every orchestration function. Never made by users."""

    def __init__(self, replay: Replay, log: OrchestrationLogger, bounds: limits.Limits, input_type: object) -> None:
        super().__init__(replay)
        self._bounds = bounds
        self._input_type = input_type
        self._started = replay.started
        self._log = log
        self._random: random.Random | None = None
        self._ids_made = 0

    def __repr__(self) -> str:
        return f"<OrchestrationContext of {self.instance_id!r}, execution {self.execution_id}>"

    def _encode(self, value: object, where: str, type_: object = Any) -> str:
        """Return *value* as JSON text for a receiver that reads it as *type_*, within the limits."""
        return self._bounds.encode(value, where=where, type_=type_, warn=self._log.warning)

    # Who am I

    @property
    def instance_id(self) -> str:
        """The id that the instance was started with."""
        return self._started.instance_id

    @property
    def execution_id(self) -> int:
        """The number of this execution: 1, and one more for each continue-as-new."""
        return self._started.execution_id

    @property
    def orchestration_name(self) -> str:
        """The registered name of this orchestration."""
        return self._started.name

    @property
    def orchestration_version(self) -> str:
        """The registered version that this execution runs, to its end."""
        return self._started.version

    @property
    def is_replaying(self) -> bool:
        """Whether the code is doing again what it has done before. Decide nothing by it."""
        return self._replay.is_replaying

    @property
    def logger(self) -> OrchestrationLogger:
        """Logs with the instance's name, and is silent in replay."""
        return self._log

    # Activities

    @overload
    def schedule_activity(
        self,
        activity: Callable[[Any, InputT], Coroutine[Any, Any, T]],
        input: InputT,
        *,
        retry: RetryPolicy | None = None,
        tag: str | None = None,
        session_id: str | None = None,
        time_to_live: Duration | None = None,
    ) -> Action[T]: ...
    @overload
    def schedule_activity(
        self,
        activity: Callable[[Any], Coroutine[Any, Any, T]],
        *,
        retry: RetryPolicy | None = None,
        tag: str | None = None,
        session_id: str | None = None,
        time_to_live: Duration | None = None,
    ) -> Action[T]: ...
    @overload
    def schedule_activity(
        self,
        activity: Callable[[Any, InputT], T],
        input: InputT,
        *,
        retry: RetryPolicy | None = None,
        tag: str | None = None,
        session_id: str | None = None,
        time_to_live: Duration | None = None,
    ) -> Action[T]: ...
    @overload
    def schedule_activity(
        self,
        activity: Callable[[Any], T],
        *,
        retry: RetryPolicy | None = None,
        tag: str | None = None,
        session_id: str | None = None,
        time_to_live: Duration | None = None,
    ) -> Action[T]: ...
    @overload
    def schedule_activity(
        self,
        activity: str,
        input: object = None,
        *,
        retry: RetryPolicy | None = None,
        tag: str | None = None,
        session_id: str | None = None,
        time_to_live: Duration | None = None,
    ) -> Action[Any]: ...
    def schedule_activity(
        self,
        activity: Callable[..., Any] | str,
        input: object = None,
        *,
        retry: RetryPolicy | None = None,
        tag: str | None = None,
        session_id: str | None = None,
        time_to_live: Duration | None = None,
    ) -> Action[Any]:
        """
        Schedule *activity* (a function or its registered name) with *input*, and return its action.

        It starts now, not when it is waited for. Waiting for it returns what the activity returned,
        as the type that the function is annotated with, or raises `ActivityFailed`.

        Args:
            retry: Try again after failures. Each attempt is an activity of its own in history.

            tag: Only workers that serve this tag run it.

            session_id: All activities of a session run on the worker that owns the session.

            time_to_live: How long (a timedelta, or seconds) it may wait for a worker to begin it. Then it
                fails with a TimeoutError, instead of waiting for ever for a tag that nobody serves.

        Raises:
            PayloadError: If *input* cannot be turned into JSON.
        """
        callee = activities.find(activity)
        name, decode = callee.name, callee.decode
        if tag is not None:
            limits.check_tag(tag)
        if session_id is not None:
            limits.check_name("session id", session_id)
        text = self._encode(input, callee.what_goes_in, callee.input_type)
        _check_retry(retry)
        live_ms = None if time_to_live is None else duration_ms(time_to_live, what="time_to_live of an activity")

        def schedule(attempt: int) -> Action[Any]:
            expires_at_ms = None if live_ms is None else self._replay.now_ms + live_ms
            return self._replay.emit(CallActivity(name, text, session_id, tag, attempt, expires_at_ms), decode)

        if retry is None:
            return schedule(1)
        return self._replay.scheduler.branch(attempts(retry, schedule, self))

    # Timers, events, queues

    def schedule_timer(self, delay: timedelta | float) -> Action[None]:
        """
        Return an action that is done *delay* (a timedelta, or seconds) from `utc_now`.

        It is durable: a restart neither shortens nor lengthens it.
        """
        fire_at_ms = self._replay.now_ms + duration_ms(delay, what="delay of a timer")
        return self._replay.emit(CreateTimer(fire_at_ms))

    @overload
    def schedule_wait(self, name: str, *, type: type[T]) -> Action[T]: ...
    @overload
    def schedule_wait(self, name: str, *, type: object = None) -> Action[Any]: ...
    def schedule_wait(self, name: str, *, type: object = None) -> Action[Any]:
        """
        Return an action that is done when the event *name* is raised, with the event's data.

        An event that is raised before the wait is recorded is not seen by it; use `dequeue_event`
        where a sender may be early. Each event answers one wait, the oldest.
        """
        limits.check_name("event name", name)
        return self._replay.emit(WaitExternal(name), decoder_as(type, f"data of event {name!r}"))

    @overload
    def dequeue_event(self, queue: str, *, type: type[T]) -> Action[T]: ...
    @overload
    def dequeue_event(self, queue: str, *, type: object = None) -> Action[Any]: ...
    def dequeue_event(self, queue: str, *, type: object = None) -> Action[Any]:
        """
        Return an action that is done with the next message of *queue*, first in, first out.

        Messages wait for their dequeue, also over continue-as-new. One that is there already is received when the
        code next waits; a dequeue that is given up before takes none.
        """
        limits.check_name("queue name", queue)
        return self._replay.emit(DequeueEvent(queue), decoder_as(type, f"message of queue {queue!r}"))

    # Other orchestrations

    @overload
    def schedule_sub_orchestration(
        self,
        orchestration: Callable[[Any, InputT], Generator[Action[Any], Any, T]],
        input: InputT,
        *,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> Action[T]: ...
    @overload
    def schedule_sub_orchestration(
        self,
        orchestration: Callable[[Any], Generator[Action[Any], Any, T]],
        *,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> Action[T]: ...
    @overload
    def schedule_sub_orchestration(
        self,
        orchestration: str,
        input: object = None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> Action[Any]: ...
    def schedule_sub_orchestration(
        self,
        orchestration: Callable[..., Any] | str,
        input: object = None,
        *,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> Action[Any]:
        """
        Start *orchestration* as a child, and return an action for its result.

        Waiting for it raises `SubOrchestrationFailed` if the child fails, is cancelled, or cannot be
        started because *instance_id* exists already. Without *instance_id* the child gets one of its own.
        """
        callee = orchestrations.find(orchestration)
        if instance_id is None:
            limits.check_parent_of_automatic(self.instance_id)
        else:
            limits.check_child_id(instance_id)
        _check_version(version)
        text = self._encode(input, callee.what_goes_in, callee.input_type)
        return self._replay.emit(StartSubOrchestration(callee.name, text, instance_id, version), callee.decode)

    @overload
    def schedule_orchestration(
        self,
        orchestration: Callable[[Any, InputT], Generator[Action[Any], Any, Any]],
        instance_id: str,
        input: InputT,
        *,
        version: str | None = None,
    ) -> Action[str]: ...
    @overload
    def schedule_orchestration(
        self,
        orchestration: Callable[[Any], Any] | str,
        instance_id: str,
        input: object = None,
        *,
        version: str | None = None,
    ) -> Action[str]: ...
    def schedule_orchestration(
        self,
        orchestration: Callable[..., Any] | str,
        instance_id: str,
        input: object = None,
        *,
        version: str | None = None,
    ) -> Action[str]:
        """
        Start *orchestration* as an independent instance, and do not wait for it.

        The action is done at once, with the instance's id. If the id exists already, nothing is started.
        """
        callee = orchestrations.find(orchestration)
        limits.check_instance_id(instance_id)
        _check_version(version)
        text = self._encode(input, callee.what_goes_in, callee.input_type)
        action = self._replay.emit(StartOrchestrationDetached(callee.name, instance_id, text, version))
        self._replay.scheduler.resolve(action, Value(instance_id))
        return action

    def continue_as_new(self, input: object = None, *, version: str | None = None) -> Action[NoReturn]:
        """
        End this execution and start the next one, with an empty history, when the code next waits.

        Key-values, custom status, unread queue messages and the parent are carried over; everything
        that is open is cancelled. Write ``yield ctx.continue_as_new(...)`` or ``return`` after it.
        """
        _check_version(version)
        text = self._encode(input, f"input of orchestration {self.orchestration_name!r}", self._input_type)
        return self._replay.emit(ContinueAsNew(text, version))

    # Time and identity

    def utc_now(self) -> datetime:
        """Return the time of the event that is being processed. It never goes backwards."""
        return EPOCH + timedelta(milliseconds=self._replay.now_ms)

    def new_guid(self) -> str:
        """Return a UUID of version 4's form, another at each call and the same in replay."""
        self._ids_made += 1
        digest = hashlib.sha256(f"{self._seed}\0{self._ids_made}".encode("utf-8", "surrogatepass")).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    @property
    def random(self) -> random.Random:
        """A random generator that draws the same numbers in replay. Not for secrets."""
        if self._random is None:
            self._random = random.Random(self._seed)  # it must be predictable
        return self._random

    @property
    def _seed(self) -> str:
        # The start time tells a deleted instance from the next one of the same id.
        return f"{self.instance_id}\0{self.execution_id}\0{self._started.timestamp_ms}"

    # Other instances

    @overload
    def get_kv_value_from_instance(self, instance_id: str, key: str, *, type: type[T]) -> Action[T | None]: ...
    @overload
    def get_kv_value_from_instance(self, instance_id: str, key: str, *, type: object = None) -> Action[Any]: ...
    def get_kv_value_from_instance(self, instance_id: str, key: str, *, type: Any = None) -> Action[Any]:
        """Return an action for the live value of *key* of another instance, as *type* if given; None if there is none."""
        limits.check_existing_id(instance_id)
        limits.check_kv_key(key)
        check_type(type)
        text = self._encode([instance_id, key], "instance id and key")
        decode = decoder(None if type is None else type | None, f"key-value {key!r} of {instance_id!r}")
        return self._replay.emit(CallActivity(GET_KV_VALUE, text), decode)


def _check_retry(retry: object) -> None:
    if retry is not None and not isinstance(retry, RetryPolicy):
        msg = f"retry is {retry!r}: give a RetryPolicy, like RetryPolicy(max_attempts=3)."
        raise InvalidInput(msg)


def _check_version(version: str | None) -> None:
    if version is not None:
        Version.parse(version)
