"""
The storage contract: what a provider must do, and what must not have happened when it fails.

A provider stores; it does not think. It hands out work under locks (peek-lock), writes down what
was decided (`TurnCommit`), and answers questions. What an event means is nobody's business here.

Rules for every operation; its docstring says what is eligible, what else it raises, and where it differs:

- **All or nothing.** One operation is one transaction. If it raises, nothing of it has happened: no lock is taken or
  given back, no attempt counted, no message gone or come, and nobody woken.
  (`commit_turns` and the plural worker operations report *per element* what became of it; an element
  that is refused takes nobody else down.)
- **Twice.** Who has had no answer asks again. What names a lock happens once: the lock is gone the second time, and the
  answer says so. Fetching again gives other work, as what was fetched stays locked until its lock expires. Only
  `enqueue` does twice what it is told twice.
- **Errors** are `ProviderError`s; `retryable` means that the same call may succeed later. Operations
  retry brief contention (a busy database, a deadlock, a serialisation failure) themselves.
  Exceptions of the database driver never come through. Where a connection is lost in the middle of a commit, the
  error is retryable, says that it may or may not have happened, and nothing is repeated by the provider.
- **Time** is milliseconds since the epoch, from the provider's clock (`now_ms`), read once per
  operation. A lock is held until its expiry; *at* its expiry it is free.
- **Tokens** are unguessable and unique. An operation that names a lock acts only while that very lock is held.
- **Order.** Answers are in the order of what was asked. Of things to do, the oldest come first.
- **Nothing and nobody.** An empty sequence or a limit of 0 is allowed, and does nothing. What is unknown is no error:
  it is not held, not there, or empty.
- **Thread-safe**: every method may be called from any thread at any time, and no two calls get the same work.
- **Wake-ups**: whoever writes, publishes on `wakeups` after the commit, never before it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

from attrs import Attribute, field

from .._core import limits
from .._core.arguments import is_bool, text_set
from .._core.audit import Violation
from .._core.commit import ActivityLock, CommitResult, ExecutionStatus, InstanceLock, Outgoing, TurnCommit
from .._core.events import Event, KvEntry, Parent
from .._core.messages import ActivityExecute, Message, StartOrchestration
from .._core.versions import VersionRange
from .._nouns import frozen
from ..errors import UnreadableHistory
from .wakeups import Wakeups


@frozen
class QueuedItem:
    """One message of a fetched batch, and how often it has been fetched, this time included."""

    id: int
    message: Message
    attempt_count: int
    #: When it was enqueued, if that is known: a timer that was due later comes after it.
    visible_at_ms: int | None = None


@frozen(kw_only=True)
class OrchestrationItem:
    """
    A locked instance with all its visible messages, in the order they were enqueued.

    *execution_id* and *last_event_id* say where its history stands (0 and 0 for an instance that
    does not exist yet); the history itself is read separately, and only when it is not in memory.
    """

    lock: InstanceLock
    messages: tuple[QueuedItem, ...]
    execution_id: int = 0
    last_event_id: int = 0
    incarnation: int = 0
    status: ExecutionStatus = ExecutionStatus.RUNNING
    #: Whom the instance reports to, so that even one whose history cannot be read can say that it failed.
    parent: Parent | None = None
    #: Rows of the batch that could not be read, and the reason; they are not in *messages*.
    unreadable_messages: tuple[int, ...] = ()
    #: How often the most-fetched one of them has been fetched.
    unreadable_attempt_count: int = 0
    unreadable_reason: str | None = None

    @property
    def attempt_count(self) -> int:
        """How often the most-fetched message of the batch has been fetched."""
        return max(1, self.unreadable_attempt_count, *(item.attempt_count for item in self.messages))


@frozen
class ActivityItem:
    """A locked activity, and how often it has been delivered, this time included."""

    lock: ActivityLock
    work: ActivityExecute
    attempt_count: int


@frozen
class ActivityAck:
    """
    Remove a locked activity, and enqueue *event* (an ActivityCompleted or ActivityFailed) for its
    orchestration, if there is one.
    """

    lock: ActivityLock
    event: Event | None


@frozen
class Release:
    """
    Give a lock back.

    An instance or activity is given to nobody before *delay_ms* are over. With *ignore_attempt* this delivery is not counted
    (never below 0).
    """

    lock: InstanceLock | ActivityLock
    delay_ms: int = 0
    ignore_attempt: bool = False


def _tags(tags: Collection[str] | None) -> frozenset[str] | None:
    return None if tags is None else text_set("tags", tags, content="tags")


def _servable(_: object, attribute: Attribute[Any], value: frozenset[str] | None) -> None:
    if value:
        limits.check_tag_filter(value)


@frozen
class TagFilter:
    """
    Which activities a worker takes, by tag.

    *untagged*: those without a tag. *tags*: those with one of these, 5 at most; None means any tag.
    """

    untagged: bool = field(default=True, validator=is_bool)
    tags: frozenset[str] | None = field(default=frozenset(), converter=_tags, validator=_servable)

    def accepts(self, tag: str | None) -> bool:
        """Whether an activity with *tag* may be taken."""
        if tag is None:
            return self.untagged
        return self.tags is None or tag in self.tags

    @property
    def accepts_nothing(self) -> bool:
        """Whether no activity at all may be taken."""
        return not self.untagged and self.tags is not None and not self.tags


@frozen
class SessionClaim:
    """Who asks for session work, for how long a session is leased to it, and how many more it has room for."""

    owner: str
    lease_ms: int
    #: Sessions that may be taken besides *in_flight*. None: any number.
    room: int | None = None
    #: Sessions that the owner has work of already; more of it is welcome.
    in_flight: frozenset[str] = frozenset()


@frozen(kw_only=True)
class InstanceInfo:
    """How one instance stands. Times are milliseconds since the epoch."""

    instance_id: str
    orchestration_name: str
    orchestration_version: str
    execution_id: int
    last_event_id: int
    status: ExecutionStatus
    #: Output (JSON text) when Completed, error text when Failed.
    output: str | None
    custom_status: str | None
    custom_status_version: int
    parent_instance_id: str | None
    created_at_ms: int
    updated_at_ms: int


@frozen
class HistoryRequest:
    """Ask for the events of one execution after *after_event_id*. None: the current execution."""

    instance_id: str
    execution_id: int | None = None
    after_event_id: int = 0


class Provider(Protocol):
    """Durable storage for orchestrations. See the module's rules; they hold for every method."""

    wakeups: Wakeups

    def now_ms(self) -> int:
        """Return the provider's time. It may differ from this machine's clock."""
        ...

    def initialize(self) -> None:
        """
        Create or upgrade the schema; nothing happens to one that is up to date.

        Safe to call at the same time from many processes: one does it, the others wait. After a failure, the schema is
        what it was.

        Raises:
            ProviderError: Not retryable, with the remedy: if the schema is of a release that shares none with this one,
                or this role may not create or change it.
        """
        ...

    def close(self) -> None:
        """Release connections and threads. Idempotent."""
        ...

    # The orchestrator queue

    def enqueue(self, messages: Sequence[Outgoing], *, connection: Any = None) -> None:
        """
        Add messages to the orchestrator queue, in order. Never creates an instance; there need not be one.

        Told twice, it enqueues twice. Of a message's event, neither id nor time is kept: it comes back with 0 and 0.

        With *connection* (a SQLAlchemy Connection or Session of the same database) they are written in
        the caller's transaction, and wake nobody before it commits.

        Raises:
            InvalidInput: If *connection* cannot share a transaction with this provider.
        """
        ...

    def start_instances(
        self, messages: Sequence[StartOrchestration], *, must_be_new: bool = False, connection: Any = None
    ) -> Sequence[bool]:
        """
        Enqueue start messages for ids that are free; return for each whether its was.

        An id is taken by an instance, or by a start message that is waiting; nothing is written for it. Of several that
        start one id at the same time, also in one call, one succeeds. Told twice, the second time no id is free.
        *connection* as for `enqueue`.

        Raises:
            InstanceAlreadyExists: If *must_be_new*, and an id is taken. Nothing at all is written then.

            InvalidInput: If *connection* cannot share a transaction with this provider.
        """
        ...

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        """
        Lock up to *limit* instances that have visible messages, and return them with those messages.

        Eligible is an instance with a visible message and without an unexpired lock, whose current
        execution was started by a release within *replayable* (None: any; an instance that does not
        exist yet is always eligible). The instance with the oldest visible message comes first; of the same
        millisecond, any may.

        The lock gets a new token and expires after *lock_ms*. All messages visible now are in the batch, in the order in
        which they were enqueued, and their attempt count grows by one. Messages that become visible later are not in
        it and survive its commit. Instances that are not eligible stay untouched, whatever is in their rows: nothing is
        read of them, and nothing counted.

        Messages for an instance that does not exist, with no start among those visible, are removed with a warning:
        they are never returned, and count nothing towards *limit*. If there is such a start that is not visible yet, they
        are not removed, and the instance is not eligible before it is; nor is one that has continued as new before the
        start of its next execution is. Those who wait for messages are told of the time. Fewer than *limit* may come although there are more;
        none come only if none are eligible, or somebody else is taking them.
        Two concurrent fetches never return the same instance.

        A message that cannot be read is named in `unreadable_messages`; it keeps neither the others of its batch nor
        other instances from being returned. History is not looked at.
        """
        ...

    def read_histories(self, requests: Sequence[HistoryRequest]) -> Sequence[Sequence[Event] | UnreadableHistory]:
        """
        Return the events asked for, ascending, one answer for each request. All are of one moment.

        Unknown instances and executions have no events. A history that cannot be read is answered
        by an `UnreadableHistory`, not raised.
        """
        ...

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        """
        Write what turns decided, in one transaction; return for each commit what became of it.

        A commit is refused, alone, and leaves no trace, when the store is not as it says (see
        `TurnCommit` and `CommitResult`); of several reasons, the first of LOCK_LOST, STALE and GONE is given. A refused
        commit's instance lock stays as it is. The instances of a batch are distinct. A message that is not of the
        batch fetched under the lock, a first execution of an id that exists, an execution that is not the next one, an
        event id or an activity that is there already, and whatever is for an execution that has continued as new, but for
        its failure, are STALE. So is one that is *handed_over* although a message for its
        instance is visible in the queue, locked or not, or, of a first execution, although a start message for its id is
        there, visible or not. Of those who give an id to `start_instances` and of those who commit it so, at the same time,
        at most one succeeds; a commit waits for no other of them.

        A commit that is accepted: consumes its messages and finished activities; creates instance and
        execution where `started` is set; appends the events; sets status, output, custom status (its version grows by
        one) and key-values; inserts activities (those named in `eager` locked under the given token for *lock_ms*, with
        attempt count 1), then removes the cancelled ones (unknown ones are fine); enqueues the messages; releases the
        instance lock, and with it the messages of the batch that were not consumed, which are visible at once. Without
        a start and with *last_event_id* 0 it is for an instance that does not exist, and only consumes messages. A text
        that cannot be stored (NUL, lone surrogates, in output and custom status) is stored as something readable.
        Never reads or changes events that are there already.

        A commit that is repeated is refused: its lock is given back, its history has moved on. After a failure none of
        the batch is written. Its instances stay locked, and its messages the batch of that lock, so that the caller may
        try again, release it, or let it expire.
        """
        ...

    def release_orchestration_items(self, releases: Sequence[Release]) -> Sequence[bool]:
        """
        Give instance locks back; return for each whether the lock was still held. One that was not changes nothing.

        With *delay_ms* an instance is passed on: it is not eligible before that time, whatever has come for it or will,
        and then all its messages are, in their order. Nobody holds it meanwhile: a commit without a lock is not refused
        for that. *ignore_attempt* applies to the messages of the fetched batch only.
        """
        ...

    def renew_instance_locks(self, locks: Sequence[InstanceLock], lock_ms: int) -> frozenset[InstanceLock]:
        """
        Extend locks to now + *lock_ms*; return those that were still held.

        An expired one is not, even if nobody has taken the instance; it is not brought back.
        """
        ...

    # The worker queue

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        """
        Lock up to *limit* activities, oldest first (by when they became visible), and return them.

        Eligible is a visible, unlocked (or expired) row whose tag *tags* accepts and which has no session, or,
        with *session* given, one whose session is unclaimed, expired or already the owner's, as far as the owner
        has room for sessions that it has no work of yet. Whether its instance still runs does not matter: what is not
        wanted any more was removed.

        Each gets a new token, which expires after *lock_ms*. Session claims are taken or refreshed in the same
        transaction; of a session whose activities are not returned, none is. The attempt count of a returned row grows
        by one. Fewer than *limit* may come although there are more.
        Two concurrent fetches never return the same row.
        """
        ...

    def fetch_expired_activities(self, limit: int, lock_ms: int) -> Sequence[ActivityItem]:
        """
        Lock up to *limit* activities whose time to live (`ActivityExecute.expires_at_ms`) is over, and return them.

        Eligible is a row that is not locked, whatever its tag and session, also one that was given back and is not visible
        yet; and one that was locked by this and whose lock has expired. Not one that was locked by another operation, expired
        or not: somebody had begun it. Its attempt count grows by one. No session is claimed. Costs next to nothing while
        there are none.
        """
        ...

    def ack_activities(self, acks: Sequence[ActivityAck]) -> Sequence[bool]:
        """
        Remove finished activities and enqueue their completions, each pair together.

        Return for each whether its lock was still held; where not (expired, even if nobody has taken it over; cancelled;
        acknowledged before), nothing is removed and nothing enqueued. Of a completion, neither id nor time is kept.
        """
        ...

    def release_activities(self, releases: Sequence[Release]) -> Sequence[bool]:
        """
        Unlock activities, visible after *delay_ms*; return for each whether its lock was still held.

        One that was not changes nothing. With *ignore_attempt* this delivery does not count. Session claims stay.
        """
        ...

    def renew_activity_locks(self, locks: Sequence[ActivityLock], lock_ms: int) -> frozenset[ActivityLock]:
        """
        Extend locks to now + *lock_ms*; return those still held.

        One that is missing was cancelled, taken over or has expired; it is not brought back. Renewing is activity in the
        row's session.
        """
        ...

    def held_activity_locks(self, locks: Sequence[ActivityLock]) -> frozenset[ActivityLock]:
        """Return those of *locks* whose row is still there under its token, expired or not. Changes nothing."""
        ...

    def renew_sessions(self, owner: str, lease_ms: int, idle_ms: int) -> int:
        """
        Extend the unexpired sessions of *owner* that were active within *idle_ms*; return how many.

        Active is a session in which, while its lease lasts, an activity is fetched, inserted locked, renewed or
        acknowledged. An expired lease is not brought back. With *lease_ms* 0 they end at once, and those who wait for
        activities are told.
        """
        ...

    def remove_orphaned_sessions(self) -> int:
        """
        Remove expired sessions that no row of the worker queue names; return how many.

        The next activity of such a session makes it anew, whoever fetches it.
        """
        ...

    def next_due_ms(self, after_ms: int | None = None, *, activities_only: bool = False) -> int | None:
        """
        Return when the earliest message or activity that is not visible at *after_ms* becomes visible, if any.

        None means now. Who asks after fetching gives a time before the fetch, or misses what became visible between.
        With *activities_only* messages and locks of instances are left out.
        """
        ...

    # Questions

    def get_instance_info(self, instance_id: str) -> InstanceInfo | None:
        """
        Return how an instance stands, or None if there is no such instance.

        One whose start message waits is none yet.
        """
        ...

    def get_kv_value(self, instance_id: str, key: str) -> KvEntry | None:
        """Return one live value, or None: no such key, or no such instance."""
        ...

    def get_kv_all_values(self, instance_id: str) -> Mapping[str, KvEntry]:
        """Return all live values, of one moment; empty for an unknown instance."""
        ...

    def audit(self) -> Sequence[Violation]:
        """
        Return everything in which the database breaks the conservation law; nothing, as long as no work was lost.

        Sees the database at one moment, and disturbs nobody. Reads everything that is stored.
        """
        ...
