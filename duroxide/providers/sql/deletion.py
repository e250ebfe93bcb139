"""
Deleting instances: whole trees, checked and removed in one transaction.

What makes it safe while everything goes on:

Rule 1: rows are locked in the order in which commits touch them: locks, instances, activities, messages. Whoever
comes later finds nothing and is refused.

Rule 2: members are looked up once more after they are locked; from then on, no new one can appear. A child that does not
exist yet is its start message, and goes with it. What others have sent to start an id of the tree is not of the tree: it
stays, with what has come after it.

Rule 3: activities go before messages, so that the completion that an acknowledged activity has left is seen.

Rule 4: what has ended goes although somebody holds its lock. A turn of it could only take messages away, which go too;
its commit finds no lock, and is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

from attrs import evolve

from ..._core.arguments import MAX_INTEGER
from ..._core.commit import ENDED, ExecutionStatus
from ..._core.portions import portions
from ..._nouns import frozen
from ...errors import CannotDeleteSubOrchestration, InstanceError, InstanceNotFound, InstanceStillRunning
from ..management import DeleteResult, InstanceFilter
from .children import IS_FIRST_START, Sent, children_of_instances, sent_to
from .database import Database
from .dialect import Use
from .giving_way import GivingWay
from .listing import IS_ENDED, Where, in_parts
from .orchestrations import tell_of_waiting_messages
from .statements import AnyRow, Bulk, Query, Values
from .transaction import Transaction


#: What one transaction of a bulk operation may remove, if it is not a single tree.
MAX_INSTANCES = 100
MAX_EVENTS = 5000

_BELOW = """
    WITH RECURSIVE tree (root_id, instance_id) AS (
        SELECT r.instance_id, r.instance_id FROM {keys} JOIN {instances} AS r ON r.instance_id = k.p_instance_id
        UNION
        SELECT t.root_id, c.instance_id
        FROM tree AS t JOIN {instances} AS c ON c.parent_instance_id = t.instance_id
    )
"""
_MEMBERS = Query(f"{_BELOW} SELECT root_id, instance_id FROM tree ORDER BY instance_id", "instance_id text")  # noqa: S608  # constants
_SIZES = Query(
    f"""
    {_BELOW}
    SELECT t.root_id, COUNT(*) AS instances, SUM(
        (SELECT COUNT(*) FROM {{history}} AS h WHERE h.instance_id = t.instance_id)
    ) AS events
    FROM tree AS t GROUP BY t.root_id
    """,  # noqa: S608  # constants
    "instance_id text",
)
_HOLD_LOCKS = Query(
    "SELECT l.instance_id FROM {instance_locks} AS l"
    " WHERE l.instance_id IN (SELECT k.p_instance_id FROM {keys}) ORDER BY l.instance_id {for_update}",
    "instance_id text",
)
_HOLD_INSTANCES = Query(
    "SELECT i.instance_id, i.incarnation, i.status, i.parent_instance_id FROM {instances} AS i"
    " WHERE i.instance_id IN (SELECT k.p_instance_id FROM {keys}) ORDER BY i.instance_id {for_update}",
    "instance_id text",
)
# Whether instance *i* is a root, or the execution that it was started by is gone, so that nobody can wait for it.
# Not EXISTS: for many instances, Postgres would read all executions.
_IS_FREE = """
    (i.parent_instance_id IS NULL OR (
        SELECT e.execution_id FROM {executions} AS e
        WHERE e.instance_id = i.parent_instance_id AND e.execution_id = i.parent_execution_id LIMIT 1
    ) IS NULL)
"""
_ROOT = Query(
    f"""
    WITH RECURSIVE above (instance_id, parent_instance_id, parent_execution_id) AS (
        SELECT i.instance_id, i.parent_instance_id, i.parent_execution_id
        FROM {{instances}} AS i WHERE i.instance_id = :instance_id
        UNION
        SELECT p.instance_id, p.parent_instance_id, p.parent_execution_id
        FROM above AS i JOIN {{instances}} AS p ON p.instance_id = i.parent_instance_id AND NOT {_IS_FREE}
    )
    SELECT i.instance_id FROM above AS i WHERE {_IS_FREE}
    """  # noqa: S608  # constants
)

_DELETE_SENT = Bulk("id bigint", "DELETE FROM {orchestrator_queue} AS t {rows} WHERE t.id = :id")
# A start is never for what exists, so that it is not deleted by whom it is for: one may be written this very moment.
_DELETE_MESSAGES = Bulk(
    "instance_id text, kept_from bigint",
    "DELETE FROM {orchestrator_queue} AS t {rows} WHERE t.instance_id = :instance_id"  # noqa: S608  # constants
    f" AND NOT COALESCE({IS_FIRST_START}, FALSE) AND (t.id < :kept_from OR t.execution_id IS NOT NULL)",
)


def _delete_from(table: str) -> Bulk:
    return Bulk("instance_id text", f"DELETE FROM {{{table}}} AS t {{rows}} WHERE t.instance_id = :instance_id")  # noqa: S608  # constants


_DELETE_ACTIVITIES = _delete_from("worker_queue")
_DELETE_HISTORY = _delete_from("history")
_DELETE_VALUES = _delete_from("kv")
_DELETE_EXECUTIONS = _delete_from("executions")
_DELETE_INSTANCES = _delete_from("instances")
_DELETE_LOCKS = _delete_from("instance_locks")


@frozen
class _Trees:
    """Instances with everything below them, under locks."""

    #: The members of each tree, by root.
    members: Mapping[str, Sequence[str]]
    instances: Mapping[str, AnyRow]
    #: What waits to start or cancel one of them, or one of their children.
    sent: Sequence[Sent]

    @classmethod
    def hold(cls, transaction: Transaction, root_ids: Sequence[str]) -> _Trees:
        """Lock the trees of *root_ids*; a root that does not exist has none."""
        transaction.find_one_by_one()
        roots = [(root_id,) for root_id in sorted(root_ids)]
        found = transaction.query(_MEMBERS, roots)
        while True:
            keys = sorted({(row.instance_id,) for row in found})
            transaction.query(_HOLD_LOCKS, keys)
            rows = transaction.query(_HOLD_INSTANCES, keys)
            children = children_of_instances(transaction, keys)
            sent = sent_to(transaction, children | {row.instance_id for row in found})
            again = transaction.query(_MEMBERS, roots)
            # An id that was deleted before it could be locked may be used again by now.
            is_all_held = len(rows) == len(keys)
            if is_all_held and {tuple(row) for row in again} == {tuple(row) for row in found}:
                break
            # Somebody was quicker; from here on, nobody is.
            found = again
        members: dict[str, list[str]] = defaultdict(list)
        for row in found:
            members[row.root_id].append(row.instance_id)
        return cls(members, {row.instance_id: row for row in rows}, sent)

    def obstacle(self, root_id: str) -> str | None:
        """Return what keeps the tree of *root_id* from being deleted without force."""
        for instance_id in self.members[root_id]:
            status = self.instances[instance_id].status
            if ExecutionStatus(status) not in ENDED:
                return f"{instance_id!r} is {status}"
        members = set(self.members[root_id])
        for sent in self.sent:
            if sent.is_start and sent.instance_id not in self.instances and _is_from(sent, members):
                return f"its child {sent.instance_id!r} is about to start"
        return None

    def delete(self, transaction: Transaction, root_ids: Sequence[str]) -> DeleteResult:
        """Remove the trees of *root_ids*."""
        members = {member for root_id in root_ids for member in self.members[root_id]}
        going = [each for each in self.sent if _is_from(each, members) or _is_unreadable(each, members)]
        kept_from = self._kept_from(members, {each.message_id for each in going})
        ids = sorted((member,) for member in members)
        activities = transaction.many(_DELETE_ACTIVITIES, ids)
        messages = transaction.many(_DELETE_MESSAGES, [(each, kept_from.get(each, MAX_INTEGER)) for (each,) in ids])
        messages += transaction.many(_DELETE_SENT, [(each.message_id,) for each in going])
        events = transaction.many(_DELETE_HISTORY, ids)
        transaction.many(_DELETE_VALUES, ids)
        executions = transaction.many(_DELETE_EXECUTIONS, ids)
        instances = transaction.many(_DELETE_INSTANCES, ids)
        transaction.many(_DELETE_LOCKS, ids)
        tell_of_waiting_messages(transaction, [(each,) for each in kept_from])
        return DeleteResult(instances, executions, events, activities + messages)

    def _kept_from(self, members: set[str], going: set[int]) -> dict[str, int]:
        """Return the first message to stay of each of *members* that somebody else is about to start."""
        kept: dict[str, int] = {}
        for sent in self.sent:
            if sent.is_start and sent.instance_id in members and sent.message_id not in going:
                kept.setdefault(sent.instance_id, sent.message_id)
        return kept


def _is_from(sent: Sent, members: set[str]) -> bool:
    return sent.parent is not None and sent.parent.instance_id in members


def _is_unreadable(sent: Sent, members: set[str]) -> bool:
    """Whether *sent* says nothing but that it is for one of *members*."""
    return sent.instance_id in members and not sent.is_readable


def delete_tree(transaction: Transaction, root_id: str, *, force: bool) -> DeleteResult:
    """Delete *root_id* with everything below it, or raise why not."""
    trees = _Trees.hold(transaction, [root_id])
    if root_id not in trees.members:
        raise InstanceNotFound(root_id)
    if (error := _child_error(transaction, trees.instances[root_id])) is not None:
        raise error
    obstacle = None if force else trees.obstacle(root_id)
    if obstacle is not None:
        msg = (
            f"instance {root_id!r} cannot be deleted: {obstacle}. Wait until it has ended, cancel it with"
            " cancel_instance(), or delete it with force=True."
        )
        raise InstanceStillRunning(msg, instance_id=root_id)
    return trees.delete(transaction, [root_id])


def _child_error(transaction: Transaction, row: AnyRow) -> InstanceError | None:
    """Return why the instance of *row* cannot be deleted by itself; one whose parent's execution is gone can."""
    if row.parent_instance_id is None:
        return None
    roots = transaction.query(_ROOT, instance_id=row.instance_id)
    if not roots or roots[0].instance_id == row.instance_id:
        return None
    msg = (
        f"instance {row.instance_id!r} is a child of {row.parent_instance_id!r}, which would wait for it in vain."
        f" Delete the root, {roots[0].instance_id!r}, and all of its children go with it."
    )
    return CannotDeleteSubOrchestration(msg, instance_id=row.instance_id)


# A creation time and an id.
_Position = tuple[int, str]
_BEFORE_ALL: _Position = (-(2**63), "")


@frozen
class _Candidate:
    """A root that may be deleted, and what that would take."""

    instance_id: str
    incarnation: int
    instances: int
    events: int


@cache
def _candidate_query(conditions: tuple[str, ...], columns: str) -> Query:
    return Query(
        f"SELECT i.instance_id, i.incarnation, i.created_at_ms FROM {{instances}} AS i"  # noqa: S608  # constants
        f" WHERE {' AND '.join(conditions)} AND {_IS_FREE} AND {IS_ENDED}"
        " AND (i.created_at_ms, i.instance_id) > (:after_ms, :after_id)"
        " ORDER BY i.created_at_ms, i.instance_id LIMIT :wanted",
        columns,
    )


_CREATED = Query(
    "SELECT i.created_at_ms, i.instance_id FROM {instances} AS i"
    " WHERE i.instance_id IN (SELECT k.p_instance_id FROM {keys})",
    "instance_id text",
)


def delete_bulk(database: Database, which: InstanceFilter, limit: int) -> DeleteResult:
    """Delete up to *limit* roots that match, in as many transactions as it takes."""
    result, left, giving_way = DeleteResult(), limit, GivingWay()
    after: _Position | None = None
    for part in [which] if which.ids is None else _oldest_first(database, which, which.ids):
        after = _BEFORE_ALL
        while after is not None and left > 0:
            candidates, after = _candidates(database, part, min(left, MAX_INSTANCES), after)
            for batch in portions(candidates, _cost, (MAX_INSTANCES, MAX_EVENTS)):
                with giving_way.to_others():
                    deleted, of_batch = database.write("delete_instance_bulk", partial(_delete_batch, batch=batch))
                left -= deleted
                result += of_batch
        if left == 0:
            break
    return evolve(result, up_to_ms=None if after is None else after[0])


def _oldest_first(database: Database, which: InstanceFilter, ids: Collection[str]) -> Iterator[InstanceFilter]:
    """Yield *which* for the oldest of *ids*, for those that follow, and so on."""
    found: list[_Position] = []
    for part in in_parts(which, sorted(ids)):
        keys = [(instance_id,) for instance_id in part.ids or ()]
        found += database.read("delete_instance_bulk", partial(_created, keys=keys))
    return in_parts(which, [instance_id for _, instance_id in sorted(found)])


def _created(transaction: Transaction, keys: Sequence[Values]) -> Sequence[_Position]:
    transaction.find_one_by_one()
    return [(row.created_at_ms, row.instance_id) for row in transaction.query(_CREATED, keys)]


def _candidates(
    database: Database, which: InstanceFilter, wanted: int, after: _Position
) -> tuple[Sequence[_Candidate], _Position | None]:
    """Return the roots that match and follow *after*, and where they end; None where there are no more."""
    where = Where.of(which)
    query = _candidate_query(where.conditions, where.columns)
    position: dict[str, Any] = {"after_ms": after[0], "after_id": after[1]}

    def look(transaction: Transaction) -> tuple[Sequence[AnyRow], Mapping[str, AnyRow]]:
        transaction.find_one_by_one()
        rows = transaction.query(query, where.keys, wanted=wanted, **where.parameters, **position)
        sizes = transaction.query(_SIZES, [(row.instance_id,) for row in rows])
        return rows, {row.root_id: row for row in sizes}

    rows, sizes = database.read("delete_instance_bulk", look, use=Use.SNAPSHOT)
    if not rows:
        return (), None
    found = [(row, sizes[row.instance_id]) for row in rows if row.instance_id in sizes]
    candidates = [_Candidate(row.instance_id, row.incarnation, size.instances, int(size.events)) for row, size in found]
    return candidates, (rows[-1].created_at_ms, rows[-1].instance_id)


def _cost(candidate: _Candidate) -> tuple[int, int]:
    return candidate.instances, candidate.events


def _delete_batch(transaction: Transaction, batch: Sequence[_Candidate]) -> tuple[int, DeleteResult]:
    """Delete those of *batch* that still are what they were; return how many, and what went."""
    trees = _Trees.hold(transaction, [candidate.instance_id for candidate in batch])
    roots = [
        candidate.instance_id
        for candidate in batch
        if candidate.instance_id in trees.members
        and trees.instances[candidate.instance_id].incarnation == candidate.incarnation
        and trees.obstacle(candidate.instance_id) is None
    ]
    return len(roots), trees.delete(transaction, roots)
