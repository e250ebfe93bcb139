"""The caller's own transaction: what users pass as ``connection=``."""

from __future__ import annotations

import sys

from typing import Any

from sqlalchemy import Connection, TwoPhaseTransaction
from sqlalchemy.exc import InvalidRequestError

from ...errors import InvalidInput


def connection_of(given: Any) -> Connection:
    """
    Return *given*, or the Connection that it works on if it is a Session.

    Raises:
        InvalidInput: If it is neither, or cannot be used any more.
    """
    # Whoever has a Session has imported it; we never do.
    orm = sys.modules.get("sqlalchemy.orm")
    if orm is not None and isinstance(given, (orm.Session, orm.scoped_session)):
        try:
            return _open(given.connection())
        except InvalidRequestError as error:
            msg = f"connection={given!r} cannot be used: {error} Roll it back, or give it an engine."
            raise InvalidInput(msg) from error
    if not isinstance(given, Connection):
        msg = (
            f"connection={given!r}: give the SQLAlchemy Connection or Session whose transaction is to hold the message,"
            " or leave it out."
        )
        raise InvalidInput(msg)
    return _open(given)


def _open(connection: Connection) -> Connection:
    if connection.closed:
        msg = f"connection={connection!r} is closed: call within the `with` that opens it."
        raise InvalidInput(msg)
    if isinstance(connection.get_transaction(), TwoPhaseTransaction):
        msg = (
            f"connection={connection!r} is in a two-phase transaction, which Postgres prepares only if nobody is notified"
            " of it. Use a transaction of one phase."
        )
        raise InvalidInput(msg)
    return connection
