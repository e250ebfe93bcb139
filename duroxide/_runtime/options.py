"""What can be set about a runtime, with the reason for each default."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from datetime import timedelta
from typing import Any, get_args

from attrs import Attribute, field

from .._core.durations import as_timedelta, duration_ms
from .._core.limits import NO_LIMITS, Limits, check_name
from .._core.versions import VersionRange
from .._guard import Mode
from .._nouns import frozen
from ..errors import InvalidInput
from ..providers.contract import TagFilter
from ..retention import RetentionPolicy


#: The most that a query can be asked for, on any database.
_MOST = 2**31 - 1


def _whole(least: int, most: int | None = None) -> Callable[[object, Attribute[int], int], None]:
    def check(_: object, option: Attribute[int], value: object) -> None:
        is_int = isinstance(value, int) and not isinstance(value, bool)
        if not is_int or value < least or (most is not None and value > most):  # type: ignore[operator]
            bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
            msg = f"RuntimeOptions.{option.name} is {value!r}: give a whole number {bounds}."
            raise InvalidInput(msg)

    return check


def _is_duration(_: object, option: Attribute[timedelta], value: object) -> None:
    duration_ms(value, what=f"RuntimeOptions.{option.name}")  # type: ignore[arg-type]  # it refuses what is none


def _positive(_: object, option: Attribute[timedelta], value: timedelta) -> None:
    _is_duration(_, option, value)
    if not value:
        msg = f"RuntimeOptions.{option.name} is {value}: it must be longer than nothing."
        raise InvalidInput(msg)


def _is_mode(_: object, option: Attribute[Mode], value: object) -> None:
    modes = get_args(Mode)
    if value not in modes:
        msg = f"RuntimeOptions.{option.name} is {value!r}: use one of {', '.join(modes)}."
        raise InvalidInput(msg)


def _is_a(kind: type, example: str, *, or_none: bool = False) -> Callable[[object, Attribute[Any], object], None]:
    def check(_: object, option: Attribute[Any], value: object) -> None:
        if not isinstance(value, kind) and not (or_none and value is None):
            msg = f"RuntimeOptions.{option.name} is {value!r}: give {example}{' or None' if or_none else ''}."
            raise InvalidInput(msg)

    return check


def _runs_things(_: object, option: Attribute[Any], value: object) -> None:
    if not (value is None or isinstance(value, Executor) or callable(value)):
        msg = (
            f"RuntimeOptions.{option.name} is {value!r}: give a concurrent.futures.Executor, a function that makes one, or"
            " None."
        )
        raise InvalidInput(msg)


def _is_node_id(_: object, option: Attribute[str | None], value: str | None) -> None:
    if value is not None:
        check_name(f"RuntimeOptions.{option.name}", value)


@frozen(kw_only=True)
class RuntimeOptions:
    """
    Settings of a `Runtime`. Durations are a timedelta or seconds.

    The defaults are durable and quick; most people never change one.
    """

    #: Activities that may run at the same time. 0: this runtime runs orchestrations only.
    worker_concurrency: int = field(default=32, validator=_whole(0, _MOST))
    #: 0: this runtime runs activities only. More than 1 has no effect: one dispatcher batches best.
    orchestration_concurrency: int = field(default=1, validator=_whole(0))
    #: Run activities here instead of on threads of the runtime's own. It is not shut down; what a function makes is, and
    #: is made anew if it breaks.
    executor: Executor | Callable[[], Executor] | None = field(default=None, validator=_runs_things)

    #: Which activities to take, by tag.
    worker_tag_filter: TagFilter = field(
        factory=TagFilter, validator=_is_a(TagFilter, "a TagFilter, like TagFilter(tags={'gpu'})")
    )
    #: Names this node in logs, and owns its sessions over restarts.
    worker_node_id: str | None = field(default=None, validator=_is_node_id)
    #: Sessions that may be in flight here at the same time.
    max_sessions_per_runtime: int = field(default=10, validator=_whole(0, _MOST))

    #: How long a turn's instance stays locked if its runtime dies.
    orchestrator_lock_timeout: timedelta = field(
        default=timedelta(seconds=5), converter=as_timedelta, validator=_positive
    )
    #: How long an activity stays locked if its runtime dies. Running ones are renewed.
    worker_lock_timeout: timedelta = field(default=timedelta(seconds=30), converter=as_timedelta, validator=_positive)
    session_lock_timeout: timedelta = field(default=timedelta(seconds=30), converter=as_timedelta, validator=_positive)
    session_idle_timeout: timedelta = field(default=timedelta(minutes=5), converter=as_timedelta, validator=_positive)

    #: How often sessions that nobody needs any more are removed.
    session_cleanup_interval: timedelta = field(
        default=timedelta(minutes=5), converter=as_timedelta, validator=_positive
    )

    #: Deliveries before a message is poison: a crash loop must end.
    max_attempts: int = field(default=10, validator=_whole(1))
    #: Pause before a message is tried again whose orchestration or activity is not registered here: this much,
    #: doubled each time, up to the maximum.
    unregistered_backoff: timedelta = field(default=timedelta(seconds=1), converter=as_timedelta, validator=_positive)
    unregistered_backoff_max: timedelta = field(
        default=timedelta(seconds=60), converter=as_timedelta, validator=_positive
    )
    #: How long an activity that was cancelled may go on before its slot is given to another.
    activity_cancellation_grace_period: timedelta = field(
        default=timedelta(seconds=10), converter=as_timedelta, validator=_is_duration
    )
    #: How often a running activity is checked for having been cancelled by another process.
    cancellation_poll_interval: timedelta = field(
        default=timedelta(seconds=2), converter=as_timedelta, validator=_positive
    )

    #: How long to wait for running activities at shutdown (10 s is what container platforms give).
    shutdown_timeout: timedelta = field(default=timedelta(seconds=8), converter=as_timedelta, validator=_is_duration)
    #: The slow poll behind all notifications: finds what a dead runtime has left.
    poll_interval: timedelta = field(default=timedelta(seconds=5), converter=as_timedelta, validator=_positive)
    #: Turns that one transaction may commit.
    batch_size: int = field(default=512, validator=_whole(1, _MOST))
    #: Executions kept in memory between turns; others are replayed when they are needed.
    cache_size: int = field(default=4096, validator=_whole(0))
    #: On payloads, on the length of histories, and on queue messages that are carried over.
    limits: Limits = field(
        default=NO_LIMITS, validator=_is_a(Limits, "a Limits, like Limits(max_history_events=10_000)")
    )
    #: Completions of this runtime's own activities go straight into the next turn, and so does what clients of its process
    #: send while it is idle.
    short_way_round: bool = field(default=True, validator=_is_a(bool, "True or False"))
    #: New activities are handed to free slots of this runtime in the commit that schedules them.
    eager_dispatch: bool = field(default=True, validator=_is_a(bool, "True or False"))
    #: What to remove of what has ended, in the background. None: nothing.
    retention: RetentionPolicy | None = field(
        default=None, validator=_is_a(RetentionPolicy, "a RetentionPolicy", or_none=True)
    )
    #: What to do about orchestration code that reads the clock, a random number, the environment or the world outside:
    #: nothing ("off"), log it once for each line of code ("warn"), or let the orchestration fail ("raise").
    guard: Mode = field(default="off", validator=_is_mode)
    #: Releases whose executions this runtime takes over. None: up to its own.
    supported_replay_versions: VersionRange | None = field(
        default=None,
        validator=_is_a(VersionRange, "a VersionRange, like VersionRange.between('1.0.0', '1.9.9')", or_none=True),
    )

    def __attrs_post_init__(self) -> None:
        if self.session_idle_timeout <= self.worker_lock_timeout / 3:
            msg = (
                f"RuntimeOptions.session_idle_timeout ({self.session_idle_timeout}) must be longer than a third of"
                f" worker_lock_timeout ({self.worker_lock_timeout}), or sessions lapse between two renewals."
            )
            raise InvalidInput(msg)

    @property
    def suspicious_attempts(self) -> int:
        """After how many deliveries an instance may be what ends its runtimes, and is not run beside others."""
        return max(self.max_attempts // 2, 1)

    @property
    def passing_on_seconds(self) -> float:
        """How long something that is registered nowhere may be passed on, at most."""
        return self.max_attempts * self.unregistered_backoff_max.total_seconds()

    def unregistered_delay_ms(self, attempt: int) -> int:
        """Return the pause after delivery number *attempt* (from 1) of something that is not registered here."""
        base, longest = self.unregistered_backoff, self.unregistered_backoff_max
        return milliseconds(min(base * (1 << min(attempt - 1, 6)), longest))


def milliseconds(duration: timedelta) -> int:
    """Return *duration* in whole milliseconds, rounded up: what is positive stays so."""
    return -(-duration // timedelta(milliseconds=1))
