"""
What a child that was forked has from its parent: connections that it must leave alone.

They are kept as they are, until the child ends: closing one, or collecting it as garbage, would say goodbye to the server in
the parent's name. And an SQLite file that the parent had open is closed to the child, even by new connections: SQLite keeps
account of the locks of its process in memory, which was copied, while the locks themselves were not.
"""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.pool import NullPool, Pool

from ...errors import ProviderError


class Inheritance:
    """What the ancestors of this process had open at the fork. Changed only then."""

    def __init__(self) -> None:
        self._kept: list[object] = []
        self._pools: list[Pool] = []
        self._identities: set[str] = set()

    def take(self, identity: str | None, owner: object, engine: Engine) -> None:
        """Add the connections of *owner*, to the database *identity* (None: to nothing that can be opened again)."""
        self._kept.append(owner)
        if not isinstance(engine.pool, NullPool):  # that one never keeps any
            self._pools.append(engine.pool)
        if identity is not None:
            self._identities.add(identity)

    def check(self, identity: str, engine: Engine) -> None:
        """
        Refuse to open a database in a way that does not work here.

        Raises:
            ProviderError: If it is an SQLite file that the parent had open, or if *engine* lends the parent's connections.
        """
        if engine.dialect.name == "sqlite" and identity in self._identities:
            message = (
                f"{engine.url.database!r} was open when this process was forked, and SQLite cannot carry that over. Start"
                " the process by multiprocessing's 'spawn' or 'forkserver', or close every Client and Runtime on the"
                " file before the fork."
            )
            raise ProviderError("connect", message, retryable=False)
        if any(engine.pool is pool for pool in self._pools):
            message = (
                f"the Engine for {engine.url!r} was used before this process was forked, and its connections are the"
                " parent's. Call engine.dispose(close=False) in the child first."
            )
            raise ProviderError("connect", message, retryable=False)


#: The one of this process.
INHERITANCE = Inheritance()
