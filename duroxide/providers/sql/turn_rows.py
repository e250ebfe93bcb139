"""A batch of commits as the rows that are to be written, made before the transaction begins."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache, partial

from attrs import field

from ..._core.codec import encode_event
from ..._core.commit import ExecutionStatus, TurnCommit
from ..._core.events import TYPE_NAMES
from ..._core.versions import Version
from ..._nouns import define
from ..wakeups import Output, Wakeups
from . import turn_statements as sql
from .database import Database
from .orchestrations import message_values
from .sessions import TOUCH
from .statements import Bulk, Values
from .transaction import Transaction


@define
class TurnRows:
    """Rows for each statement of `turn_statements`, in the order of its columns."""

    now_ms: int
    lock_ms: int
    _wakeups: Wakeups
    #: Those of each statement that has any.
    by_statement: defaultdict[Bulk, list[Values]] = field(factory=partial(defaultdict, list))
    #: Ids that others may be starting at the same time.
    claimed: list[str] = field(factory=list)
    #: When each message becomes visible.
    _visible: list[int] = field(factory=list)
    #: Whether there are activities for anybody.
    _for_anybody: bool = False
    #: Instances whose status, custom status or key-values change.
    _announced: set[str] = field(factory=set)
    #: What they complete with, if anybody waits for it.
    _outputs: dict[str, Output] = field(factory=dict)

    @classmethod
    def of(cls, commits: Sequence[TurnCommit], database: Database, lock_ms: int) -> TurnRows:
        """Return what *commits* write."""
        rows = cls(database.now_ms(), lock_ms, database.shared.wakeups)
        for commit in commits:
            rows._add(commit)
        activities = [commit for commit in commits if commit.activities]
        if activities:
            positions = iter(database.next_positions(sum([len(commit.activities) for commit in activities])))
            for commit in activities:
                rows._add_activities(commit, positions)
        if TOUCH in rows.by_statement:
            # Each session once, and in one order everywhere.
            rows.by_statement[TOUCH] = sorted(set(rows.by_statement[TOUCH]))
        return rows

    def announce(self, transaction: Transaction) -> None:
        """Note on *transaction* what the rows leave for others."""
        for visible_at_ms in self._visible:
            transaction.leave_message(visible_at_ms)
        transaction.activities |= self._for_anybody
        transaction.instances |= self._announced
        transaction.outputs |= self._outputs

    def _add(self, commit: TurnCommit) -> None:
        instance_id, execution_id = commit.instance_id, commit.execution_id
        if commit.started is not None:
            self._add_start(commit)
        elif commit.last_event_id:
            self._add_progress(commit)
        if commit.events:
            self.by_statement[sql.APPEND] += [
                (
                    instance_id,
                    execution_id,
                    event.event_id,
                    TYPE_NAMES[type(event)],
                    event.timestamp_ms,
                    encode_event(event),
                )
                for event in commit.events
            ]
        if commit.finished_activities:
            now_ms = self.now_ms
            self.by_statement[sql.FINISH_ACTIVITIES] += [
                (key.instance_id, key.execution_id, key.activity_id, lock.token, now_ms)
                for lock in commit.finished_activities
                for key in (lock.key,)
            ]
        if commit.lock is not None:
            self._add_lock(commit, commit.lock.token)
        elif commit.consumed_messages:
            # Without a lock there is no batch that they could be of: refused like any that is not ours.
            self.by_statement[sql.CONSUME] += [(message, instance_id, None) for message in commit.consumed_messages]
        if commit.messages:
            self._add_messages(commit)
        if commit.kv:
            self._add_values(commit)
        self._add_removals(commit)
        if commit.status is not ExecutionStatus.RUNNING or commit.custom_status is not None or commit.kv:
            # Nobody waits for a mere start.
            self._announced.add(instance_id)
            self._add_output(commit)

    def _add_output(self, commit: TurnCommit) -> None:
        """Whoever waits already will know; who comes later may mean another instance of this id."""
        waiting = self._wakeups.waiting_for(commit.instance_id)
        if waiting and commit.output is not None and commit.status is ExecutionStatus.COMPLETED:
            self._outputs[commit.instance_id] = Output(commit.output, waiting, is_all=not commit.may_have_status)

    def _add_progress(self, commit: TurnCommit) -> None:
        """Move a known execution on, and end it if the turn did."""
        now_ms, events, custom = self.now_ms, commit.events, commit.custom_status
        moved: Values = (
            commit.instance_id,
            commit.incarnation,
            commit.execution_id,
            commit.last_event_id,
            now_ms,
            events[-1].event_id if events else commit.last_event_id,
            now_ms if events else None,
        )
        if commit.status is not ExecutionStatus.RUNNING:
            status, output = commit.status.value, _storable(commit.output)
            self.by_statement[sql.END_EXECUTIONS].append(
                (commit.instance_id, commit.execution_id, status, output, now_ms)
            )
        elif custom is None and not commit.handed_over:
            self.by_statement[sql.ADVANCE].append(moved)
            return
        else:
            status, output = None, None
        status_change = (0, None) if custom is None else (1, _storable(custom.status))
        self.by_statement[sql.CHANGE].append((*moved, status, output, *status_change, int(commit.handed_over)))

    def _add_start(self, commit: TurnCommit) -> None:
        """Bring an execution to life, and with the first one its instance."""
        started = commit.started
        assert started is not None
        instance_id, execution_id, custom = commit.instance_id, commit.execution_id, commit.custom_status
        parent = started.parent
        status, output = commit.status.value, _storable(commit.output)
        pinned = _packed(started.duroxide_version)
        last_event_id = commit.events[-1].event_id if commit.events else 0
        common: Values = (instance_id, commit.incarnation, started.name, started.version, execution_id)
        common = (*common, last_event_id, status, output, pinned)
        if execution_id == 1:
            status_set: Values = (None, 0) if custom is None else (_storable(custom.status), 1)
            reports_to: Values = (
                (parent.instance_id, parent.execution_id, parent.event_id) if parent else (None, None, None)
            )
            self.by_statement[sql.CREATE_INSTANCES].append(
                (*common, *status_set, *reports_to, self.now_ms, int(commit.handed_over))
            )
            if commit.handed_over:
                self.claimed.append(instance_id)
        else:
            status_change: Values = (0, None) if custom is None else (1, _storable(custom.status))
            self.by_statement[sql.CONTINUE_INSTANCES].append((*common, *status_change, self.now_ms))
        completed = None if commit.status is ExecutionStatus.RUNNING else self.now_ms
        self.by_statement[sql.CREATE_EXECUTIONS].append(
            (instance_id, execution_id, status, output, started.version, pinned, self.now_ms, completed)
        )

    def _add_lock(self, commit: TurnCommit, token: str) -> None:
        """Give the lock back, with the messages of its batch that were not consumed."""
        self.by_statement[sql.UNLOCK].append((commit.instance_id, token, self.now_ms))
        if commit.consumed_messages:
            consumed = [(message, commit.instance_id, token) for message in commit.consumed_messages]
            self.by_statement[sql.CONSUME] += consumed
        self.by_statement[sql.PUT_BACK].append((commit.instance_id, token))

    def _add_messages(self, commit: TurnCommit) -> None:
        for outgoing in commit.messages:
            visible_at_ms = self.now_ms if outgoing.visible_at_ms is None else outgoing.visible_at_ms
            self._visible.append(visible_at_ms)
            self.by_statement[sql.INSERT_MESSAGES].append(message_values(outgoing.message, visible_at_ms))

    def _add_values(self, commit: TurnCommit) -> None:
        for key, entry in commit.kv.items():
            if entry is None:
                self.by_statement[sql.REMOVE_VALUES].append((commit.instance_id, key))
            else:
                self.by_statement[sql.SET_VALUES].append((commit.instance_id, key, entry.value, entry.updated_at_ms))

    def _add_removals(self, commit: TurnCommit) -> None:
        instance_id, execution_id = commit.instance_id, commit.execution_id
        for event_id in commit.fired_timers:
            self.by_statement[sql.REMOVE_FIRED].append((instance_id, execution_id, event_id))
        for event_id in commit.cancelled_timers:
            self.by_statement[sql.REMOVE_TIMERS].append((instance_id, execution_id, event_id))
        for activity_id in commit.cancelled_activities:
            self.by_statement[sql.REMOVE_ACTIVITIES].append((instance_id, execution_id, activity_id))

    def _add_activities(self, commit: TurnCommit, positions: Iterator[int]) -> None:
        for work, token in zip(commit.activities, commit.tokens, strict=True):
            key = work.key
            visible_at_ms = self.now_ms if token is None else self.now_ms + self.lock_ms
            self.by_statement[sql.INSERT_ACTIVITIES].append(
                (
                    key.instance_id,
                    key.execution_id,
                    key.activity_id,
                    work.name,
                    work.input,
                    work.orchestration_name,
                    work.orchestration_version,
                    work.session_id,
                    work.tag,
                    work.attempt,
                    next(positions),
                    visible_at_ms,
                    token,
                    0 if token is None else 1,
                    work.expires_at_ms,
                )
            )
            if token is None:
                self._for_anybody |= key.activity_id not in commit.cancelled_activities
            elif work.session_id is not None:
                self.by_statement[TOUCH].append((work.session_id, self.now_ms))


@cache
def _packed(version: str) -> int:
    """Return a release as the number that it is stored as; there are few, and every start names one."""
    return Version.parse(version).packed


def _storable(text: str | None) -> str | None:
    """Return *text* without what no database takes: NUL and lone surrogates, which a user's error message may hold."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
