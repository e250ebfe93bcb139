"""
One transaction under way: what is asked and written in it, and what it will leave for others.

Rule: who wakes whom is noted here while it happens, and told when it was committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import field
from sqlalchemy import Connection

from ..._nouns import define, noun
from ..wakeups import Changes, Output
from .dialect import Dialect
from .statements import AnyRow, Ask, Bulk, Query, Step, Values


#: Whether there are messages waiting for one of some instances. The sum keeps Postgres from the index of what is visible:
#: as few are as a rule, it would look through all of them for each instance.
WAITING = Query(
    "SELECT 1 FROM {keys} WHERE (SELECT q.id FROM {orchestrator_queue} AS q"
    " WHERE q.instance_id = k.p_instance_id AND q.visible_at_ms + 0 <= :now_ms LIMIT 1) IS NOT NULL LIMIT 1",
    "instance_id text",
)


@define
class Transaction:
    """One transaction under way, and what it will leave for others."""

    connection: Connection
    dialect: Dialect
    now_ms: int
    #: Whether we began it, and end it.
    is_ours: bool = True
    #: Under which name others are notified of it.
    sender: str = ""
    messages: bool = False
    due_ms: int | None = None
    #: Whether other processes, too, are to look when what it leaves is due.
    tells_others: bool = False
    activities: bool = False
    instances: set[str] = field(factory=set)
    outputs: dict[str, Output] = field(factory=dict)
    #: Whether it was committed with what it did last.
    is_committed: bool = False
    #: Whether it is being committed, so that nobody knows whether it was if it fails, and must not be done again.
    is_undecided: bool = False

    def many(self, bulk: Bulk, rows: Sequence[Values]) -> int:
        """Run *bulk* for *rows*; return how many rows of the database it touched."""
        return self.dialect.many(self.connection, bulk, rows) if rows else 0

    def query(self, query: Query, keys: Sequence[Values] | None = None, **parameters: Any) -> Sequence[AnyRow]:
        """Run *query* and return its rows; with no keys to ask about there are none."""
        if keys is not None and not keys:
            return ()
        return self.dialect.query(self.connection, query, keys, parameters)

    def queries(self, *asks: Ask) -> Sequence[Sequence[AnyRow]]:
        """Run several queries, none of which needs the answer of another; return the rows of each."""
        return self.dialect.queries(self.connection, asks)

    def find_one_by_one(self) -> None:
        """From now on, find rows by their keys, or along an index, one after the other, as far as that can be told."""
        self.dialect.find_one_by_one(self.connection)

    def finish(self, *asks: Ask, steps: Sequence[Step] = (), is_repeatable: bool = False) -> Sequence[Sequence[AnyRow]]:
        """
        Do the last thing in this transaction, and commit with it where that spares a round trip.

        Args:
            is_repeatable: Whether it does no harm, done again after it was done.
        """
        answers = None
        if self.is_ours:
            payload = self.payload()
            self.is_undecided = not is_repeatable
            answers = self.dialect.finish(self.connection, steps, asks, f"{self.sender}:{payload}" if payload else None)
            self.is_undecided = False
        if answers is None:
            for step in steps:
                self.many(step.bulk, step.rows)
            return self.queries(*asks) if asks else ()
        self.is_committed = True
        return answers

    def run(self, script: Script) -> None:
        """Carry *script* out. Raises `Conflict` if it does not hold."""
        script.leave(self)
        self.messages |= self.dialect.steps(self.connection, script.steps, self.question(script))

    def question(self, script: Script) -> Ask | None:
        """Return what *script* asks, unless what is told anyway answers it."""
        if self.messages or not script.waiting:
            return None
        return Ask(WAITING, script.waiting, {"now_ms": self.now_ms})

    def leave_message(self, visible_at_ms: int) -> None:
        """Note that a message becomes visible at *visible_at_ms*."""
        if visible_at_ms <= self.now_ms:
            self.messages = True
        elif self.due_ms is None or visible_at_ms < self.due_ms:
            self.due_ms = visible_at_ms

    def changes(self) -> Changes:
        """Return what to publish after the commit."""
        return Changes(
            messages=self.messages,
            due_ms=self.due_ms,
            activities=self.activities,
            instances=tuple(self.instances),
            outputs=self.outputs,
        )

    def payload(self) -> str:
        """Return what other processes must know: a letter for each kind of change, or nothing."""
        return "m" * (self.messages or self.tells_others) + "a" * self.activities + "i" * bool(self.instances)


@noun
class Script:
    """
    Writes that need no answers in between.

    Done again after it was done, it must raise `Conflict`.
    """

    steps: Sequence[Step]
    #: Notes what the steps leave for others.
    leave: Callable[[Transaction], None]
    #: Instances (one-tuples) that may have other messages waiting.
    waiting: Sequence[Values] = ()
