"""
A provider that is not `SqlProvider`: the model behind a mutex, with tokens, ids and wake-ups of its own.

What a stranger might write in an afternoon, without management or an audit; the conformance suite must let it pass.
"""

from __future__ import annotations

import threading

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import count
from typing import Any

from attrs import evolve

from duroxide._clock import Clock, new_token
from duroxide._core.commit import ActivityLock, CommitResult, ExecutionStatus, InstanceLock, Outgoing, TurnCommit
from duroxide._core.events import Event, KvEntry, Parent
from duroxide._core.messages import ActivityKey, StartOrchestration
from duroxide._core.versions import VersionRange
from duroxide.errors import InstanceAlreadyExists, InvalidInput
from duroxide.providers.contract import (
    ActivityAck,
    ActivityItem,
    HistoryRequest,
    InstanceInfo,
    OrchestrationItem,
    QueuedItem,
    Release,
    SessionClaim,
    TagFilter,
)
from duroxide.providers.wakeups import Changes, Wakeups

from .model import PASSED_ON, Model


class NaiveProvider:
    """Keeps everything in dictionaries, and forgets it at the end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._model = Model(clock.now_ms())
        self._parents: dict[str, Parent | None] = {}
        self._ids = count(1)
        self.wakeups = Wakeups()

    @contextmanager
    def _store(self) -> Iterator[Model]:
        """Give the store to one thread at a time, at one moment."""
        with self._mutex:
            self._model.now_ms = self._clock.now_ms()
            yield self._model

    def now_ms(self) -> int:
        return self._clock.now_ms()

    def initialize(self) -> None:
        """There is nothing to make."""

    def close(self) -> None:
        """There is nothing to close."""

    # The orchestrator queue

    def enqueue(self, messages: Sequence[Outgoing], *, connection: Any = None) -> None:
        _refuse(connection)
        with self._store() as store:
            store.enqueue(messages)
            changes = _left_by(messages, store.now_ms)
        self.wakeups.publish(changes)

    def start_instances(
        self, messages: Sequence[StartOrchestration], *, must_be_new: bool = False, connection: Any = None
    ) -> Sequence[bool]:
        _refuse(connection)
        with self._store() as store:
            for message in messages if must_be_new else ():
                if store.is_taken(message.instance_id):
                    raise InstanceAlreadyExists(message.instance_id)
            started = store.start_instances(messages)
        self.wakeups.publish(Changes(messages=any(started)))
        return started

    def fetch_orchestration_items(
        self, limit: int, lock_ms: int, *, replayable: VersionRange | None = None
    ) -> Sequence[OrchestrationItem]:
        with self._store() as store:
            items = [self._lock(store, instance_id, lock_ms) for instance_id in store.fetch(max(limit, 0), replayable)]
            put_off = [until_ms for token, until_ms in store.locks.values() if token == PASSED_ON]
        self.wakeups.publish(Changes(due_ms=min(put_off, default=None)))
        return items

    def _lock(self, store: Model, instance_id: str, lock_ms: int) -> OrchestrationItem:
        lock = InstanceLock(instance_id, new_token())
        ids = [next(self._ids) if queued.id is None else queued.id for queued in store.visible(instance_id)]
        batch = store.lock(lock, lock_ms, ids)
        messages = tuple(QueuedItem(i, message, attempts) for i, (message, attempts) in zip(ids, batch, strict=True))
        info = store.infos.get(instance_id)
        if info is None:
            return OrchestrationItem(lock=lock, messages=messages)
        return OrchestrationItem(
            lock=lock,
            messages=messages,
            execution_id=info.execution_id,
            last_event_id=info.last_event_id,
            incarnation=store.incarnations[instance_id],
            status=info.status,
            parent=self._parents.get(instance_id),
        )

    def read_histories(self, requests: Sequence[HistoryRequest]) -> Sequence[Sequence[Event]]:
        with self._store() as store:
            return [self._read(store, request) for request in requests]

    def _read(self, store: Model, request: HistoryRequest) -> Sequence[Event]:
        info = store.infos.get(request.instance_id)
        current = 0 if info is None else info.execution_id
        key = (request.instance_id, current if request.execution_id is None else request.execution_id)
        return [event for event in store.histories.get(key, ()) if event.event_id > request.after_event_id]

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        with self._store() as store:
            results = store.commit(commits, lock_ms)
            accepted = [c for c, result in zip(commits, results, strict=True) if result is CommitResult.COMMITTED]
            for commit in accepted:
                if commit.started is not None and commit.execution_id == 1:
                    self._parents[commit.instance_id] = commit.started.parent
            changes = [_changes(commit, store.now_ms) for commit in accepted]
            waiting = any(commit.lock is not None and store.visible(commit.instance_id) for commit in accepted)
        for each in (*changes, Changes(messages=waiting)):
            self.wakeups.publish(each)
        return results

    def release_orchestration_items(self, releases: Sequence[Release]) -> Sequence[bool]:
        with self._store() as store:
            held = [store.release(release) for release in releases]
            due_ms = [store.now_ms + release.delay_ms for release in releases]
        self.wakeups.publish(Changes(messages=any(held), due_ms=min(due_ms, default=None)))
        return held

    def renew_instance_locks(self, locks: Sequence[InstanceLock], lock_ms: int) -> frozenset[InstanceLock]:
        with self._store() as store:
            return store.renew(locks, lock_ms)

    # The worker queue

    def fetch_activities(
        self, limit: int, lock_ms: int, *, tags: TagFilter, session: SessionClaim | None
    ) -> Sequence[ActivityItem]:
        with self._store() as store:
            return self._take(store, store.fetch_activities(max(limit, 0), tags, session), lock_ms)

    def fetch_expired_activities(self, limit: int, lock_ms: int) -> Sequence[ActivityItem]:
        with self._store() as store:
            return self._take(store, sorted(store.expired(), key=repr)[:limit], lock_ms, begins=False)

    def _take(
        self, store: Model, keys: Iterable[ActivityKey], lock_ms: int, *, begins: bool = True
    ) -> Sequence[ActivityItem]:
        locks = [ActivityLock(key, new_token()) for key in keys]
        return [ActivityItem(lock, *store.lock_activity(lock, lock_ms, begins=begins)) for lock in locks]

    def ack_activities(self, acks: Sequence[ActivityAck]) -> Sequence[bool]:
        with self._store() as store:
            held = [store.ack(ack) for ack in acks]
        self.wakeups.publish(Changes(messages=any(held)))
        return held

    def release_activities(self, releases: Sequence[Release]) -> Sequence[bool]:
        with self._store() as store:
            held = [store.release_activity(release) for release in releases]
        self.wakeups.publish(Changes(activities=any(held)))
        return held

    def renew_activity_locks(self, locks: Sequence[ActivityLock], lock_ms: int) -> frozenset[ActivityLock]:
        with self._store() as store:
            return store.renew_activities(locks, lock_ms)

    def held_activity_locks(self, locks: Sequence[ActivityLock]) -> frozenset[ActivityLock]:
        with self._store() as store:
            return store.rows_of(locks)

    def renew_sessions(self, owner: str, lease_ms: int, idle_ms: int) -> int:
        with self._store() as store:
            renewed = store.renew_sessions(owner, lease_ms, idle_ms)
        self.wakeups.publish(Changes(activities=lease_ms <= 0))
        return renewed

    def remove_orphaned_sessions(self) -> int:
        with self._store() as store:
            return store.remove_orphaned_sessions()

    def next_due_ms(self, after_ms: int | None = None, *, activities_only: bool = False) -> int | None:
        with self._store() as store:
            return store.next_due_ms(after_ms, activities_only=activities_only)

    # Questions

    def get_instance_info(self, instance_id: str) -> InstanceInfo | None:
        with self._store() as store:
            return store.infos.get(instance_id)

    def get_kv_value(self, instance_id: str, key: str) -> KvEntry | None:
        return self.get_kv_all_values(instance_id).get(key)

    def get_kv_all_values(self, instance_id: str) -> Mapping[str, KvEntry]:
        with self._store() as store:
            return dict(store.kv.get(instance_id, {}))


def _refuse(connection: object) -> None:
    if connection is not None:
        msg = "connection= is for databases, and this is none: leave it out."
        raise InvalidInput(msg)


def _left_by(messages: Iterable[Outgoing], now_ms: int) -> Changes:
    """What *messages* are to those who wait."""
    later = [out.visible_at_ms for out in messages if out.visible_at_ms is not None and out.visible_at_ms > now_ms]
    at_once = any(out.visible_at_ms is None or out.visible_at_ms <= now_ms for out in messages)
    return Changes(messages=at_once, due_ms=min(later, default=None))


def _changes(commit: TurnCommit, now_ms: int) -> Changes:
    """What *commit* leaves for others."""
    mine = {lock.key for lock in commit.eager}
    for_anybody = [
        work
        for work in commit.activities
        if work.key not in mine and work.key.activity_id not in commit.cancelled_activities
    ]
    is_seen = (
        commit.started is not None
        or commit.status is not ExecutionStatus.RUNNING
        or commit.custom_status is not None
        or bool(commit.kv)
    )
    return evolve(
        _left_by(commit.messages, now_ms),
        activities=bool(for_anybody),
        instances=(commit.instance_id,) if is_seen else (),
    )
