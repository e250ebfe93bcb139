"""
The store of a simulation: the real provider on SQLite in memory, which can be asked what waits in its queues.

It stores as ever. What it adds is for the one who decides what happens next: look at the queues without taking
anything, hand out one instance at a time, and let process or store fail just before or just after a commit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Sequence
from enum import Enum
from operator import attrgetter

from attrs import field, frozen

from ..._core.audit import Violation
from ..._core.codec import START_KIND
from ..._core.commit import ActivityLock, CommitResult, TurnCommit
from ..._core.events import Event
from ..._core.versions import VersionRange
from ...errors import ProviderError
from ...providers.contract import OrchestrationItem, Release
from ...providers.sql.provider import SqlProvider
from ...providers.sql.schema import TABLES
from ...providers.sql.statements import Query
from ...providers.sql.transaction import Transaction
from .clock import VirtualClock


_MESSAGES = Query(
    "SELECT q.instance_id, q.visible_at_ms, l.locked_until_ms FROM {orchestrator_queue} AS q"
    " LEFT JOIN {instance_locks} AS l ON l.instance_id = q.instance_id ORDER BY q.visible_at_ms, q.id"
)
_ACTIVITIES = Query("SELECT visible_at_ms, lock_token, expires_at_ms FROM {worker_queue}")
_EXISTS = Query(
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM {instances} WHERE instance_id = :instance_id)"  # noqa: S608  # constants
    f" OR EXISTS (SELECT 1 FROM {{orchestrator_queue}} WHERE instance_id = :instance_id AND kind = '{START_KIND}')"
)
_CHANGES = Query("SELECT total_changes()")
_IDS = Query("SELECT instance_id FROM {instances} ORDER BY created_at_ms, instance_id")


class Death(Enum):
    """When the process of a turn dies."""

    BEFORE_COMMIT = "before the commit"
    AFTER_COMMIT = "right after the commit"


class Outage(Enum):
    """When the store fails in a turn."""

    BEFORE_COMMIT = "and writes nothing"
    AFTER_COMMIT = "when it has written, so that nobody knows"


@frozen
class Queues:
    """What waits in the queues at a moment."""

    #: Instances with messages that somebody could fetch now, the longest waiting first.
    instances: tuple[str, ...]
    #: Whether there are activities that somebody could fetch now.
    has_activities: bool
    #: When something more becomes visible, in milliseconds since the epoch, if nobody does anything.
    due_ms: int | None


@frozen
class Written:
    """A commit that was tried, and what became of it."""

    commit: TurnCommit
    result: CommitResult
    #: The history of the execution, to which more may have been added since; and how long it was.
    _history: list[Event] = field(repr=False)
    length_before: int

    @property
    def is_accepted(self) -> bool:
        """Whether it is in the store."""
        return self.result is CommitResult.COMMITTED

    @property
    def before(self) -> tuple[Event, ...]:
        """The history of the execution as it was."""
        return tuple(self._history[: self.length_before])

    def event(self, event_id: int) -> Event | None:
        """Return an event of the history, those of this commit included."""
        for events in (self._history, self.commit.events):
            position = bisect_left(events, event_id, key=_event_id)
            if position < len(events) and events[position].event_id == event_id:
                return events[position]
        return None


_event_id = attrgetter("event_id")


@frozen
class _Orders:
    """What the store does in its own way during one step."""

    only: str | None = None
    trouble: Death | Outage | None = None
    #: The process has died: what it still does reaches nobody.
    is_cut_off: bool = False


class SimulatedStore(SqlProvider):
    """A provider in memory whose time is *clock*."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__("sqlite://", clock=clock)
        self.clock = clock
        self._orders = _Orders()
        self._has_failed = False
        #: Every commit so far, accepted or refused, in order.
        self.journal: list[Written] = []
        self._histories: dict[tuple[str, int], list[Event]] = {}
        self._audited = (-1, list[Violation]())
        self.initialize()

    def clear(self) -> None:
        """Forget everything."""
        self.journal.clear()
        self._histories.clear()

        def delete(transaction: Transaction) -> None:
            for table in TABLES.values():
                transaction.connection.exec_driver_sql(f"DELETE FROM {table.name}")  # noqa: S608  # ours

        self._database.write("clear", delete)

    def obey(self, *, only: str | None = None, trouble: Death | Outage | None = None) -> None:
        """Hand out no instance but *only*, and be in *trouble* at the next commit."""
        self._orders = _Orders(only, trouble)
        self._has_failed = False

    @property
    def is_well(self) -> bool:
        """Whether nothing has failed since the last orders."""
        return not self._has_failed

    def queues(self, held: Collection[ActivityLock] = ()) -> Queues:
        """Return what waits. The locks of *held* are kept alive, so that their expiry is nothing to wait for."""
        return self._database.read("queues", lambda transaction: _look(transaction, {lock.token for lock in held}))

    def exists(self, instance_id: str) -> bool:
        """Whether there is such an instance, or a message that starts it."""
        return bool(self._database.read("exists", lambda found: found.query(_EXISTS, instance_id=instance_id)))

    def instance_ids(self) -> list[str]:
        """Return the ids of all instances, in the order in which they began."""
        return [row[0] for row in self._database.read("instance_ids", lambda found: found.query(_IDS))]

    def audit(self) -> list[Violation]:
        """Audit as ever, unless no row has changed since the last time."""
        ((changes,),) = self._database.read("changes", lambda found: found.query(_CHANGES))
        if changes != self._audited[0]:
            self._audited = (changes, super().audit())
        return self._audited[1]

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        """Lock the one instance that has its turn, if that is ordered."""
        items = super().fetch_orchestration_items(limit, lock_ms, replayable=replayable)
        only = self._orders.only
        if only is None:
            return items
        self.release_orchestration_items(
            [Release(item.lock, ignore_attempt=True) for item in items if item.lock.instance_id != only]
        )
        return [item for item in items if item.lock.instance_id == only]

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        """Write what turns decided, and remember it; there may be trouble before or after."""
        trouble = self._orders.trouble
        if trouble in (Death.BEFORE_COMMIT, Outage.BEFORE_COMMIT):
            self._fail()
        results = super().commit_turns(commits, lock_ms=lock_ms)
        for commit, result in zip(commits, results, strict=True):
            history = self._histories.setdefault((commit.instance_id, commit.execution_id), [])
            self.journal.append(Written(commit, result, history, len(history)))
            if result is CommitResult.COMMITTED:
                history.extend(commit.events)
        if trouble is not None:
            self._fail()
        return results

    def release_orchestration_items(self, releases: Sequence[Release]) -> Sequence[bool]:
        """Give instances back, if the process is alive."""
        self._check_alive()
        return super().release_orchestration_items(releases)

    def release_activities(self, releases: Sequence[Release]) -> Sequence[bool]:
        """Give activities back, if the process is alive."""
        self._check_alive()
        return super().release_activities(releases)

    def _fail(self) -> None:
        """Be in trouble once."""
        self._has_failed = True
        self._orders = _Orders(self._orders.only, is_cut_off=isinstance(self._orders.trouble, Death))
        raise _FAILURE

    def _check_alive(self) -> None:
        if self._orders.is_cut_off:
            raise _FAILURE


_FAILURE = ProviderError("commit_turns", "the simulated store fails", retryable=True)


@frozen
class _Look:
    """Collects what is visible now, and when more will be."""

    now_ms: int
    visible: dict[str, None] = field(factory=dict)
    later: list[int] = field(factory=list)


def _look(transaction: Transaction, held: Collection[str]) -> Queues:
    look = _Look(transaction.now_ms)
    for instance_id, visible_at_ms, locked_until_ms in transaction.query(_MESSAGES):
        from_ms = max(visible_at_ms, locked_until_ms or 0)
        if from_ms <= look.now_ms:
            look.visible[instance_id] = None
        else:
            look.later.append(from_ms)
    has_activities = False
    for visible_at_ms, token, expires_at_ms in transaction.query(_ACTIVITIES):
        if token is not None and token in held:
            continue
        if visible_at_ms <= look.now_ms:
            has_activities = True
        else:
            look.later.append(visible_at_ms)
        if token is None and expires_at_ms is not None and expires_at_ms > look.now_ms:
            look.later.append(expires_at_ms)
    return Queues(tuple(look.visible), has_activities, min(look.later, default=None))
