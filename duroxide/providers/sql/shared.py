"""
What all providers of one database share in this process: the wake-ups, the watcher and, on SQLite, the turn to write.

The registry knows a database by what it is (a path; a host, port, name and schema), so that a client and
a runtime that were given the same URL wake each other.
"""

from __future__ import annotations

import threading

from collections.abc import Callable
from typing import Protocol
from weakref import WeakValueDictionary

from ..._clock import new_token
from ..wakeups import Wakeups


class Watching(Protocol):
    """Whatever notices the changes of other processes."""

    def start(self) -> None:
        """Watch from now on."""
        ...

    def stop(self) -> None:
        """Stop watching."""
        ...


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
        # For each open provider: how to see SQLite's data version, and how to watch on its connections.
        self._members: dict[int, tuple[Callable[[], int | None], Watching | None]] = {}
        self._watching: Watching | None = None
        self.wakeups.when_subscribed(self._watch)

    def join(self, member: int, data_version: Callable[[], int | None], watcher: Watching | None) -> None:
        """Add an open provider."""
        with self._lock:
            self._members = {**self._members, member: (data_version, watcher)}

    def leave(self, member: int) -> None:
        """Remove a provider that closes; if it was the one that watched, another one takes over."""
        with self._lock:
            members = dict(self._members)
            _, watcher = members.pop(member, (None, None))
            self._members = members
            watched = watcher is not None and watcher is self._watching
            if watched:
                self._watching = None
        if watcher is not None and watched:
            watcher.stop()
            if self.wakeups.has_subscribers:
                self._watch()

    def data_versions(self) -> dict[int, int]:
        """Return what the writer of each provider sees. Hold the write lock."""
        versions = {member: data_version() for member, (data_version, _) in self._members.items()}
        return {member: version for member, version in versions.items() if version is not None}

    def _watch(self) -> None:
        with self._lock:
            if self._watching is None:
                self._watching = next((watcher for _, watcher in self._members.values() if watcher is not None), None)
            watching = self._watching
        if watching is not None:
            watching.start()


_lock = threading.Lock()
_databases: WeakValueDictionary[str, SharedDatabase] = WeakValueDictionary()


def shared_database(identity: str) -> SharedDatabase:
    """Return what this process shares of the database *identity*."""
    with _lock:
        shared = _databases.get(identity)
        if shared is None:
            shared = _databases[identity] = SharedDatabase()
        return shared
