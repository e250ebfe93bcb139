"""
What all providers of one database share inside this process: the wake-ups, the watcher and, on SQLite, the turn to write.

The registry knows a database by what it is (a path; a host, port, name and schema), so that a client and
a runtime that were given the same URL wake each other.
"""

from __future__ import annotations

import threading

from weakref import WeakValueDictionary

from ..._clock import new_token
from ..wakeups import Wakeups


#: Names this process in notifications, so that it can ignore its own.
PROCESS = new_token()


class SharedDatabase:
    """The in-process half of one database."""

    def __init__(self, *, in_memory: bool = False) -> None:
        #: Held by whoever writes, where the database has one writer at a time.
        self.write_lock = threading.Lock()
        self.wakeups = Wakeups()
        self.in_memory = in_memory


_lock = threading.Lock()
_databases: WeakValueDictionary[str, SharedDatabase] = WeakValueDictionary()


def shared_database(identity: str) -> SharedDatabase:
    """Return what this process shares of the database *identity*."""
    with _lock:
        shared = _databases.get(identity)
        if shared is None:
            shared = _databases[identity] = SharedDatabase()
        return shared
