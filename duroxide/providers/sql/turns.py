"""
Committing turns: the hot path, and what happens when it does not hold.

Everything is prepared before the transaction begins. Then, in the hope that every commit of the batch holds, all of
them are written at once, with a few statements whatever the size of the batch; the counts of touched rows tell
whether the hope was right. If not, nothing has happened: the losers are looked for under locks, and the others
written again. If even then a row was there already, the commits are written one at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ..._core.commit import CommitResult, ExecutionStatus, TurnCommit
from . import turn_statements as sql
from .database import Database
from .dialect import Conflict, Dialect
from .sessions import TOUCH
from .statements import Bulk, Step, Values
from .transaction import Script, Transaction
from .turn_rows import TurnRows


#: What is written, what may fail first; and whether the statement must touch a row for each that it is given.
_STEPS: Mapping[Bulk, bool] = {
    sql.UNLOCK: True,
    sql.ADVANCE: True,
    sql.CHANGE: True,
    sql.CREATE_INSTANCES: True,
    sql.CONTINUE_INSTANCES: True,
    sql.FINISH_ACTIVITIES: True,
    sql.REMOVE_FIRED: True,
    sql.CONSUME: True,
    sql.PUT_BACK: False,
    sql.APPEND: False,
    sql.CREATE_EXECUTIONS: False,
    sql.END_EXECUTIONS: False,
    sql.INSERT_ACTIVITIES: False,
    sql.REMOVE_ACTIVITIES: False,
    sql.INSERT_MESSAGES: False,
    sql.REMOVE_TIMERS: False,
    sql.REMOVE_VALUES: False,
    sql.SET_VALUES: False,
    TOUCH: False,
}
_PLACES = {bulk: place for place, bulk in enumerate(_STEPS)}


class SentCommits:
    """*commits* on their way into one transaction, which has begun where the store is another process."""

    def __init__(self, database: Database, commits: Sequence[TurnCommit], lock_ms: int) -> None:
        self._database = database
        self._lock_ms = lock_ms
        # In one order everywhere, so that two batches cannot wait for each other in a circle.
        self._order = sorted(range(len(commits)), key=lambda position: commits[position].instance_id)
        self._commits = [commits[position] for position in self._order]
        self._wait = _hopefully(database, self._commits, lock_ms)

    def results(self) -> Sequence[CommitResult]:
        """Return for each commit what became of it."""
        by_position = dict(zip(self._order, self._in_order(), strict=True))
        return [by_position[position] for position in range(len(self._commits))]

    def _in_order(self) -> Sequence[CommitResult]:
        attempts: tuple[Callable[[], Sequence[CommitResult]], ...] = (
            self._as_hoped,
            lambda: _carefully(self._database, self._commits, self._lock_ms),
        )
        for attempt in attempts:
            try:
                return attempt()
            except Conflict:
                continue
        # Only a duplicate key gets us here, and it takes a transaction of its own down with it, not the others.
        return [_alone(self._database, commit, self._lock_ms) for commit in self._commits]

    def _as_hoped(self) -> Sequence[CommitResult]:
        self._wait()
        return [CommitResult.COMMITTED] * len(self._commits)


def _hopefully(database: Database, commits: Sequence[TurnCommit], lock_ms: int) -> Callable[[], None]:
    """Begin to write all *commits*, asking nothing before; return what waits for that."""
    if not commits:
        return _nothing
    if any(_must_be_asked_for(commit) for commit in commits):
        return _give_up_hope
    return database.send_script("commit_turns", _script(TurnRows.of(commits, database, lock_ms), database.dialect))


def _nothing() -> None:
    pass


def _give_up_hope() -> None:
    raise Conflict


def _carefully(database: Database, commits: Sequence[TurnCommit], lock_ms: int) -> Sequence[CommitResult]:
    """Ask which of *commits* hold, and write those."""

    def work(transaction: Transaction) -> Sequence[CommitResult]:
        results = _judge(transaction, commits)
        accepted = [commit for commit, result in zip(commits, results, strict=True) if result is CommitResult.COMMITTED]
        if accepted:
            transaction.run(_script(TurnRows.of(accepted, database, lock_ms), database.dialect))
        return results

    return database.write("commit_turns", work)


def _alone(database: Database, commit: TurnCommit, lock_ms: int) -> CommitResult:
    """Write one commit; what cannot be written although it seems to hold repeats what is there already."""
    try:
        (result,) = _carefully(database, [commit], lock_ms)
    except Conflict:
        return CommitResult.STALE
    return result


def _script(rows: TurnRows, dialect: Dialect) -> Script:
    """Return everything that *rows* write; who was woken by messages for a locked instance went back to sleep."""
    steps = [*dialect.try_claim_ids(rows.claimed)[0]] if rows.claimed else []
    given = rows.by_statement
    steps += [Step(bulk, given[bulk], _STEPS[bulk]) for bulk in sorted(given, key=_PLACES.__getitem__)]
    return Script(steps, rows.announce, [(instance_id,) for instance_id, *_ in given.get(sql.UNLOCK, ())])


def _must_be_asked_for(commit: TurnCommit) -> bool:
    """Whether no statement that writes *commit* says whether it holds."""
    if commit.started is None:
        return commit.last_event_id == 0  # it only removes messages, of an instance that must not exist
    return commit.handed_over and commit.execution_id > 1


def _goes_on(commit: TurnCommit, status: object) -> bool:
    """Whether *commit* may follow in an execution of *status*: after it has continued as new, nothing but its failure."""
    return status != ExecutionStatus.CONTINUED_AS_NEW.value or commit.status is ExecutionStatus.FAILED


def _is_first(commit: TurnCommit) -> bool:
    """Whether *commit* brings an instance to life."""
    return commit.started is not None and commit.execution_id == 1


class _Truth:
    """What the store says about everything that a batch of commits relies on, under locks."""

    def __init__(self, transaction: Transaction, commits: Sequence[TurnCommit]) -> None:
        # Table by table in the order of `_STEPS`, or a batch that asks and one that hopes could wait for each other.
        now_ms = transaction.now_ms
        ids = sorted({(commit.instance_id,) for commit in commits})
        handed_over = [(commit.instance_id, int(_is_first(commit))) for commit in commits if commit.handed_over]
        new = [instance_id for instance_id, is_first in handed_over if is_first]
        claims = transaction.dialect.try_claim_ids(new)[1] if new else ()
        self.overtaken = {row[0] for claim in claims for row in transaction.queries(claim)[0]}
        self.locks = {row[0]: row[1] for row in transaction.query(sql.ASK_LOCKS, ids, now_ms=now_ms)}
        self.instances: dict[str, Values] = {
            row[0]: tuple(row[1:]) for row in transaction.query(sql.ASK_INSTANCES, ids)
        }
        activities = [
            (lock.key.instance_id, lock.key.execution_id, lock.key.activity_id)
            for commit in commits
            for lock in commit.finished_activities
        ]
        self.activities = {tuple(row) for row in transaction.query(sql.ASK_ACTIVITIES, activities, now_ms=now_ms)}
        timers = [
            (commit.instance_id, commit.execution_id, event_id)
            for commit in commits
            for event_id in commit.fired_timers
        ]
        self.timers = {tuple(row) for row in transaction.query(sql.ASK_TIMERS, timers)}
        self.overtaken |= {row[0] for row in transaction.query(sql.ASK_OVERTAKEN, handed_over, now_ms=now_ms)}
        messages = [(message_id,) for commit in commits for message_id in commit.consumed_messages]
        self.messages = {tuple(row) for row in transaction.query(sql.ASK_MESSAGES, messages)}

    def judge(self, commit: TurnCommit) -> CommitResult:
        """Return what is to become of *commit*."""
        if self.locks.get(commit.instance_id) != (None if commit.lock is None else commit.lock.token):
            return CommitResult.LOCK_LOST
        if not (self._instance_fits(commit) and self._messages_fit(commit)):
            return CommitResult.STALE
        if not self._work_fits(commit):
            return CommitResult.GONE
        return CommitResult.COMMITTED

    def _instance_fits(self, commit: TurnCommit) -> bool:
        found = self.instances.get(commit.instance_id)
        if commit.started is None:
            if not commit.last_event_id:
                return found is None and not commit.events
            expected = (commit.incarnation, commit.execution_id, commit.last_event_id)
            return found is not None and found[:3] == expected and _goes_on(commit, found[3])
        if commit.execution_id == 1:
            return found is None
        return found is not None and found[:2] == (commit.incarnation, commit.execution_id - 1)

    def _messages_fit(self, commit: TurnCommit) -> bool:
        if commit.instance_id in self.overtaken:
            return False
        token = None if commit.lock is None else commit.lock.token
        return all((message, commit.instance_id, token) in self.messages for message in commit.consumed_messages)

    def _work_fits(self, commit: TurnCommit) -> bool:
        activities_fit = all(
            (lock.key.instance_id, lock.key.execution_id, lock.key.activity_id, lock.token) in self.activities
            for lock in commit.finished_activities
        )
        return activities_fit and all(
            (commit.instance_id, commit.execution_id, event_id) in self.timers for event_id in commit.fired_timers
        )


def _judge(transaction: Transaction, commits: Sequence[TurnCommit]) -> list[CommitResult]:
    truth = _Truth(transaction, commits)
    return [truth.judge(commit) for commit in commits]
