"""What an activity is given: who it works for, and whether anybody still wants the result."""

from __future__ import annotations

import logging
import threading

from collections.abc import MutableMapping
from typing import Any

from .._core.durations import Duration, seconds_of
from .._core.messages import ActivityExecute
from ..client import Client
from ..errors import ActivityCancelled
from ..providers.forking import in_child


_log = logging.getLogger("duroxide.activities")


#: Held while somebody cancels or begins to wait, which few activities see: not worth a lock for each of them.
_cancelling = threading.Lock()


def _begin_as_child() -> None:
    global _cancelling  # noqa: PLW0603  # a thread of the parent may have held it
    _cancelling = threading.Lock()


in_child(_begin_as_child)


class Cancellation:
    """A flag that can be waited for. The event behind it is made only when somebody waits."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: threading.Event | None = None

    @property
    def is_set(self) -> bool:
        """Whether it was cancelled."""
        return self._is_set

    def set(self) -> None:
        """Cancel, and wake who waits."""
        with _cancelling:
            self._is_set = True
            if self._event is not None:
                self._event.set()

    def wait(self, timeout: float | None) -> bool:
        """Wait up to *timeout* seconds; return whether it was cancelled."""
        with _cancelling:
            if self._is_set:
                return True
            if self._event is None:
                self._event = threading.Event()
        return self._event.wait(timeout)


class ActivityContext:
    """The first argument of every activity function. Safe to hand to helper threads."""

    def __init__(
        self, work: ActivityExecute, *, worker_id: str, cancellation: Cancellation, client: Client | None
    ) -> None:
        self._work = work
        self._worker_id = worker_id
        self._cancellation = cancellation
        self._client = client

    def __repr__(self) -> str:
        return f"<ActivityContext of {self.activity_name!r} for {self.instance_id!r}, attempt {self.attempt}>"

    @property
    def instance_id(self) -> str:
        """The instance that scheduled it."""
        return self._work.key.instance_id

    @property
    def execution_id(self) -> int:
        """The execution of the instance that scheduled it."""
        return self._work.key.execution_id

    @property
    def orchestration_name(self) -> str:
        """The name of the orchestration that scheduled it."""
        return self._work.orchestration_name

    @property
    def orchestration_version(self) -> str:
        """The version of the orchestration that scheduled it."""
        return self._work.orchestration_version

    @property
    def activity_name(self) -> str:
        """The registered name of this activity."""
        return self._work.name

    @property
    def activity_id(self) -> int:
        """The id of the schedule event: with instance and execution a key for idempotent side effects."""
        return self._work.key.activity_id

    @property
    def attempt(self) -> int:
        """Which attempt of the retry policy this is, from 1."""
        return self._work.attempt

    @property
    def worker_id(self) -> str:
        """The runtime that runs it."""
        return self._worker_id

    @property
    def session_id(self) -> str | None:
        """The session it was scheduled on, if any."""
        return self._work.session_id

    @property
    def tag(self) -> str | None:
        """The tag it was scheduled with, if any."""
        return self._work.tag

    @property
    def is_cancelled(self) -> bool:
        """Whether nobody wants the result any more."""
        return self._cancellation.is_set

    def wait_cancelled(self, timeout: Duration | None = None) -> bool:
        """Wait up to *timeout* (a timedelta, or seconds; None: without end) for a cancellation; return whether it came."""
        seconds = None if timeout is None else seconds_of(timeout, what="timeout of wait_cancelled()")
        return self._cancellation.wait(seconds)

    def raise_if_cancelled(self) -> None:
        """
        Stop here if nobody wants the result any more.

        Raises:
            ActivityCancelled: Let it through after cleaning up.
        """
        if self._cancellation.is_set:
            msg = f"activity {self.activity_name!r} of {self.instance_id!r} was cancelled"
            raise ActivityCancelled(msg)

    @property
    def client(self) -> Client:
        """A client on the runtime's database."""
        if self._client is None:
            msg = "there is no client in an activity that runs in another process: make one from the database URL."
            raise RuntimeError(msg)
        return self._client

    @property
    def logger(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records name instance, execution, orchestration and activity."""
        extra: dict[str, Any] = {
            "instance_id": self.instance_id,
            "execution_id": self.execution_id,
            "orchestration_name": self.orchestration_name,
            "orchestration_version": self.orchestration_version,
            "activity_name": self.activity_name,
            "activity_id": self.activity_id,
            "activity_tag": self.tag,
            "worker_id": self.worker_id,
        }
        return _ActivityLogger(_log, extra)


class _ActivityLogger(logging.LoggerAdapter[logging.Logger]):
    """Names the activity in each record, and keeps the *extra* that is given with it, which the adapter would replace."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add our names to *kwargs*."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs
