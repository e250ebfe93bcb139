"""
The storage contract in plain Python: dictionaries and lists, no threads, no transactions, no cleverness.

Tokens and message ids are the provider's to choose: the model is told them when it fetches. Whatever else a provider
answers, the model answers too, and the test compares.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from attrs import define, evolve, field

from duroxide._core import events as e
from duroxide._core.commit import (
    ActivityLock,
    CommitResult,
    CustomStatusChange,
    ExecutionStatus,
    InstanceLock,
    Outgoing,
    TurnCommit,
)
from duroxide._core.events import Event, KvEntry
from duroxide._core.messages import ActivityExecute, ActivityKey, Deliver, Message, StartOrchestration
from duroxide._core.versions import Version, VersionRange
from duroxide.providers.contract import ActivityAck, InstanceInfo, Release, SessionClaim, TagFilter
from duroxide.providers.management import DeleteResult, PruneResult, QueueDepths, SystemMetrics


#: Messages that are looked at for each instance that is asked for.
LOOK_AHEAD = 4

#: The token of an instance that is passed on: nobody holds it, and nobody gets it before its time.
PASSED_ON = "passed on"


@define
class Queued:
    """A message of the orchestrator queue."""

    message: Message
    visible_at_ms: int
    attempts: int = 0
    #: Under which it was last fetched.
    token: str | None = None
    #: What the provider calls it, once it was fetched.
    id: int | None = None


@define
class Work:
    """A row of the worker queue. While it is locked it is invisible."""

    work: ActivityExecute
    visible_at_ms: int
    token: str | None = None
    attempts: int = 0
    #: Whether it was locked to be run, and not to be ended because its time is over.
    is_begun: bool = False


@define
class Session:
    """Who has the activities of a session, for how long, and when something happened in it."""

    owner: str
    until_ms: int
    active_ms: int


@define
class Model:
    """A store."""

    now_ms: int
    infos: dict[str, InstanceInfo] = field(factory=dict)
    incarnations: dict[str, int] = field(factory=dict)
    releases: dict[str, str] = field(factory=dict)
    histories: dict[tuple[str, int], list[Event]] = field(factory=dict)
    kv: dict[str, dict[str, KvEntry]] = field(factory=dict)
    queue: list[Queued] = field(factory=list)
    locks: dict[str, tuple[str, int]] = field(factory=dict)
    work: dict[ActivityKey, Work] = field(factory=dict)
    sessions: dict[str, Session] = field(factory=dict)

    # Locks

    def holder(self, instance_id: str) -> str | None:
        """Return the token under which an instance is locked now."""
        token, until_ms = self.locks.get(instance_id, ("", 0))
        return token if until_ms > self.now_ms else None

    def holds(self, lock: InstanceLock) -> bool:
        """Whether *lock* is held."""
        return self.holder(lock.instance_id) == lock.token

    def has(self, lock: ActivityLock) -> bool:
        """Whether an activity's *lock* is held and has not expired."""
        row = self.work.get(lock.key)
        return row is not None and row.token == lock.token and row.visible_at_ms > self.now_ms

    # The orchestrator queue

    def enqueue(self, messages: Iterable[Outgoing]) -> None:
        """Add messages."""
        for outgoing in messages:
            visible = self.now_ms if outgoing.visible_at_ms is None else outgoing.visible_at_ms
            self.queue.append(Queued(outgoing.message, visible))

    def start_instances(self, messages: Sequence[StartOrchestration]) -> list[bool]:
        """Add start messages for ids that are free."""
        answers = []
        for message in messages:
            answers.append(not self.is_taken(message.instance_id))
            if answers[-1]:
                self.enqueue([Outgoing(message)])
        return answers

    def is_taken(self, instance_id: str) -> bool:
        """Whether there is an instance of this id, or a start message for one."""
        starts = [queued.message.instance_id for queued in self.queue if _starts(queued)]
        return instance_id in self.infos or instance_id in starts

    def visible(self, instance_id: str) -> list[Queued]:
        """Return the messages of an instance that could be fetched now."""
        return [q for q in self.queue if q.message.instance_id == instance_id and q.visible_at_ms <= self.now_ms]

    def fetch(self, limit: int, replayable: VersionRange | None) -> list[str]:
        """Return which instances are to be locked, in order; messages for nobody in their way are dropped."""
        found: list[str] = []
        while len(found) < limit:
            wanted = limit - len(found)
            oldest = self._oldest(wanted, found, replayable)
            taken = sum(len(self.visible(each)) for each in oldest)
            unstarted = {each: due_ms for each in oldest if (due_ms := self._start_due_ms(each)) is not None}
            for instance_id, due_ms in unstarted.items():
                self.locks[instance_id] = (PASSED_ON, max(due_ms, self.now_ms + 1))
            orphans = [each for each in oldest if each not in unstarted and not self._is_somebody(each)]
            chosen = [each for each in oldest if each not in orphans and each not in unstarted]
            found += sorted(chosen, key=self._first_message)
            for instance_id in orphans:
                batch = self.visible(instance_id)
                self.queue = [queued for queued in self.queue if not any(queued is other for other in batch)]
                self.locks.pop(instance_id, None)
            if not orphans and not unstarted and taken < wanted * LOOK_AHEAD:
                break
        return found

    def _oldest(self, wanted: int, found: Collection[str], replayable: VersionRange | None) -> list[str]:
        """
        Return up to *wanted* instances that are not locked, by the time since when they have a message.

        Of the same millisecond, the one is taken first that has the oldest of the messages that are looked at.
        """
        ready = [
            (queued.visible_at_ms, position, queued.message.instance_id)
            for position, queued in enumerate(self.queue)
            if queued.visible_at_ms <= self.now_ms
            and self.holder(queued.message.instance_id) is None
            and queued.message.instance_id not in found
            and self._is_for(queued.message.instance_id, replayable)
        ]
        ages: dict[str, tuple[int, int]] = {}
        for visible_at_ms, position, instance_id in sorted(ready)[: wanted * LOOK_AHEAD]:
            since_ms, first = ages.get(instance_id, (visible_at_ms, position))
            ages[instance_id] = (since_ms, min(first, position))
        return sorted(ages, key=ages.__getitem__)[:wanted]

    def _first_message(self, instance_id: str) -> tuple[int, int]:
        """Return since when the first message of *instance_id* is visible, and its place: what is taken is in this order."""
        messages = [(q.visible_at_ms, place, q.message.instance_id) for place, q in enumerate(self.queue)]
        return min((since_ms, place) for since_ms, place, each in messages if each == instance_id)

    def _is_somebody(self, instance_id: str) -> bool:
        """Whether the visible messages of *instance_id* are for an instance that exists, or start one."""
        return instance_id in self.infos or any(_starts(queued) for queued in self.visible(instance_id))

    def _start_due_ms(self, instance_id: str) -> int | None:
        """Return when the start comes that all messages of *instance_id* wait for, if it is to come; None: go ahead."""
        info = self.infos.get(instance_id)
        if info is not None and info.status is not ExecutionStatus.CONTINUED_AS_NEW:
            return None
        expected = (instance_id, 1 if info is None else info.execution_id + 1)
        starts = [queued for queued in self.queue if _starts(queued)]
        due = [q.visible_at_ms for q in starts if (q.message.instance_id, q.message.execution_id) == expected]
        return min(due) if due and min(due) > self.now_ms else None

    def lock(self, lock: InstanceLock, lock_ms: int, ids: Sequence[int]) -> list[tuple[Message, int]]:
        """Lock an instance as the provider did; return its messages, and how often each has been fetched."""
        self.locks[lock.instance_id] = (lock.token, self.now_ms + lock_ms)
        batch = self.visible(lock.instance_id)
        for queued, message_id in zip(batch, ids, strict=True):
            assert queued.id in {None, message_id}
            queued.id, queued.token = message_id, lock.token
            queued.attempts += 1
        return [(queued.message, queued.attempts) for queued in batch]

    def release(self, release: Release) -> bool:
        """Give an instance back."""
        lock = release.lock
        assert isinstance(lock, InstanceLock)
        if not self.holds(lock):
            return False
        for queued in self._batch(lock):
            queued.token = None
            queued.attempts = max(queued.attempts - int(release.ignore_attempt), 0)
        del self.locks[lock.instance_id]
        if release.delay_ms:
            self.locks[lock.instance_id] = (PASSED_ON, self.now_ms + release.delay_ms)
        return True

    def renew(self, locks: Iterable[InstanceLock], lock_ms: int) -> frozenset[InstanceLock]:
        """Extend instance locks."""
        held = frozenset(lock for lock in locks if self.holds(lock))
        for lock in held:
            self.locks[lock.instance_id] = (lock.token, self.now_ms + lock_ms)
        return held

    def _batch(self, lock: InstanceLock) -> list[Queued]:
        return [q for q in self.queue if q.message.instance_id == lock.instance_id and q.token == lock.token]

    def _is_for(self, instance_id: str, replayable: VersionRange | None) -> bool:
        if replayable is None or instance_id not in self.releases:
            return True
        return Version.parse(self.releases[instance_id]) in replayable

    # Turns

    def commit(self, commits: Sequence[TurnCommit], lock_ms: int) -> list[CommitResult]:
        """Write what turns decided, or say why not."""
        results = [self.judge(commit) for commit in commits]
        for commit, result in zip(commits, results, strict=True):
            if result is CommitResult.COMMITTED:
                self._write(commit, lock_ms)
        return results

    def judge(self, commit: TurnCommit) -> CommitResult:
        """Return what is to become of *commit*."""
        token = None if commit.lock is None else commit.lock.token
        if self.holder(commit.instance_id) not in ({None, PASSED_ON} if token is None else {token}):
            return CommitResult.LOCK_LOST
        known = {queued.id: queued for queued in self.queue if queued.message.instance_id == commit.instance_id}
        consumed = [known.get(message_id) for message_id in commit.consumed_messages]
        if (
            not self._fits(commit)
            or self._overtakes(commit)
            or any(queued is None or queued.token != token for queued in consumed)
        ):
            return CommitResult.STALE
        timers = [self._timer(commit, event_id) for event_id in commit.fired_timers]
        if not all(self.has(lock) for lock in commit.finished_activities) or None in timers:
            return CommitResult.GONE
        return CommitResult.COMMITTED

    def _fits(self, commit: TurnCommit) -> bool:
        info, incarnation = self.infos.get(commit.instance_id), self.incarnations.get(commit.instance_id)
        if info is None:
            is_first = commit.started is not None and commit.execution_id == 1
            return is_first or (commit.started is None and commit.last_event_id == 0 and not commit.events)
        if commit.started is not None:
            return (incarnation, info.execution_id + 1) == (commit.incarnation, commit.execution_id)
        known = self.histories.get((commit.instance_id, commit.execution_id), [])
        if {event.event_id for event in commit.events} & {event.event_id for event in known}:
            return False
        if any(work.key in self.work for work in commit.activities):
            return False
        if info.status is ExecutionStatus.CONTINUED_AS_NEW and commit.status is not ExecutionStatus.FAILED:
            return False
        expected = (incarnation, info.execution_id, info.last_event_id)
        return expected == (commit.incarnation, commit.execution_id, commit.last_event_id)

    def _overtakes(self, commit: TurnCommit) -> bool:
        """Whether what was handed over would overtake a message that waits."""
        if not commit.handed_over:
            return False
        is_first = commit.started is not None and commit.execution_id == 1
        starts = [queued.message.instance_id for queued in self.queue if _starts(queued)]
        return bool(self.visible(commit.instance_id)) or (is_first and commit.instance_id in starts)

    def _timer(self, commit: TurnCommit, event_id: int) -> Queued | None:
        for queued in self.queue:
            message = queued.message
            if isinstance(message, Deliver) and isinstance(message.event, e.TimerFired):
                found = (message.instance_id, message.execution_id, message.event.source_event_id)
                if found == (commit.instance_id, commit.execution_id, event_id):
                    return queued
        return None

    def _write(self, commit: TurnCommit, lock_ms: int) -> None:
        instance_id = commit.instance_id
        if commit.lock is not None:
            del self.locks[instance_id]
            for queued in self._batch(commit.lock):
                queued.token = None
        gone = [q for q in self.queue if q.id in commit.consumed_messages and q.id is not None]
        gone += [q for i in (*commit.fired_timers, *commit.cancelled_timers) if (q := self._timer(commit, i))]
        self.queue = [queued for queued in self.queue if not any(queued is other for other in gone)]
        for lock in commit.finished_activities:
            del self.work[lock.key]
        self._write_instance(commit)
        self._write_activities(commit, lock_ms)
        self.enqueue(commit.messages)
        for key, entry in commit.kv.items():
            values = self.kv.setdefault(instance_id, {})
            values.pop(key, None)
            if entry is not None:
                values[key] = entry

    def _write_instance(self, commit: TurnCommit) -> None:
        instance_id, started = commit.instance_id, commit.started
        if started is None and not commit.last_event_id:
            return
        info = self.infos.get(instance_id) or InstanceInfo(
            instance_id=instance_id,
            orchestration_name="",
            orchestration_version="",
            execution_id=1,
            last_event_id=0,
            status=ExecutionStatus.RUNNING,
            output=None,
            custom_status=None,
            custom_status_version=0,
            parent_instance_id=None if started is None or started.parent is None else started.parent.instance_id,
            created_at_ms=self.now_ms,
            updated_at_ms=self.now_ms,
        )
        if started is not None:
            self.incarnations[instance_id] = commit.incarnation
            self.releases[instance_id] = started.duroxide_version
            info = evolve(
                info,
                orchestration_name=started.name,
                orchestration_version=started.version,
                execution_id=commit.execution_id,
                status=ExecutionStatus.RUNNING,
                output=None,
            )
        if commit.status is not ExecutionStatus.RUNNING:
            info = evolve(info, status=commit.status, output=commit.output)
        if commit.events:
            info = evolve(info, last_event_id=commit.events[-1].event_id, updated_at_ms=self.now_ms)
        self.infos[instance_id] = _with_custom_status(info, commit.custom_status)
        self.histories.setdefault((instance_id, commit.execution_id), []).extend(commit.events)

    def _write_activities(self, commit: TurnCommit, lock_ms: int) -> None:
        eager = {lock.key: lock.token for lock in commit.eager}
        for work in commit.activities:
            token = eager.get(work.key)
            if token is None:
                self.work[work.key] = Work(work, self.now_ms)
            else:
                self.work[work.key] = Work(work, self.now_ms + lock_ms, token, 1, is_begun=True)
                self._touch(work.session_id)
        for activity_id in commit.cancelled_activities:
            self.work.pop(ActivityKey(commit.instance_id, commit.execution_id, activity_id), None)

    # The worker queue

    def fetch_activities(self, limit: int, tags: TagFilter, claim: SessionClaim | None) -> list[ActivityKey]:
        """Return which activities are to be locked, in order."""
        ready = [
            row
            for row in self.work.values()
            if row.visible_at_ms <= self.now_ms
            and tags.accepts(row.work.tag)
            and self._may_take(row.work.session_id, claim)
        ]
        # The sort is stable: of the same time, the one that was scheduled first.
        ready.sort(key=lambda row: row.visible_at_ms)
        # Sessions are taken as far as there is room, of the oldest work; those that are not keep no place of it.
        sessions = _sessions(ready[:limit], claim)
        found = [row for row in ready if row.work.session_id is None or row.work.session_id in sessions][:limit]
        for row in found:
            if claim is not None and row.work.session_id is not None:
                until_ms = self.now_ms + claim.lease_ms
                self.sessions[row.work.session_id] = Session(claim.owner, until_ms, self.now_ms)
        return [row.work.key for row in found]

    def expired(self) -> set[ActivityKey]:
        """Return which activities nobody has begun in time."""
        return {
            key
            for key, row in self.work.items()
            if (row.token is None or (not row.is_begun and row.visible_at_ms <= self.now_ms))
            and row.work.expires_at_ms is not None
            and row.work.expires_at_ms <= self.now_ms
        }

    def lock_activity(self, lock: ActivityLock, lock_ms: int, *, begins: bool = True) -> tuple[ActivityExecute, int]:
        """Lock an activity as the provider did; return it, and how often it has been delivered."""
        row = self.work[lock.key]
        row.token, row.visible_at_ms, row.is_begun = lock.token, self.now_ms + lock_ms, begins
        row.attempts += 1
        return row.work, row.attempts

    def ack(self, ack: ActivityAck) -> bool:
        """Remove a finished activity, and enqueue its completion."""
        if not self.has(ack.lock):
            return False
        self._touch(self.work.pop(ack.lock.key).work.session_id)
        if ack.event is not None:
            key = ack.lock.key
            # A message has neither an id nor a time of its own.
            event = evolve(ack.event, event_id=0, timestamp_ms=0)
            self.enqueue([Outgoing(Deliver(key.instance_id, key.execution_id, event))])
        return True

    def release_activity(self, release: Release) -> bool:
        """Give an activity back."""
        assert isinstance(release.lock, ActivityLock)
        if not self.has(release.lock):
            return False
        row = self.work[release.lock.key]
        row.token, row.visible_at_ms = None, self.now_ms + release.delay_ms
        row.attempts = max(row.attempts - int(release.ignore_attempt), 0)
        return True

    def renew_activities(self, locks: Iterable[ActivityLock], lock_ms: int) -> frozenset[ActivityLock]:
        """Extend activity locks."""
        held = frozenset(lock for lock in locks if self.has(lock))
        for lock in held:
            self.work[lock.key].visible_at_ms = self.now_ms + lock_ms
            self._touch(self.work[lock.key].work.session_id)
        return held

    def rows_of(self, locks: Iterable[ActivityLock]) -> frozenset[ActivityLock]:
        """Return the locks whose row is there under its token, expired or not."""
        return frozenset(lock for lock in locks if lock.key in self.work and self.work[lock.key].token == lock.token)

    def _may_take(self, session_id: str | None, claim: SessionClaim | None) -> bool:
        if session_id is None:
            return True
        if claim is not None and claim.room == 0 and session_id not in claim.in_flight:
            return False
        session = self.sessions.get(session_id)
        is_free = session is None or session.until_ms <= self.now_ms
        return claim is not None and (is_free or (session is not None and session.owner == claim.owner))

    # Sessions

    def _touch(self, session_id: str | None) -> None:
        session = self.sessions.get(session_id or "")
        if session is not None and session.until_ms > self.now_ms:
            session.active_ms = self.now_ms

    def renew_sessions(self, owner: str, lease_ms: int, idle_ms: int) -> int:
        """Extend the sessions of *owner*."""
        mine = [
            session
            for session in self.sessions.values()
            if session.owner == owner and session.until_ms > self.now_ms and session.active_ms > self.now_ms - idle_ms
        ]
        for session in mine:
            session.until_ms = self.now_ms + lease_ms
        return len(mine)

    def remove_orphaned_sessions(self) -> int:
        """Remove sessions that are over and have no work."""
        busy = {row.work.session_id for row in self.work.values()}
        orphans = [i for i, session in self.sessions.items() if session.until_ms <= self.now_ms and i not in busy]
        for session_id in orphans:
            del self.sessions[session_id]
        return len(orphans)

    # Questions and management

    def next_due_ms(self, after_ms: int | None = None, *, activities_only: bool = False) -> int | None:
        """Return when the next thing becomes visible that was not at *after_ms* (None: is not now)."""
        after_ms = self.now_ms if after_ms is None else after_ms
        times = [row.visible_at_ms for row in self.work.values()]
        if not activities_only:
            times += [queued.visible_at_ms for queued in self.queue]
            times += [until_ms for _, until_ms in self.locks.values()]
        return min((time for time in times if time > after_ms), default=None)

    def runs(self, instance_id: str) -> bool:
        """Whether an instance has not ended."""
        return self.infos[instance_id].status not in {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED}

    def delete(self, instance_id: str) -> DeleteResult:
        """Remove everything of an instance, and say how much that was."""
        executions = [events for key, events in self.histories.items() if key[0] == instance_id]
        messages = [queued for queued in self.queue if queued.message.instance_id == instance_id]
        staying = _of_another(messages)
        waiting = len(messages) - len(staying) + sum(key.instance_id == instance_id for key in self.work)
        for table in (self.infos, self.incarnations, self.releases, self.kv, self.locks):
            table.pop(instance_id, None)  # type: ignore[attr-defined]
        self.histories = {key: events for key, events in self.histories.items() if key[0] != instance_id}
        gone = {id(queued) for queued in messages} - {id(queued) for queued in staying}
        self.queue = [queued for queued in self.queue if id(queued) not in gone]
        self.work = {key: row for key, row in self.work.items() if key.instance_id != instance_id}
        return DeleteResult(1, len(executions), sum(map(len, executions)), waiting)

    def delete_bulk(self, statuses: Collection[ExecutionStatus], limit: int) -> DeleteResult:
        """Remove instances of *statuses* that have ended, the oldest first."""
        result = DeleteResult()
        matching = [info.instance_id for info in self.listed()[::-1] if info.status in statuses]
        for instance_id in [each for each in matching if not self.runs(each)][:limit]:
            result += self.delete(instance_id)
        return result

    def prune(self, instance_id: str, keep: int = 1) -> PruneResult:
        """Remove all executions but the newest."""
        current = self.infos[instance_id].execution_id
        old = [key for key in self.histories if key[0] == instance_id and key[1] <= current - keep]
        events = sum(len(self.histories.pop(key)) for key in old)
        return PruneResult(int(bool(old)), len(old), events)

    def listed(self) -> list[InstanceInfo]:
        """Return all instances, the newest first."""
        return sorted(self.infos.values(), key=lambda info: (info.created_at_ms, info.instance_id), reverse=True)

    def metrics(self) -> SystemMetrics:
        """Return how much there is."""
        counts = Counter(info.status for info in self.infos.values())
        completed, failed = counts[ExecutionStatus.COMPLETED], counts[ExecutionStatus.FAILED]
        return SystemMetrics(
            total_instances=len(self.infos),
            total_executions=len(self.histories),
            running_instances=len(self.infos) - completed - failed,
            completed_instances=completed,
            failed_instances=failed,
            total_events=sum(map(len, self.histories.values())),
        )

    def depths(self) -> QueueDepths:
        """Return how much waits."""
        now = [queued for queued in self.queue if queued.visible_at_ms <= self.now_ms]
        locked = sum(row.visible_at_ms > self.now_ms for row in self.work.values())
        holders = {instance_id: self.holder(instance_id) for instance_id in self.locks}
        passed_on = [queued for queued in now if holders.get(queued.message.instance_id) == PASSED_ON]
        return QueueDepths(
            orchestrator_queue=sum(self.holder(queued.message.instance_id) is None for queued in now),
            worker_queue=len(self.work) - locked,
            timer_queue=len(self.queue) - len(now) + len(passed_on),
            locked_instances=sum(holder not in {None, PASSED_ON} for holder in holders.values()),
            locked_activities=locked,
        )


def _of_another(messages: Sequence[Queued]) -> list[Queued]:
    """Return those of *messages* that outlive the instance they are for: they start another one of its id, or came for that."""
    first = next((position for position, each in enumerate(messages) if _begins(each)), len(messages))
    return [
        each
        for position, each in enumerate(messages)
        if _begins(each) or (position > first and each.message.execution_id is None)
    ]


def _begins(queued: Queued) -> bool:
    """Whether it is the start of an instance, and not of its next execution."""
    return _starts(queued) and queued.message.execution_id == 1


def _starts(queued: Queued) -> bool:
    return isinstance(queued.message, StartOrchestration)


def _sessions(oldest: Iterable[Work], claim: SessionClaim | None) -> frozenset[str]:
    """Return the sessions that the claimer gets, with its own: as far as it has room, those of the oldest work first."""
    if claim is None:
        return frozenset()
    sessions = dict.fromkeys(row.work.session_id for row in oldest if row.work.session_id is not None)
    new = [session_id for session_id in sessions if session_id not in claim.in_flight]
    return claim.in_flight.union(new[: claim.room])


def _with_custom_status(info: InstanceInfo, change: CustomStatusChange | None) -> InstanceInfo:
    if change is None:
        return info
    return evolve(info, custom_status=change.status, custom_status_version=info.custom_status_version + 1)
