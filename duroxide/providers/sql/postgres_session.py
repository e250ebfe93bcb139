"""
Speaking to one session of Postgres: whole scripts in one message, and statements prepared where that is safe.

What counts is how often client and server wait for each other. So the statements of a script travel together, as
one text with their values in it, and what begins a transaction travels with its first script. A statement that was
prepared is named instead of repeated, which spares the server most of its work.
"""

from __future__ import annotations

import re

from collections.abc import Sequence
from functools import cache
from typing import Any

from attrs import field
from psycopg import generators
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from sqlalchemy import Connection

from ..._nouns import define, noun
from .dialect import rows_of
from .statements import AnyRow


#: Statements that a session keeps at most: ours are a hundred, the rest may be lists with ever other filters.
MOST_PREPARED = 200

#: psycopg's TransactionStatus.IDLE.
_IDLE = 0

# Where a pooled connection keeps its Session.
_KEY = "duroxide_session"

_PLACE = re.compile(r"\$(\d+)")
_CAN_BE_PREPARED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


@noun
class Call:
    """A statement with places ``$1``, ``$2`` … and their literals."""

    text: str
    literals: Sequence[str] = ()


@noun
class Answer:
    """What a statement found, and how many rows it touched."""

    count: int
    rows: Sequence[AnyRow]


@noun
class Sent:
    """A script that the server has got whole."""

    driver: Any

    def finds(self) -> bool:
        """Wait until it has been run; return whether its last statement found rows. Raises what the server reports."""
        results = self.driver.wait(generators.fetch_many(self.driver.pgconn))
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result, encoding=self.driver.info.encoding)
        return bool(results[-1].ntuples)


@define
class Session:
    """A connection, as far as we know what is at its other end."""

    driver: Any
    #: Statement → the name under which the server has it.
    prepared: dict[str, str] = field(factory=dict)
    #: Whether it is known to be one and the same session for all transactions; None: not asked yet.
    is_direct: bool | None = None
    #: What the next script begins with: as it is, …
    opening: Sequence[str] = ()
    #: … and then this.
    settings: Call | None = None

    @classmethod
    def of(cls, connection: Connection) -> Session:
        """Return what is known of *connection*."""
        pooled = connection.connection
        session: Session | None = pooled.info.get(_KEY)
        if session is None:
            session = pooled.info[_KEY] = cls(pooled.dbapi_connection)
        return session

    @property
    def is_in_transaction(self) -> bool:
        """Whether the server is in a transaction, also in one that failed, or does not answer any more."""
        return int(self.driver.info.transaction_status) != _IDLE

    def run(self, calls: Sequence[Call], *, prepare: bool, closing: Sequence[str] = ()) -> list[Answer]:
        """Run *calls*, and then *closing*, as one script; return the answer to each call."""
        before, texts = self._texts(calls, prepare=prepare)
        with self.driver.cursor() as cursor:
            cursor.execute(";".join([*before, *texts, *closing]), prepare=False)
            for _ in before:
                cursor.nextset()
            answers = []
            for call in calls:
                answers.append(Answer(cursor.rowcount, rows_of(call.text, cursor)))
                cursor.nextset()
        return answers

    def send(self, calls: Sequence[Call], *, prepare: bool) -> Sent:
        """Send *calls* as one script, which is a transaction by itself, and return while the server is at it."""
        before, texts = self._texts(calls, prepare=prepare)
        driver = self.driver
        driver.pgconn.send_query(";".join([*before, *texts]).encode(driver.info.encoding))
        driver.wait(generators.send(driver.pgconn))
        return Sent(driver)

    def _texts(self, calls: Sequence[Call], *, prepare: bool) -> tuple[list[str], list[str]]:
        """Return what has to come first, if this is the first script of a transaction, and *calls*."""
        if prepare and self.is_direct is None:
            self.is_direct = _is_direct(self.driver)
        text_of = self._named if prepare and self.is_direct else _inlined
        texts = [text_of(call) for call in calls]
        before = [*self.opening] if self.settings is None else [*self.opening, text_of(self.settings)]
        self.opening, self.settings = (), None
        return before, texts

    def _named(self, call: Call) -> str:
        """Return *call* by the name of its statement, which is prepared if it is not yet."""
        name = self.prepared.get(call.text)
        if name is None:
            if len(self.prepared) >= MOST_PREPARED or not _CAN_BE_PREPARED.match(call.text):
                return _inlined(call)
            name = f"duroxide_{len(self.prepared)}"
            self.driver.execute(f"PREPARE {name} AS {call.text}", prepare=False)
            self.prepared[call.text] = name
        return f"EXECUTE {name}({','.join(call.literals)})" if call.literals else f"EXECUTE {name}"


def _is_direct(driver: Any) -> bool:
    """
    Whether *driver* (a psycopg connection) talks to the session itself that it opened.

    A pooler, which may hand each transaction another session, invents the process id that it sends when a connection is
    opened, since requests to cancel go by it. The server knows its own.
    """
    (server_pid,) = driver.execute("SELECT pg_backend_pid()", prepare=False).fetchone()
    return bool(server_pid == driver.info.backend_pid)


def _inlined(call: Call) -> str:
    """Return *call* with its literals in their places."""
    between, places = _parts(call.text)
    if not places:
        return call.text
    parts = [between[0]]
    for place, text in zip(places, between[1:], strict=True):
        parts += (call.literals[place], text)
    return "".join(parts)


@cache
def _parts(text: str) -> tuple[list[str], list[int]]:
    """Return what stands between the places of *text*, and the literals (from 0) that belong there."""
    pieces = _PLACE.split(text)
    return pieces[::2], [int(number) - 1 for number in pieces[1::2]]
