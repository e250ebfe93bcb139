"""
The management half of the client: look through what is stored, delete instances, prune old executions.

Rule: what is unknown is an error that a caller can catch, and what is no good is refused before the database is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from ._core import limits
from ._core.arguments import MAX_INTEGER, check_bool, check_count
from ._core.audit import Violation
from ._core.commit import ExecutionStatus
from ._core.events import Event
from ._core.exports import ExportedInstance
from ._core.times import Time
from .errors import InstanceNotFound, InvalidInput, UnreadableHistory
from .providers.contract import HistoryRequest, InstanceInfo, Provider
from .providers.management import (
    ANY_INSTANCE,
    DEFAULT_BULK,
    DEFAULT_PAGE,
    MAX_PAGE,
    DeleteResult,
    ExecutionInfo,
    ExecutionNotFound,
    InstanceFilter,
    InstanceTree,
    Management,
    ManagementNotAvailable,
    Page,
    PruneOptions,
    PruneResult,
    QueueDepths,
    SystemMetrics,
)
from .retention import RetentionPolicy, RetentionResult, apply_retention, checked_policy


T = TypeVar("T")


class ManagementClient:
    """
    What a `Client` can do with what is stored.

    Lists come page by page: give the `cursor` of a page to the same call for the next one, until it is None. Every
    method raises `ManagementNotAvailable` where the provider has no management.
    """

    _provider: Provider

    @property
    def _management(self) -> Management:
        if not isinstance(self._provider, Management):
            raise ManagementNotAvailable(self._provider)
        return self._provider

    # Listing

    def list_all_instances(self, *, limit: int = DEFAULT_PAGE, cursor: str | None = None) -> Page[InstanceInfo]:
        """Return all instances, the newest first. See `list_instances`."""
        return self.list_instances(ANY_INSTANCE, limit=limit, cursor=cursor)

    def list_instances_by_status(
        self, status: ExecutionStatus | str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[InstanceInfo]:
        """
        Return the instances whose current execution is ``Running``, ``Completed``, ``Failed`` or ``ContinuedAsNew``.

        The newest first; see `list_instances`.
        """
        return self.list_instances(InstanceFilter(statuses=[status]), limit=limit, cursor=cursor)

    def list_instances(
        self, filter: InstanceFilter, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[InstanceInfo]:
        """
        Return the instances that match, the newest first.

        Args:
            filter: Which; see `InstanceFilter`.

            limit: How many a page has at most, 1 to 1000.

            cursor: Where the page begins: the `cursor` of the page before it, or None.

        Raises:
            InvalidInput: If *limit* or *cursor* are no good.
        """
        return self._management.list_instances(_checked(filter), limit=limit, cursor=cursor)

    def list_executions(
        self, instance_id: str, *, limit: int = DEFAULT_PAGE, cursor: str | None = None
    ) -> Page[ExecutionInfo]:
        """Return the executions of an instance, the oldest first; none if it is unknown. See `list_instances`."""
        limits.check_existing_id(instance_id)
        return self._management.list_executions(instance_id, limit=limit, cursor=cursor)

    # Asking

    def get_instance_info(self, instance_id: str) -> InstanceInfo:
        """
        Return how an instance stands.

        Raises:
            InstanceNotFound: If there is no such instance.
        """
        limits.check_existing_id(instance_id)
        info = self._provider.get_instance_info(instance_id)
        if info is None:
            raise InstanceNotFound(instance_id)
        return info

    def get_execution_info(self, instance_id: str, execution_id: int | None = None) -> ExecutionInfo:
        """
        Return how an execution (None: the current one) stands.

        Raises:
            InstanceNotFound: If there is no such instance.

            ExecutionNotFound: If it has no such execution, or not any more.
        """
        if execution_id is not None:
            check_count("execution_id", execution_id, most=MAX_INTEGER)
        current = self.get_instance_info(instance_id).execution_id
        wanted = current if execution_id is None else execution_id
        info = self._management.get_execution_info(instance_id, wanted)
        if info is None:
            raise ExecutionNotFound(instance_id, wanted)
        return info

    def get_instance_tree(self, instance_id: str) -> InstanceTree:
        """
        Return an instance with all its children, their children and so on.

        Raises:
            InstanceNotFound: If there is no such instance.
        """
        limits.check_existing_id(instance_id)
        tree = self._management.get_instance_tree(instance_id)
        if tree is None:
            raise InstanceNotFound(instance_id)
        return tree

    def get_system_metrics(self, *, count_events: bool = False) -> SystemMetrics:
        """
        Return how many instances and executions there are. Counts all of them: ask every few seconds at most.

        Args:
            count_events: Also count all events of all histories, which takes long when there are many.
        """
        check_bool("count_events", count_events)
        return self._management.get_system_metrics(count_events=count_events)

    def get_queue_depths(self) -> QueueDepths:
        """
        Return how much waits to be worked on, and how much is being worked on.

        Counts all timers, also those of instances that sleep: ask every few seconds at most.
        """
        return self._management.get_queue_depths()

    # Exporting

    def export_instance(self, instance_id: str) -> dict[str, Any]:
        """
        Return an instance with all its histories as plain JSON values, for files and for `duroxide.testing.replay`.

        The children are not in it. It holds every payload as it is: inputs, results, event data.

        Raises:
            InstanceNotFound: If there is no such instance, or it has not been started yet.

            UnreadableHistory: If an event cannot be read, for example because a newer release wrote it.
        """
        limits.check_existing_id(instance_id)
        infos = _page_by_page(lambda cursor: self.list_executions(instance_id, limit=MAX_PAGE, cursor=cursor))
        requests = [HistoryRequest(instance_id, info.execution_id) for info in infos]
        # A history that is empty was pruned, or its instance deleted, between the two reads.
        histories = [history for history in map(readable, self._provider.read_histories(requests)) if history]
        if not histories:
            raise InstanceNotFound(instance_id)
        return ExportedInstance.of(histories).to_document()

    def export_instances(
        self,
        filter: InstanceFilter = ANY_INSTANCE,
        *,
        on_unreadable: Callable[[UnreadableHistory], object] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """
        Yield the instances that match, the newest first, each as `export_instance` returns it.

        Reads page by page, while it is iterated over; what is deleted meanwhile is left out.

        Args:
            on_unreadable: Called with the error of each instance that cannot be read, which is left out then.

        Raises:
            UnreadableHistory: If an event cannot be read, and *on_unreadable* is not given. The iteration ends there.
        """
        for info in self.iterate_instances(filter):
            try:
                document = self.export_instance(info.instance_id)
            except InstanceNotFound:
                continue
            except UnreadableHistory as error:
                if on_unreadable is None:
                    raise
                on_unreadable(error)
            else:
                yield document

    def iterate_instances(self, filter: InstanceFilter = ANY_INSTANCE) -> Iterator[InstanceInfo]:
        """Yield the instances that match, the newest first, reading page by page."""
        return _page_by_page(lambda cursor: self.list_instances(filter, limit=MAX_PAGE, cursor=cursor))

    # Deleting

    def delete_instance(self, instance_id: str, *, force: bool = False) -> DeleteResult:
        """
        Delete an instance with all its children and everything that is stored of them; the id is free again.

        Somebody else who is about to start an instance of this id starts it then.

        Args:
            force: Also if it still runs. Nothing is cancelled: an activity that is running goes on until it looks
                whether it is cancelled, and its result is dropped. Cancel first where that matters.

        Raises:
            InstanceNotFound: If there is no such instance, or it has not been started yet.

            CannotDeleteSubOrchestration: If it is a child: it goes with its root, even with *force*. It can go by itself once
                the execution that started it has been pruned.

            InstanceStillRunning: Without *force*, if it or one of its children has not ended.
        """
        limits.check_existing_id(instance_id)
        check_bool("force", force)
        return self._management.delete_instance(instance_id, force=force)

    def delete_instance_bulk(self, filter: InstanceFilter, *, limit: int = DEFAULT_BULK) -> DeleteResult:
        """
        Delete up to *limit* instances that match and have ended, the oldest first, each with all its children.

        Children are skipped, unless the execution that started them has been pruned, and so are instances of which anything
        still runs. It takes a number of short transactions, so
        that others can work meanwhile; calling it again goes on where it stopped. For example, to keep 30 days::

            client.delete_instance_bulk(InstanceFilter(completed_before=now - timedelta(days=30)))
        """
        return self._management.delete_instance_bulk(_checked(filter), limit=limit)

    def prune_executions(
        self, instance_id: str, *, keep_last: int | None = None, completed_before: Time | None = None
    ) -> PruneResult:
        """
        Remove old executions, with their history, of an instance that has continued as new. It may be running.

        The current execution and the key-values always stay. Without arguments, all others go.

        Args:
            keep_last: How many of the newest stay, the current one included.

            completed_before: Only those that ended before this: an aware datetime, or milliseconds since the epoch.

        Raises:
            InstanceNotFound: If there is no such instance.
        """
        limits.check_existing_id(instance_id)
        options = PruneOptions(keep_last=keep_last, completed_before=completed_before)
        return self._management.prune_executions(instance_id, options)

    def prune_executions_bulk(
        self,
        filter: InstanceFilter,
        *,
        keep_last: int | None = None,
        completed_before: Time | None = None,
        limit: int = DEFAULT_BULK,
    ) -> PruneResult:
        """
        Prune up to *limit* instances that match and have something to remove, running or not.

        It takes a number of short transactions. See `prune_executions`.
        """
        options = PruneOptions(keep_last=keep_last, completed_before=completed_before)
        return self._management.prune_executions_bulk(_checked(filter), options, limit=limit)

    def apply_retention(self, policy: RetentionPolicy) -> RetentionResult:
        """
        Remove everything that *policy* does not keep, now; for a job that runs every night.

        It works as `delete_instance_bulk` and `prune_executions_bulk` do, until there is no more to remove. A runtime
        with ``RuntimeOptions(retention=policy)`` does the same by itself, again and again.
        """
        return apply_retention(self._management, checked_policy(policy), now_ms=self._provider.now_ms())

    def audit(self) -> list[Violation]:
        """
        Check the conservation law on the live database, and return every breach of it: none, unless work was lost.

        Every open activity has its row or its completion, every open timer its message, every open child its
        instance, and nothing else exists. Reads everything that runs, at one moment; disturbs nobody.
        """
        return list(self._provider.audit())


def _page_by_page(list_page: Callable[[str | None], Page[T]]) -> Iterator[T]:
    """Yield all that *list_page* lists from a cursor on, reading a page when it is needed."""
    page = list_page(None)
    yield from page
    while page.cursor is not None:
        page = list_page(page.cursor)
        yield from page


def readable(history: Sequence[Event] | UnreadableHistory) -> Sequence[Event]:
    """
    Return *history*, an answer of `Provider.read_histories`.

    Raises:
        UnreadableHistory: If that is the answer.
    """
    if isinstance(history, UnreadableHistory):
        raise history
    return history


def _checked(filter: object) -> InstanceFilter:
    if not isinstance(filter, InstanceFilter):
        msg = f"filter is {filter!r}: use an InstanceFilter; InstanceFilter() matches all instances."
        raise InvalidInput(msg)
    return filter
