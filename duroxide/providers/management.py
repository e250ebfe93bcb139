"""
The management contract: look through everything that is stored, delete instances, prune old executions.

An optional capability of a provider: `Management` is what it must do, in its docstrings; the records are what goes in
and comes out.

Rule 1: times go in as an aware datetime or as milliseconds since the epoch, and come out as milliseconds (``..._ms``).

Rule 2: what is asked page by page costs what the page costs, however much is stored.

Rule 3: nothing here holds a database for long: what may be long is done in several transactions, each bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from attrs import Attribute, field

from .._core import limits
from .._core.arguments import MAX_INTEGER, check_count, is_bool, text_set
from .._core.commit import ExecutionStatus
from .._core.times import Time, time_ms
from .._nouns import frozen
from ..errors import DuroxideError, InstanceError, InvalidInput
from .contract import InstanceInfo


T = TypeVar("T")

#: How many records a page has when nobody says.
DEFAULT_PAGE = 100

#: How many records a page may have: each can carry a large output.
MAX_PAGE = 1000

#: How many instances a bulk operation touches when nobody says.
DEFAULT_BULK = 1000


class ManagementNotAvailable(DuroxideError):
    """The provider stores, but cannot list, delete or prune."""

    def __init__(self, provider: object) -> None:
        super().__init__(
            f"{provider!r} has no management: use a provider that implements Management, e.g. SqlProvider."
        )


class ExecutionNotFound(InstanceError, LookupError):
    """The instance has no such execution (any more)."""

    def __init__(self, instance_id: str, execution_id: int) -> None:
        super().__init__(
            f"execution {execution_id} of instance {instance_id!r} not found. It never was, or has been pruned;"
            " list_executions() says which there are.",
            instance_id=instance_id,
        )
        self.execution_id = execution_id


@frozen
class Page(Generic[T]):
    """Some of the records asked for, in order, and where the next page begins."""

    items: tuple[T, ...]
    #: Give it to the same call for the next page; None: there is none.
    cursor: str | None = None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@frozen(kw_only=True)
class ExecutionInfo:
    """How one execution stands. Times are milliseconds since the epoch."""

    instance_id: str
    execution_id: int
    orchestration_version: str
    status: ExecutionStatus
    #: Output (JSON text) when Completed, error text when Failed, the next execution's input when ContinuedAsNew.
    output: str | None
    started_at_ms: int
    #: None while it runs.
    completed_at_ms: int | None
    #: Events in its history.
    event_count: int


@frozen(kw_only=True)
class SystemMetrics:
    """How much there is of everything."""

    total_instances: int
    #: Pruned ones do not count.
    total_executions: int
    #: Including those between two executions (ContinuedAsNew).
    running_instances: int
    completed_instances: int
    failed_instances: int
    #: None unless it was asked for: counting reads all of history.
    total_events: int | None = None


@frozen(kw_only=True)
class QueueDepths:
    """How much waits, and how much is being worked on."""

    #: Messages that could be fetched now.
    orchestrator_queue: int
    #: Activities that could be fetched now.
    worker_queue: int
    #: Messages that are for later: timers, and what is tried again after a pause.
    timer_queue: int
    #: Instances that are locked for a turn.
    locked_instances: int
    #: Activities that are locked by a worker, or are tried again after a pause.
    locked_activities: int


@frozen
class InstanceTree:
    """An instance with all its children, their children and so on: itself first, then level by level."""

    root_id: str
    instances: tuple[InstanceInfo, ...]

    @property
    def ids(self) -> tuple[str, ...]:
        """The ids of all *instances*."""
        return tuple(info.instance_id for info in self.instances)

    def children_of(self, instance_id: str) -> tuple[InstanceInfo, ...]:
        """Return the direct children of *instance_id*."""
        return self._by_parent.get(instance_id, ())

    @cached_property
    def _by_parent(self) -> Mapping[str | None, tuple[InstanceInfo, ...]]:
        """Who walks a tree asks once for each of its instances."""
        children: dict[str | None, list[InstanceInfo]] = {}
        for info in self.instances:
            children.setdefault(info.parent_instance_id, []).append(info)
        return {parent: tuple(infos) for parent, infos in children.items()}


def _is_time(_: object, attribute: Attribute[Any], value: Time | None) -> None:
    if value is not None:
        time_ms(attribute.name, value)


def _ids(ids: Collection[str] | None) -> frozenset[str] | None:
    return None if ids is None else text_set("ids", ids, content="instance ids")


def _names(names: Collection[str] | None) -> frozenset[str] | None:
    return None if names is None else text_set("except_names", names, content="names of orchestrations")


def _statuses(statuses: Collection[str] | None) -> frozenset[ExecutionStatus] | None:
    if statuses is None:
        return None
    try:
        return frozenset(ExecutionStatus(status) for status in ([statuses] if isinstance(statuses, str) else statuses))
    except (ValueError, TypeError):
        msg = f"statuses is {statuses!r}: use some of {[status.value for status in ExecutionStatus]}."
        raise InvalidInput(msg) from None


def _storable(_: object, attribute: Attribute[Any], value: frozenset[str] | str | None) -> None:
    for text in value if isinstance(value, frozenset) else () if value is None else (value,):
        limits.check_sought(attribute.name, text)


@frozen(kw_only=True)
class InstanceFilter:
    """
    Which instances: those for which everything given holds. Without anything: all.

    Of the times, ``..._before`` is exclusive and ``..._after`` inclusive, so that windows that follow each other
    neither overlap nor leave a gap. What has *completed* is Completed or Failed.
    """

    #: Only these; an empty collection means none at all.
    ids: frozenset[str] | None = field(default=None, converter=_ids, validator=_storable)
    #: Of the current execution.
    statuses: frozenset[ExecutionStatus] | None = field(default=None, converter=_statuses)
    orchestration_name: str | None = field(default=None, validator=_storable)
    #: All but those of these orchestrations.
    except_names: frozenset[str] | None = field(default=None, converter=_names, validator=_storable)
    #: What the instance id begins with. No index helps: all instances that the other conditions leave are looked at, the newest
    #: first, until there are enough.
    id_prefix: str | None = field(default=None, validator=_storable)
    created_before: Time | None = field(default=None, validator=_is_time)
    created_after: Time | None = field(default=None, validator=_is_time)
    updated_before: Time | None = field(default=None, validator=_is_time)
    updated_after: Time | None = field(default=None, validator=_is_time)
    completed_before: Time | None = field(default=None, validator=_is_time)
    completed_after: Time | None = field(default=None, validator=_is_time)
    #: Only instances that are nobody's child.
    roots_only: bool = field(default=False, validator=is_bool)
    #: Only the direct children of this instance.
    parent: str | None = field(default=None, validator=_storable)


#: All instances.
ANY_INSTANCE = InstanceFilter()


@frozen(kw_only=True)
class PruneOptions:
    """
    Which old executions to remove: those for which everything given holds; without anything, all old ones.

    The current execution is never old, nor is one that runs.
    """

    #: How many of the newest stay, the current one included. None, 0 and 1 mean the same.
    keep_last: int | None = None
    #: Only those that ended before this.
    completed_before: Time | None = field(default=None, validator=_is_time)

    def __attrs_post_init__(self) -> None:
        if self.keep_last is not None:
            check_count("keep_last", self.keep_last, least=0, most=MAX_INTEGER)


@frozen
class DeleteResult:
    """How many rows were removed."""

    instances: int = 0
    executions: int = 0
    events: int = 0
    #: Of both queues.
    queue_messages: int = 0
    #: When the last root was created that a bulk operation looked at before it had come to its limit: who goes on with
    #: ``created_after`` this need not look again at what stays. None: it was at the end, or cannot say.
    up_to_ms: int | None = field(default=None, eq=False)

    def __add__(self, other: DeleteResult) -> DeleteResult:
        return DeleteResult(
            self.instances + other.instances,
            self.executions + other.executions,
            self.events + other.events,
            self.queue_messages + other.queue_messages,
            other.up_to_ms,
        )


@frozen
class PruneResult:
    """How much was removed."""

    #: Instances of which something was removed.
    instances: int = 0
    executions: int = 0
    events: int = 0

    def __add__(self, other: PruneResult) -> PruneResult:
        return PruneResult(
            self.instances + other.instances, self.executions + other.executions, self.events + other.events
        )


@runtime_checkable
class Management(Protocol):
    """What a provider can do beyond `Provider`. The contract's rules hold, but for what is said here."""

    def list_instances(self, which: InstanceFilter, *, limit: int, cursor: str | None) -> Page[InstanceInfo]:
        """
        Return instances, the newest first (by creation, then by id).

        Following the cursors meets every instance that is there all the time exactly once, whatever comes and goes
        meanwhile.

        Raises:
            InvalidInput: If *limit* or *cursor* are no good.
        """
        ...

    def list_executions(self, instance_id: str, *, limit: int, cursor: str | None) -> Page[ExecutionInfo]:
        """
        Return executions of an instance, the oldest first; none for an unknown one.

        Raises:
            InvalidInput: If *limit* or *cursor* are no good.
        """
        ...

    def get_execution_info(self, instance_id: str, execution_id: int) -> ExecutionInfo | None:
        """Return how an execution stands, or None if there is no such execution."""
        ...

    def get_instance_tree(self, instance_id: str) -> InstanceTree | None:
        """Return an instance with everything below it, or None if there is no such instance."""
        ...

    def get_system_metrics(self, *, count_events: bool) -> SystemMetrics:
        """Return how much there is. Reads history only if *count_events*."""
        ...

    def get_queue_depths(self) -> QueueDepths:
        """Return how much waits."""
        ...

    def delete_instance(self, instance_id: str, *, force: bool) -> DeleteResult:
        """
        Delete an instance with everything below it, in one transaction.

        Whether that may be, and what is below, is determined in the same transaction. All rows go: history,
        executions, key-values, locks, messages and activities of every member, and what a member has sent to start or
        cancel a child, wherever it waits. Sessions stay: they belong to no instance, and lapse by themselves.
        So does a start of a member's id that no member has sent, as who has sent it may wait for its answer; it is
        carried out, now that the id is free. What has come for the id after it stays too, unless it is for one execution.
        Who waits for messages is told.
        Afterwards the id is as if it had never been used. A turn, activity, message or lock of the former life is
        refused wherever it turns up, also when the id is used again. Nobody else is told and nothing is cancelled.

        Raises:
            InstanceNotFound: If there is no such instance.

            CannotDeleteSubOrchestration: If it has a parent; also with *force*. One that was started by an execution that
                has been pruned has none any more: nobody can wait for it.

            InstanceStillRunning: Without *force*, if any member has not ended, or is about to start. One that has ended goes
                although it is locked: a turn of it could only take its late messages away.
        """
        ...

    def delete_instance_bulk(self, which: InstanceFilter, *, limit: int) -> DeleteResult:
        """
        Delete up to *limit* roots that match, the oldest first, each with everything below it.

        Roots are instances without a parent, also those whose parent's execution has been pruned. Those that run, or of
        which a member runs or is about to start, are skipped and do not count.
        Works in transactions that are bounded and let others in between; each tree goes in one transaction. If one
        fails, those before it have happened.
        """
        ...

    def prune_executions(self, instance_id: str, options: PruneOptions) -> PruneResult:
        """
        Remove old executions of an instance, running or not, with their history; everything else stays.

        An execution of which a child is about to start stays until it has: nothing else says whose that child is.
        Works as `delete_instance_bulk` does; an execution goes in one transaction.

        Raises:
            InstanceNotFound: If there is no such instance.
        """
        ...

    def prune_executions_bulk(self, which: InstanceFilter, options: PruneOptions, *, limit: int) -> PruneResult:
        """Prune up to *limit* instances that match and have something to remove, running or not. Otherwise the same."""
        ...
