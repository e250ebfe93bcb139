"""
What all providers of one database share in this process: the wake-ups, the watcher and, on SQLite, the turn to write.

The registry knows a database by what it is (a path; a host, port, name and schema), so that a client and
a runtime that were given the same URL wake each other.
"""

from __future__ import annotations

import threading

from collections.abc import Sequence
from typing import Protocol
from weakref import WeakSet, WeakValueDictionary, ref

from sqlalchemy import Connection, Engine, event

from ..._clock import new_token
from ..._nouns import frozen
from ..forking import in_child
from ..wakeups import Wakeups
from .inheritance import INHERITANCE


class Connected(Protocol):
    """A provider's way to the database."""

    engine: Engine

    def writer_version(self) -> int | None:
        """Return SQLite's data version as its writer sees it. Hold the write lock."""
        ...


class Watching(Protocol):
    """Whatever notices the changes of other processes."""

    def start(self) -> None:
        """Watch from now on."""
        ...

    def stop(self) -> None:
        """Stop watching."""
        ...


@frozen
class _Member:
    """An open provider, as long as somebody has it: one that was dropped is no member, though it was never closed."""

    database: ref[Connected]
    watcher: ref[Watching] | None

    def living_watcher(self) -> Watching | None:
        """Return its watcher, if it has one and is still there."""
        return None if self.watcher is None else self.watcher()


class SharedDatabase:
    """The in-process half of one database."""

    def __init__(self, *, in_memory: bool = False) -> None:
        #: Held by whoever writes, where the database has one writer at a time.
        self.write_lock = threading.Lock()
        self.wakeups = Wakeups()
        #: Names the sender of notifications, so that our listener can ignore what `wakeups` has been told. Not the process: a
        #: database that it knows by two names is two to it.
        self.token = new_token()
        self.in_memory = in_memory
        #: Set when a caller's own transaction commits, so that the watcher looks soon.
        self.hurry = threading.Event()
        self._lock = threading.Lock()
        self._members: dict[int, _Member] = {}
        self._watching: ref[Watching] | None = None
        self.wakeups.when_subscribed(self._watch)
        _made.add(self)

    def join(self, number: int, database: Connected, watcher: Watching | None) -> None:
        """Add an open provider, which holds *database* and *watcher*."""
        member = _Member(ref(database), None if watcher is None else ref(watcher))
        with self._lock:
            there = {other: each for other, each in self._members.items() if each.database() is not None}
            self._members = {**there, number: member}

    def leave(self, number: int) -> None:
        """Remove a provider that closes; if it was the one that watched, another one takes over."""
        with self._lock:
            members = dict(self._members)
            member = members.pop(number, None)
            self._members = members
            watcher = None if member is None else member.living_watcher()
            watched = watcher is not None and watcher is self._watcher_now()
            if watched:
                self._watching = None
        if watcher is not None and watched:
            watcher.stop()
            if self.wakeups.has_subscribers:
                self._watch()

    def data_versions(self) -> dict[int, int]:
        """Return what the writer of each provider sees. Hold the write lock."""
        databases = {number: member.database() for number, member in self._members.items()}
        versions = {number: each.writer_version() for number, each in databases.items() if each is not None}
        return {number: version for number, version in versions.items() if version is not None}

    def begin_as_child(self) -> Sequence[Connected]:
        """Forget all of the parent's, whose threads may have held any lock; return what was open."""
        members, self._members = self._members, {}
        self.write_lock, self._lock = threading.Lock(), threading.Lock()
        self._watching = None
        self.token = new_token()
        self.wakeups.begin_as_child()
        return [database for member in members.values() if (database := member.database()) is not None]

    def _watcher_now(self) -> Watching | None:
        return None if self._watching is None else self._watching()

    def _watch(self) -> None:
        with self._lock:
            watching = self._watcher_now()
            if watching is None:
                living = (member.living_watcher() for member in self._members.values())
                watching = next((watcher for watcher in living if watcher is not None), None)
                self._watching = None if watching is None else ref(watching)
        if watching is not None:
            watching.start()


_lock = threading.Lock()
_made: WeakSet[SharedDatabase] = WeakSet()
_databases: WeakValueDictionary[str, SharedDatabase] = WeakValueDictionary()
#: Callers' connections that we listen to.
_heard: WeakSet[Connection] = WeakSet()


def shared_database(identity: str) -> SharedDatabase:
    """Return what this process shares of the database *identity*."""
    with _lock:
        shared = _databases.get(identity)
        if shared is None:
            shared = _databases[identity] = SharedDatabase()
        return shared


def hurry_when_committed(connection: Connection, identity: str) -> None:
    """Have the watcher of *identity* look soon, whenever *connection* commits. Once for each connection is enough."""
    with _lock:
        if connection in _heard:
            return
        _heard.add(connection)
    # It stays as long as the connection, and so knows nobody: who is there then, is looked up when it happens.
    event.listen(connection, "commit", lambda _: _hurry(identity))


def _hurry(identity: str) -> None:
    shared = _databases.get(identity)
    if shared is not None:
        shared.hurry.set()


def _begin_as_child() -> None:
    """Share nothing with the parent."""
    global _lock  # noqa: PLW0603  # a thread of the parent may have held it
    _lock = threading.Lock()
    identities = {shared: identity for identity, shared in _databases.items()}
    for shared in tuple(_made):
        for database in shared.begin_as_child():
            INHERITANCE.take(identities.get(shared), database, database.engine)
    _databases.clear()


in_child(_begin_as_child)
