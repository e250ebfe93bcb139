"""
The client: starts instances, sends them events, and asks how they stand.

It needs no runtime, in this process or elsewhere: everything goes through the database, and returns once it is stored
there. If there is one in this process, and it is idle, what is sent is stored together with what it leads to.
"""

from __future__ import annotations

import logging

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias, TypeVar, overload

from . import _sending
from ._core import limits, payloads
from ._core.actions import Action
from ._core.arguments import MAX_INTEGER, check_count, check_str, check_type
from ._core.callees import orchestrations
from ._core.commit import ExecutionStatus
from ._core.durations import Duration
from ._core.events import (
    Event,
    ExternalEvent,
    KvEntry,
    OrchestrationCancelRequested,
    OrchestrationFailed,
    QueueEventDelivered,
)
from ._core.limits import NO_LIMITS, Limits
from ._core.messages import Deliver, StartOrchestration
from ._core.status import Completed, Failed, NotFound, OrchestrationStatus, Running
from ._core.versions import Version
from ._nouns import frozen
from ._waiting import wait_until
from .errors import ErrorKind, InvalidInput, NondeterminismError
from .errors import OrchestrationFailed as OrchestrationFailedError
from .management import ManagementClient, readable
from .providers.contract import HistoryRequest, InstanceInfo
from .providers.opening import Database, open_provider
from .providers.wakeups import Output


_log = logging.getLogger("duroxide.client")

T = TypeVar("T")
InputT = TypeVar("InputT")

#: How long the wait_for_… methods wait when they are not told, in seconds.
DEFAULT_TIMEOUT = 30.0


#: What to do about an id that exists.
IfExists: TypeAlias = Literal["reject", "use_existing"]


@frozen
class Start:
    """What became of a start."""

    instance_id: str
    #: False: an instance of this id exists already, and was left as it is.
    is_new: bool


class Client(ManagementClient):
    """
    Talks to instances through their database. Thread-safe.

    Args:
        database: A database URL, a SQLAlchemy Engine, or a provider. A provider that is made here is
            closed with the client; one that is passed in is not.

        limits: On the size of inputs, event data and messages.
    """

    def __init__(self, database: Database, *, limits: Limits = NO_LIMITS) -> None:
        self._limits = _checked_limits(limits)
        self._provider, self._owns_provider = open_provider(database)
        if self._owns_provider:
            self._provider.initialize()

    def __repr__(self) -> str:
        return f"<duroxide.Client({self._provider!r})>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connections, unless they belong to a provider that was passed in."""
        if self._owns_provider:
            self._provider.close()

    # Sending

    @overload
    def start_orchestration(
        self,
        instance_id: str,
        orchestration: Callable[[Any, InputT], Generator[Action[Any], Any, Any]],
        input: InputT,
        *,
        version: str | None = None,
        if_exists: IfExists = "use_existing",
        connection: object = None,
    ) -> Start: ...
    @overload
    def start_orchestration(
        self,
        instance_id: str,
        orchestration: Callable[[Any], Any] | str,
        input: object = None,
        *,
        version: str | None = None,
        if_exists: IfExists = "use_existing",
        connection: object = None,
    ) -> Start: ...
    def start_orchestration(
        self,
        instance_id: str,
        orchestration: Callable[..., Any] | str,
        input: object = None,
        *,
        version: str | None = None,
        if_exists: IfExists = "use_existing",
        connection: object = None,
    ) -> Start:
        """
        Start *orchestration* (a function or its registered name) as *instance_id*.

        Returns whether the instance is a new one. If the id exists already, running or ended, nothing
        happens to it.

        Args:
            version: Run exactly this version; by default the registry of the runtime decides.

            if_exists: ``"reject"`` raises if the id exists; ``"use_existing"`` returns ``is_new=False``.

            connection: A SQLAlchemy Connection or Session: start when its transaction commits.

        Raises:
            InvalidInput: If id, name or version are no good.

            InstanceAlreadyExists: If the id exists, and *if_exists* is ``"reject"``.

            PayloadError: If *input* cannot be turned into JSON.

            ProviderError: If the database failed. Where it may or may not have happened, the message says so: starting the
                same id again does no harm.
        """
        limits.check_instance_id(instance_id)  # before it is a key of a dict
        (start,) = self.start_orchestrations(
            orchestration, {instance_id: input}, version=version, if_exists=if_exists, connection=connection
        )
        return start

    def start_orchestrations(
        self,
        orchestration: Callable[[Any, InputT], Generator[Action[Any], Any, Any]] | Callable[[Any], Any] | str,
        inputs: Mapping[str, InputT],
        *,
        version: str | None = None,
        if_exists: IfExists = "use_existing",
        connection: object = None,
    ) -> list[Start]:
        """
        Start many instances at once: instance id → input. Much faster than one by one.

        As `start_orchestration`, and in one transaction as a rule; with *if_exists* ``"reject"`` one id that exists keeps all from being started.
        """
        if if_exists not in ("reject", "use_existing"):
            msg = f"if_exists is {if_exists!r}: use 'reject' or 'use_existing'."
            raise InvalidInput(msg)
        callee = orchestrations.find(orchestration)
        if version is not None:
            Version.parse(version)
        messages = []
        for instance_id, input_ in _checked_inputs(inputs).items():
            limits.check_instance_id(instance_id)
            text = self._encode(input_, callee.what_goes_in, callee.input_type)
            messages.append(StartOrchestration(instance_id, callee.name, text, version))
        # Nobody waits for one of many within a moment.
        recent = self._provider.wakeups.recent_starts.begin(messages[0].instance_id) if len(messages) == 1 else None
        are_new = _sending.start(self._provider, messages, must_be_new=if_exists == "reject", connection=connection)
        if recent is not None and connection is None and are_new[0]:
            recent.made()
        return [Start(message.instance_id, is_new) for message, is_new in zip(messages, are_new, strict=True)]

    def raise_event(self, instance_id: str, name: str, data: object = None, *, connection: object = None) -> None:
        """
        Raise the event *name*: it answers the oldest open `schedule_wait` for it.

        If nothing waits when it is processed, it is recorded, and seen by nobody. Raising twice is twice.

        Raises:
            ProviderError: If the database failed. Where it may or may not have happened, the message says so: look before
                you raise it again.
        """
        limits.check_existing_id(instance_id)
        limits.check_name("event name", name)
        text = self._encode(data, f"data of event {name!r}")
        self._send(Deliver(instance_id, None, ExternalEvent(0, 0, name, text)), connection)

    def enqueue_event(self, instance_id: str, queue: str, data: object = None, *, connection: object = None) -> None:
        """Put *data* into a queue of the instance, where it waits for `dequeue_event`."""
        limits.check_existing_id(instance_id)
        limits.check_name("queue name", queue)
        text = self._encode(data, f"message of queue {queue!r}")
        self._send(Deliver(instance_id, None, QueueEventDelivered(0, 0, queue, text)), connection)

    def cancel_instance(self, instance_id: str, reason: str = "", *, connection: object = None) -> None:
        """
        Cancel the instance and its children. It ends Failed, with details of kind Cancelled.

        No effect on an instance that has ended, or does not exist.
        """
        limits.check_existing_id(instance_id)
        check_str("reason of a cancellation", reason)
        self._send(Deliver(instance_id, None, OrchestrationCancelRequested(0, 0, reason)), connection)

    def _encode(self, value: object, where: str, type_: object = Any) -> str:
        return self._limits.encode(value, where=where, type_=type_, warn=_log.warning)

    def _send(self, message: Deliver, connection: object) -> None:
        _sending.send(self._provider, message, connection=connection)

    # Asking

    def get_orchestration_status(self, instance_id: str) -> OrchestrationStatus:
        """Return how the instance stands now."""
        limits.check_existing_id(instance_id)
        info = self._provider.get_instance_info(instance_id)
        return NotFound() if info is None else self._status_of(info)

    def read_execution_history(self, instance_id: str, execution_id: int | None = None) -> tuple[Event, ...]:
        """
        Return the events of an execution (None: the current one), oldest first; empty if unknown.

        Raises:
            UnreadableHistory: If an event cannot be read, for example because a newer release wrote it.
        """
        limits.check_existing_id(instance_id)
        if execution_id is not None:
            check_count("execution_id", execution_id, most=MAX_INTEGER)
        return tuple(self._history(HistoryRequest(instance_id, execution_id)))

    def _history(self, request: HistoryRequest) -> Sequence[Event]:
        return readable(self._provider.read_histories([request])[0])

    def _status_of(self, info: InstanceInfo) -> OrchestrationStatus:
        seen = (info.custom_status, info.custom_status_version)
        if info.status is ExecutionStatus.COMPLETED:
            return _completed(info.output or "null", info.instance_id, *seen)
        if info.status is not ExecutionStatus.FAILED:
            return Running(*seen)
        last = self._history(HistoryRequest(info.instance_id, info.execution_id, info.last_event_id - 1))
        # Without it the instance was deleted between the two reads.
        return Failed(last[-1].details, *seen) if last and isinstance(last[-1], OrchestrationFailed) else NotFound()

    # Waiting

    def wait_for_orchestration(self, instance_id: str, timeout: Duration = DEFAULT_TIMEOUT) -> Completed | Failed:
        """
        Wait until the instance has ended, and return how. An instance that is not there yet is waited for.

        Args:
            timeout: A timedelta, or seconds.

        Raises:
            WaitTimeout: If it has not ended in time. A database that goes away meanwhile is waited for, too; if it is
                not back by then, its `ProviderError` is the cause.
        """
        return _ended(self._wait_for_status(instance_id, timeout, "end", _has_ended))

    @overload
    def wait_for_result(self, instance_id: str, timeout: Duration = DEFAULT_TIMEOUT, *, type: type[T]) -> T: ...
    @overload
    def wait_for_result(self, instance_id: str, timeout: Duration, type: type[T]) -> T: ...
    @overload
    def wait_for_result(self, instance_id: str, timeout: Duration = DEFAULT_TIMEOUT, type: object = None) -> Any: ...
    def wait_for_result(self, instance_id: str, timeout: Duration = DEFAULT_TIMEOUT, type: object = None) -> Any:
        """
        Wait until the instance has ended, and return its output, as *type* if given.

        Raises:
            OrchestrationFailed: If it failed or was cancelled; `details` says how.

            WaitTimeout: If it has not ended in time.

            PayloadError: If the output is not a *type*.
        """
        check_type(type)
        status = _ended(self._wait_for_status(instance_id, timeout, "end", _has_ended, with_custom_status=False))
        if isinstance(status, Failed):
            is_nondeterminism = status.details.kind is ErrorKind.NONDETERMINISM
            raise (NondeterminismError if is_nondeterminism else OrchestrationFailedError)(status.details)
        if type is None:
            return status.output
        where = _output_of(instance_id)
        return payloads.decode(payloads.encode(status.output, where=where), type, where=where)

    def wait_for_status_change(
        self, instance_id: str, last_seen_version: int = 0, timeout: Duration = DEFAULT_TIMEOUT
    ) -> Running | Completed | Failed:
        """
        Wait until the custom status is newer than *last_seen_version*, or the instance has ended.

        An instance that is not there yet is waited for. The status has the version to wait from next.

        Args:
            last_seen_version: The `custom_status_version` of the last status; 0, before the first, is never newer.

            timeout: A timedelta, or seconds.

        Raises:
            WaitTimeout: If neither happens in time; see `wait_for_orchestration`.
        """
        check_count("last_seen_version", last_seen_version, least=0)

        def is_news(seen: OrchestrationStatus) -> bool:
            if isinstance(seen, Running):
                return seen.custom_status_version > last_seen_version
            return not isinstance(seen, NotFound)

        what = f"change its status after version {last_seen_version}"
        status = self._wait_for_status(instance_id, timeout, what, is_news)
        assert not isinstance(status, NotFound), "an instance was waited for"
        return status

    def _wait_for_status(
        self,
        instance_id: str,
        timeout: Duration,
        what: str,
        enough: Callable[[OrchestrationStatus], bool],
        *,
        with_custom_status: bool = True,
    ) -> OrchestrationStatus:
        def look() -> OrchestrationStatus:
            return self.get_orchestration_status(instance_id)

        def told(output: Output) -> OrchestrationStatus | None:
            return _completed(output.text, instance_id) if output.is_all or not with_custom_status else None

        return self._wait(instance_id, timeout, what, look, enough, told=told)

    def _wait(
        self,
        instance_id: str,
        timeout: Duration,
        what: str,
        look: Callable[[], T],
        enough: Callable[[T], bool],
        told: Callable[[Output], T | None] | None = None,
    ) -> T:
        """Return what *look* sees, as soon as that is *enough*."""
        limits.check_existing_id(instance_id)
        wakeups = self._provider.wakeups
        return wait_until(enough, look, told=told, wakeups=wakeups, instance_id=instance_id, what=what, timeout=timeout)

    # Key-values

    @overload
    def get_kv_value(self, instance_id: str, key: str, type: type[T]) -> T | None: ...
    @overload
    def get_kv_value(self, instance_id: str, key: str, type: object = None) -> Any: ...
    def get_kv_value(self, instance_id: str, key: str, type: object = None) -> Any:
        """Return the live value of *key*, as *type* if given; None if there is none."""
        limits.check_existing_id(instance_id)
        limits.check_kv_key(key)
        check_type(type)
        entry = self._provider.get_kv_value(instance_id, key)
        return None if entry is None else _decode_kv(entry.value, key, type)

    def get_kv_all_values(self, instance_id: str) -> dict[str, Any]:
        """Return all live key-values, by key in sorted order; empty for an unknown instance."""
        limits.check_existing_id(instance_id)
        entries = self._provider.get_kv_all_values(instance_id)
        return {key: _decode_kv(entries[key].value, key, None) for key in sorted(entries)}

    @overload
    def wait_for_kv_value(self, instance_id: str, key: str, timeout: Duration = DEFAULT_TIMEOUT) -> Any: ...
    @overload
    def wait_for_kv_value(
        self, instance_id: str, key: str, timeout: Duration = DEFAULT_TIMEOUT, type: type[T] = ...
    ) -> T: ...
    @overload
    def wait_for_kv_value(
        self, instance_id: str, key: str, timeout: Duration = DEFAULT_TIMEOUT, type: object = ...
    ) -> Any: ...
    def wait_for_kv_value(
        self, instance_id: str, key: str, timeout: Duration = DEFAULT_TIMEOUT, type: object = None
    ) -> Any:
        """
        Wait until *key* exists, and return its value, as *type* if given.

        Raises:
            WaitTimeout: If it does not exist in time; see `wait_for_orchestration`.
        """
        limits.check_kv_key(key)
        check_type(type)

        def look() -> KvEntry | None:
            return self._provider.get_kv_value(instance_id, key)

        entry = self._wait(instance_id, timeout, f"set key {key!r}", look, lambda seen: seen is not None)
        assert entry is not None, "that was waited for"
        return _decode_kv(entry.value, key, type)


def _has_ended(status: OrchestrationStatus) -> bool:
    return isinstance(status, Completed | Failed)


def _ended(status: OrchestrationStatus) -> Completed | Failed:
    assert isinstance(status, Completed | Failed), "that was waited for"
    return status


def _output_of(instance_id: str) -> str:
    return f"output of instance {instance_id!r}"


def _completed(text: str, instance_id: str, custom_status: str | None = None, version: int = 0) -> Completed:
    return Completed(payloads.decode(text, Any, where=_output_of(instance_id)), custom_status, version)


def _checked_limits(limits: object) -> Limits:
    if not isinstance(limits, Limits):
        msg = f"limits is {limits!r}: give a Limits, like Limits(max_payload_bytes=1_000_000)."
        raise InvalidInput(msg)
    return limits


def _checked_inputs(inputs: Mapping[str, object]) -> Mapping[str, object]:
    given: object = inputs
    if not isinstance(given, Mapping):
        msg = f"inputs is {given!r}: give a mapping of instance id to input, like {{'order-1': 5}}."
        raise InvalidInput(msg)
    return inputs


def _decode_kv(text: str, key: str, type_: object) -> Any:
    return payloads.decode(text, Any if type_ is None else type_, where=f"key-value {key!r}")
