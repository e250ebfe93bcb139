"""Providers that are wrong on purpose, each in one way: the conformance suite must catch every one of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import evolve

from duroxide._core.codec import START_KIND
from duroxide._core.commit import ActivityLock, CommitResult, InstanceLock, Outgoing, TurnCommit
from duroxide._core.events import Event
from duroxide._core.messages import Deliver, StartOrchestration
from duroxide._core.versions import VersionRange
from duroxide.errors import CannotDeleteSubOrchestration, InstanceStillRunning, UnreadableHistory
from duroxide.providers.contract import (
    ActivityAck,
    ActivityItem,
    HistoryRequest,
    OrchestrationItem,
    Release,
    SessionClaim,
    TagFilter,
)
from duroxide.providers.management import DeleteResult, PruneOptions, PruneResult
from duroxide.providers.sql import SqlProvider
from duroxide.providers.wakeups import NO_CHANGES, Changes
from duroxide.providers.wrapping import Collected


class Broken(SqlProvider):
    """In memory, with a way to do damage."""

    def sql(self, statement: str, *values: Any) -> list[Any]:
        """Run *statement* in a transaction of its own, and return its rows."""

        def work(transaction: Any) -> list[Any]:
            result = transaction.connection.exec_driver_sql(statement, values)
            return list(result) if result.returns_rows else []

        return self._database.write("broken", work)


class BrokenCommit(Broken):
    """Commits something else than what it was given."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        """Return what is committed instead of *commit*."""
        raise NotImplementedError

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        return super().commit_turns([self.changed(commit) for commit in commits], lock_ms=lock_ms)


# Locks


class LostLockIgnored(BrokenCommit):
    """A commit whose lock has expired is accepted."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        if commit.lock is not None:
            until_ms = self.now_ms() + 1
            self.sql(
                "UPDATE duroxide_instance_locks SET locked_until_ms = ? WHERE token = ?", until_ms, commit.lock.token
            )
        return commit


class ForeignLockIgnored(BrokenCommit):
    """The short way is open although somebody else holds the instance."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        if commit.lock is None:
            self.sql("DELETE FROM duroxide_instance_locks WHERE instance_id = ?", commit.instance_id)
        return commit


class DoubleDelivery(Broken):
    """An instance is handed out although it is locked."""

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        self.sql("DELETE FROM duroxide_instance_locks")
        return super().fetch_orchestration_items(limit, lock_ms, replayable=replayable)


class DoubleActivity(Broken):
    """An activity is handed out although it is locked."""

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        self.sql("UPDATE duroxide_worker_queue SET visible_at_ms = ? WHERE lock_token IS NOT NULL", self.now_ms())
        return super().fetch_activities(limit, lock_ms, tags=tags, session=session)


class ExpiredLockRenewed(Broken):
    """An instance lock that has expired is extended."""

    def renew_instance_locks(self, locks: Sequence[InstanceLock], lock_ms: int) -> frozenset[InstanceLock]:
        self.sql("UPDATE duroxide_instance_locks SET locked_until_ms = ?", self.now_ms() + 1)
        return super().renew_instance_locks(locks, lock_ms)


class ExpiredActivityRenewed(Broken):
    """An activity's lock that has expired is extended."""

    def renew_activity_locks(self, locks: Sequence[ActivityLock], lock_ms: int) -> frozenset[ActivityLock]:
        revive = "UPDATE duroxide_worker_queue SET visible_at_ms = ? WHERE lock_token IS NOT NULL"
        self.sql(revive, self.now_ms() + 1)
        return super().renew_activity_locks(locks, lock_ms)


class EagerUnlocked(BrokenCommit):
    """What the committer wanted for itself is anybody's."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, eager=())


# Commits


class HalfACommit(Broken):
    """A commit is not atomic: what it finished is removed although it is refused."""

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        results = super().commit_turns(commits, lock_ms=lock_ms)
        for commit, result in zip(commits, results, strict=True):
            if result is not CommitResult.COMMITTED:
                self.ack_activities([ActivityAck(lock, None) for lock in commit.finished_activities])
        return results


class StaleAccepted(BrokenCommit):
    """A commit from an older history is written on top of the newer one."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        info = self.get_instance_info(commit.instance_id)
        if info is None or commit.started is not None:
            return commit
        return evolve(commit, last_event_id=info.last_event_id)


class IncarnationIgnored(BrokenCommit):
    """A commit of a former life of the id is accepted."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        rows = self.sql("SELECT incarnation FROM duroxide_instances WHERE instance_id = ?", commit.instance_id)
        return evolve(commit, incarnation=rows[0][0]) if rows else commit


class GoesOnAfterTheEnd(BrokenCommit):
    """A turn is accepted of an execution that has continued as new."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        if commit.started is None:
            revive = (
                "UPDATE duroxide_instances SET status = 'Running' WHERE instance_id = ? AND status = 'ContinuedAsNew'"
            )
            self.sql(revive, commit.instance_id)
        return commit


class DuplicateEventAccepted(BrokenCommit):
    """An event that is in history already is passed over."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, events=tuple(event for event in commit.events if event.event_id > commit.last_event_id))


class RefusedTakesOthersDown(Broken):
    """One commit that is stale fails its whole batch."""

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        known = [self.get_instance_info(commit.instance_id) for commit in commits]
        if any(
            info and info.last_event_id != commit.last_event_id for info, commit in zip(known, commits, strict=True)
        ):
            return [CommitResult.STALE] * len(commits)
        return super().commit_turns(commits, lock_ms=lock_ms)


class MessagesStay(BrokenCommit):
    """What a turn has consumed comes again."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, consumed_messages=())


class MessagesSwallowed(Broken):
    """A commit takes along what has come while the instance was locked."""

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        results = super().commit_turns(commits, lock_ms=lock_ms)
        for commit in commits:
            if commit.lock is not None:
                self.sql("DELETE FROM duroxide_orchestrator_queue WHERE instance_id = ?", commit.instance_id)
        return results


class CancelledDelivered(BrokenCommit):
    """Cancelled activities are run all the same."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, cancelled_activities=())


class OwnershipUnproven(BrokenCommit):
    """A completion goes straight into a turn, whoever has the activity, and its row stays."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, finished_activities=())


class TimerFiresTwice(BrokenCommit):
    """A timer that has fired straight into a turn fires once more by its message."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, fired_timers=())


class StatusVersionStuck(Broken):
    """The version of the custom status does not grow beyond 1."""

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        results = super().commit_turns(commits, lock_ms=lock_ms)
        self.sql("UPDATE duroxide_instances SET custom_status_version = MIN(custom_status_version, 1)")
        return results


class KeyValuesStay(BrokenCommit):
    """A key-value that was removed is still there."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, kv={key: entry for key, entry in commit.kv.items() if entry is not None})


# Queues


class VisibilityIgnored(BrokenCommit):
    """A timer fires at once."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return evolve(commit, messages=tuple(Outgoing(outgoing.message) for outgoing in commit.messages))


class OrderLost(Broken):
    """Messages come in another order than they were enqueued in."""

    def enqueue(self, messages: Sequence[Outgoing], *, connection: Any = None) -> None:
        super().enqueue(messages[::-1], connection=connection)


class OrphansBlock(Broken):
    """Nothing is fetched while the oldest message is for nobody."""

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        rows = self.sql("SELECT instance_id, kind FROM duroxide_orchestrator_queue ORDER BY id LIMIT 1")
        if rows and rows[0][1] != START_KIND and self.get_instance_info(rows[0][0]) is None:
            return ()
        return super().fetch_orchestration_items(limit, lock_ms, replayable=replayable)


class StartsToComeForgotten(Broken):
    """What is visible before the start of its instance is dropped."""

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        later = "SELECT instance_id FROM duroxide_orchestrator_queue WHERE kind = ? AND visible_at_ms > ?"
        drop = f"DELETE FROM duroxide_orchestrator_queue WHERE kind <> ? AND instance_id IN ({later})"  # noqa: S608
        self.sql(drop, START_KIND, START_KIND, self.now_ms())
        return super().fetch_orchestration_items(limit, lock_ms, replayable=replayable)


class ManyMessagesBlock(Broken):
    """An instance with many messages takes the place of others."""

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        rows = self.sql("SELECT COUNT(*) FROM duroxide_orchestrator_queue GROUP BY instance_id")
        few = 1 if any(count > limit for (count,) in rows) else limit
        return super().fetch_orchestration_items(few, lock_ms, replayable=replayable)


class AttemptsNotCounted(Broken):
    """A message is always fetched for the first time."""

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        self.sql("UPDATE duroxide_orchestrator_queue SET attempt_count = 0")
        return super().fetch_orchestration_items(limit, lock_ms, replayable=replayable)


class ActivityAttemptsNotCounted(Broken):
    """An activity is always delivered for the first time."""

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        self.sql("UPDATE duroxide_worker_queue SET attempt_count = 0")
        return super().fetch_activities(limit, lock_ms, tags=tags, session=session)


class _BrokenRelease(Broken):
    """Gives locks back in another way than it was asked to."""

    #: What is asked instead.
    changed: Callable[[Release], Release]

    def release_orchestration_items(self, releases: Sequence[Release]) -> Sequence[bool]:
        return super().release_orchestration_items([type(self).changed(release) for release in releases])

    def release_activities(self, releases: Sequence[Release]) -> Sequence[bool]:
        return super().release_activities([type(self).changed(release) for release in releases])


class DelayForgotten(_BrokenRelease):
    """What was to be tried again later is tried again at once."""

    changed = staticmethod(lambda release: evolve(release, delay_ms=0))


class PassedOnOvertaken(Broken):
    """What is passed on comes later, and what comes meanwhile comes first, alone."""

    def release_orchestration_items(self, releases: Sequence[Release]) -> Sequence[bool]:
        for release in releases:
            assert isinstance(release.lock, InstanceLock)
            later = "UPDATE duroxide_orchestrator_queue SET visible_at_ms = visible_at_ms + ? WHERE batch_token = ?"
            self.sql(later, release.delay_ms, release.lock.token)
        return super().release_orchestration_items([evolve(release, delay_ms=0) for release in releases])


class PassedOnHeld(Broken):
    """An instance that is passed on is kept from those who need no lock."""

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        locked = {row[0] for row in self.sql("SELECT instance_id FROM duroxide_instance_locks")}
        held = [commit.lock is None and commit.instance_id in locked for commit in commits]
        return [CommitResult.LOCK_LOST] * len(commits) if any(held) else super().commit_turns(commits, lock_ms=lock_ms)


class IgnoredAttemptCounted(_BrokenRelease):
    """A delivery that was not to count does."""

    changed = staticmethod(lambda release: evolve(release, ignore_attempt=False))


class VersionFilterIgnored(Broken):
    """An instance is handed to a release that cannot replay it."""

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        return super().fetch_orchestration_items(limit, lock_ms)


class StartsTakenIds(Broken):
    """An id that is taken is started once more."""

    def start_instances(
        self, messages: Sequence[StartOrchestration], *, must_be_new: bool = False, connection: Any = None
    ) -> Sequence[bool]:
        self.enqueue([Outgoing(message) for message in messages], connection=connection)
        return [True] * len(messages)


class OvertakesEvents(BrokenCommit):
    """What is handed over goes into history before the messages that wait."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return commit if commit.started is not None else evolve(commit, handed_over=False)


class OvertakesStarts(BrokenCommit):
    """An id is started by a commit although its start waits."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        return commit if commit.started is None else evolve(commit, handed_over=False)


class PinStuck(BrokenCommit):
    """An instance stays with the release of its first execution."""

    def changed(self, commit: TurnCommit) -> TurnCommit:
        if commit.started is None or commit.execution_id == 1:
            return commit
        return evolve(commit, started=evolve(commit.started, duroxide_version="1.2.3"))


class NothingIsDue(Broken):
    """Who has nothing to do is not told when an activity's lock expires."""

    def next_due_ms(self, after_ms: int | None = None, *, activities_only: bool = False) -> int | None:
        if self.sql("SELECT 1 FROM duroxide_worker_queue WHERE lock_token IS NOT NULL"):
            return None
        return super().next_due_ms(after_ms, activities_only=activities_only)


class DueConfused(Broken):
    """Who waits for activities is told when messages are due."""

    def next_due_ms(self, after_ms: int | None = None, *, activities_only: bool = False) -> int | None:
        return super().next_due_ms(after_ms)


class HistoryFromTheStart(Broken):
    """Whoever has most of a history gets all of it once more."""

    def read_histories(self, requests: Sequence[HistoryRequest]) -> Sequence[Sequence[Event] | UnreadableHistory]:
        return super().read_histories([evolve(request, after_event_id=0) for request in requests])


# Activities


class TagsIgnored(Broken):
    """A worker gets activities of any tag."""

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        return super().fetch_activities(limit, lock_ms, tags=TagFilter(tags=None), session=session)


class SessionStolen(Broken):
    """A session goes to whoever asks."""

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        self.sql("DELETE FROM duroxide_sessions")
        return super().fetch_activities(limit, lock_ms, tags=tags, session=session)


class RoomIgnored(Broken):
    """An owner gets more sessions than it has room for."""

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        unbounded = None if session is None else evolve(session, room=None)
        return super().fetch_activities(limit, lock_ms, tags=tags, session=unbounded)


class RoomBlocks(Broken):
    """Sessions that an owner has no room for keep the place of what is behind them."""

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        items = super().fetch_activities(limit, lock_ms, tags=tags, session=session)
        if session is None or not session.room:
            return items
        behind = [item for item in items if item.work.session_id is None]
        self.release_activities([Release(item.lock, ignore_attempt=True) for item in behind])
        return [item for item in items if item not in behind]


class CompletesWithoutLock(Broken):
    """A completion is enqueued although the lock is lost."""

    def ack_activities(self, acks: Sequence[ActivityAck]) -> Sequence[bool]:
        held = super().ack_activities(acks)
        for ack, was_held in zip(acks, held, strict=True):
            if not was_held and ack.event is not None:
                key = ack.lock.key
                self.enqueue([Outgoing(Deliver(key.instance_id, key.execution_id, ack.event))])
        return held


class FinishedStays(Broken):
    """A finished activity is completed, and run again."""

    def ack_activities(self, acks: Sequence[ActivityAck]) -> Sequence[bool]:
        held = self.held_activity_locks([ack.lock for ack in acks])
        for ack in acks:
            if ack.lock in held and ack.event is not None:
                key = ack.lock.key
                self.enqueue([Outgoing(Deliver(key.instance_id, key.execution_id, ack.event))])
        return [ack.lock in held for ack in acks]


class LateForgotten(Broken):
    """An activity that nobody has begun waits for ever, if who was to end it dies."""

    def fetch_expired_activities(self, limit: int, lock_ms: int) -> Sequence[ActivityItem]:
        items = super().fetch_expired_activities(limit, lock_ms)
        self.sql("UPDATE duroxide_worker_queue SET expires_at_ms = NULL WHERE lock_token IS NOT NULL")
        return items


class BegunExpires(Broken):
    """An activity that somebody had begun fails because its time is over."""

    def fetch_expired_activities(self, limit: int, lock_ms: int) -> Sequence[ActivityItem]:
        self.sql("UPDATE duroxide_worker_queue SET lock_token = NULL")
        return super().fetch_expired_activities(limit, lock_ms)


class LookingRenews(Broken):
    """Asking for a lock extends it."""

    def held_activity_locks(self, locks: Sequence[ActivityLock]) -> frozenset[ActivityLock]:
        self.renew_activity_locks(locks, 60_000)
        return super().held_activity_locks(locks)


class SessionsForever(Broken):
    """Sessions that nobody needs any more are never removed."""

    def remove_orphaned_sessions(self) -> int:
        return 0


# Wake-ups


class NeverWakes(Broken):
    """Nobody is told of anything."""

    def initialize(self) -> None:
        super().initialize()
        self.wakeups.publish = lambda changes: None  # type: ignore[method-assign]


class SessionsEndQuietly(Broken):
    """Workers are not told when the sessions of another one end."""

    def renew_sessions(self, owner: str, lease_ms: int, idle_ms: int) -> int:
        publish, self.wakeups.publish = self.wakeups.publish, lambda changes: None  # type: ignore[method-assign]
        renewed = super().renew_sessions(owner, lease_ms, idle_ms)
        self.wakeups.publish = publish  # type: ignore[method-assign]
        return renewed


class WakesTooEarly(Broken):
    """Those who wait are told before the commit, and look in vain."""

    def enqueue(self, messages: Sequence[Outgoing], *, connection: Any = None) -> None:
        publish = self.wakeups.publish
        publish(Changes(messages=True))
        self.wakeups.publish = lambda changes: publish(NO_CHANGES)  # type: ignore[method-assign]
        super().enqueue(messages, connection=connection)
        self.wakeups.publish = publish  # type: ignore[method-assign]


class SentNeverWritten(Broken):
    """Commits that were sent ahead are said to be accepted, and never written."""

    def send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Collected:
        return Collected(lambda: [CommitResult.COMMITTED] * len(commits))


class SentRefusedTogether(Broken):
    """Of commits that were sent ahead, all are said to be refused if one is."""

    def send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Collected:
        def collect() -> Sequence[CommitResult]:
            results = self.commit_turns(commits, lock_ms=lock_ms)
            refused = [result for result in results if result is not CommitResult.COMMITTED]
            return refused[:1] * len(results) or results

        return Collected(collect)


class SentWakesAtOnce(Broken):
    """Who waits is told of commits when they are sent, before anybody knows what has become of them."""

    def send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Collected:
        results = self.commit_turns(commits, lock_ms=lock_ms)
        return Collected(lambda: results)


# Management


class DeletionLeavesMessages(Broken):
    """A deleted instance's messages reach whoever uses the id next."""

    def delete_instance(self, instance_id: str, *, force: bool) -> DeleteResult:
        self.sql("CREATE TEMP TABLE saved AS SELECT * FROM duroxide_orchestrator_queue")
        result = super().delete_instance(instance_id, force=force)
        self.sql("INSERT INTO duroxide_orchestrator_queue SELECT * FROM saved")
        return result


class DeletionTakesStarts(Broken):
    """A start that another parent has sent for an id goes with what has it, and that parent waits for ever."""

    def delete_instance(self, instance_id: str, *, force: bool) -> DeleteResult:
        self.sql("DELETE FROM duroxide_orchestrator_queue WHERE instance_id = ?", instance_id)
        return super().delete_instance(instance_id, force=force)


class LocksForbidDeletion(Broken):
    """An instance that has ended is not deleted while somebody holds it, for a message that came late."""

    def delete_instance(self, instance_id: str, *, force: bool) -> DeleteResult:
        if not force and self.sql("SELECT 1 FROM duroxide_instance_locks WHERE instance_id = ?", instance_id):
            raise InstanceStillRunning(f"{instance_id!r} is locked", instance_id=instance_id)
        return super().delete_instance(instance_id, force=force)


class ChildrenForEver(Broken):
    """A child goes with its parent only, even if that has pruned the execution that started it."""

    def delete_instance(self, instance_id: str, *, force: bool) -> DeleteResult:
        of_a_parent = "SELECT 1 FROM duroxide_instances WHERE instance_id = ? AND parent_instance_id IS NOT NULL"
        if self.sql(of_a_parent, instance_id):
            raise CannotDeleteSubOrchestration(f"{instance_id!r} is a child", instance_id=instance_id)
        return super().delete_instance(instance_id, force=force)


class PrunesParents(Broken):
    """Pruning takes along what says that a child is about to start, and whose it is."""

    def prune_executions(self, instance_id: str, options: PruneOptions) -> PruneResult:
        self.sql("CREATE TEMP TABLE saved AS SELECT * FROM duroxide_orchestrator_queue")
        self.sql("DELETE FROM duroxide_orchestrator_queue")
        result = super().prune_executions(instance_id, options)
        self.sql("INSERT INTO duroxide_orchestrator_queue SELECT * FROM saved")
        self.sql("DROP TABLE saved")
        return result


class PrunesTheCurrent(Broken):
    """Pruning takes the current execution's history along."""

    def prune_executions(self, instance_id: str, options: PruneOptions) -> PruneResult:
        result = super().prune_executions(instance_id, options)
        self.sql("DELETE FROM duroxide_history WHERE instance_id = ?", instance_id)
        return result
