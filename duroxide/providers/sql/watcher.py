"""
Notice what other processes write.

One daemon thread for each database of this process, and only while somebody here waits for something. It stays
for a while after the last subscriber left, since the next one is usually not far.

SQLite: a look at ``PRAGMA data_version``, which costs microseconds, often after a change and seldom in peace. Postgres:
LISTEN, proven to work by a notification of our own, with a slow poll behind it; behind a pooler that loses
notifications, the poll alone, quicker.
"""

from __future__ import annotations

import logging
import os
import selectors
import threading

from collections.abc import Callable, Iterator
from socket import socketpair
from typing import Any, Protocol

from ..._clock import monotonic, new_token
from ..wakeups import Changes, Wakeups
from .database import Database
from .engines import file_of


_log = logging.getLogger("duroxide.provider")

#: Seconds that the thread stays after the last subscriber has left.
LINGER = 5.0

#: How long (seconds) it may take to end: a look at SQLite is short, but a server may be away.
ENDS_WITHIN = 2.0


class Ear(Protocol):
    """One way to hear of foreign changes."""

    def listen(self, stop: threading.Event) -> None:
        """Wait a moment for changes and publish what was heard; not any more once *stop* is set."""
        ...

    def interrupt(self) -> None:
        """End the wait that is under way, after *stop* was set. From another thread."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class Watcher:
    """Runs an ear in a thread, while there are subscribers."""

    def __init__(self, name: str, wakeups: Wakeups, make_ear: Callable[[], Ear]) -> None:
        self._name = name
        self._wakeups = wakeups
        self._make_ear = make_ear
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        self._ear: Ear | None = None

    def start(self) -> None:
        """Watch from now on, if nobody does yet."""
        with self._lock:
            if self._thread is None:
                self._stop = threading.Event()
                try:
                    self._thread = self._begin(self._stop)
                except (RuntimeError, OSError) as error:
                    # The system gives no more threads, or files; the next one who subscribes tries again.
                    _log.warning("what other processes write is found by polling alone for now: %s", error)

    def _begin(self, stop: threading.Event) -> threading.Thread:
        """Return the thread that watches, which has been started. Call it under the lock."""
        ear = self._make_ear()
        thread = threading.Thread(target=self._run, args=(ear, stop), name=self._name, daemon=True)
        try:
            thread.start()
        except BaseException:
            ear.close()
            raise
        self._ear = ear
        return thread

    def stop(self) -> None:
        """Stop watching, and wait for the thread to end, but not for a server that does not answer. Idempotent."""
        with self._lock:
            thread, self._thread = self._thread, None
            self._stop.set()
            if self._ear is not None:
                self._ear.interrupt()
        if thread is not None and thread is not threading.current_thread():
            thread.join(ENDS_WITHIN)
            if thread.is_alive():
                _log.warning("thread %s is left behind", self._name, extra={"action": "left_behind"})

    def _run(self, ear: Ear, stop: threading.Event) -> None:
        wanted_at = monotonic()
        try:
            while not stop.is_set():
                try:
                    ear.listen(stop)
                except Exception:  # noqa: BLE001  # a loop that must go on: waiting clients have nothing else
                    _log.warning("watching %s failed; trying again", self._name, exc_info=True)
                    stop.wait(1.0)
                if self._wakeups.has_subscribers:
                    wanted_at = monotonic()
                elif monotonic() - wanted_at > LINGER and self._leave(stop):
                    return
        finally:
            with self._lock:
                if self._ear is ear:
                    self._ear = None
            ear.close()

    def _leave(self, stop: threading.Event) -> bool:
        """Return whether nobody came back in the last moment."""
        with self._lock:
            if self._wakeups.has_subscribers or stop is not self._stop:
                return False
            self._thread = None
            return True


class DataVersionEar:
    """SQLite: a foreign commit changes the data version that each of our writers sees."""

    #: Seconds between looks, soon after a change and in peace; and how long "soon" is.
    QUICK, SLOW, ALERT = 0.02, 0.25, 3.0

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[int, int] = {}
        self._changed_at = monotonic()
        self._interval = self.QUICK
        self._fresh = True
        self._path = file_of(database.engine.url)
        self._file = _identity(self._path)

    def listen(self, stop: threading.Event) -> None:
        """Look once, and pause."""
        self._check_file()
        if self._look():
            self._changed_at = monotonic()
            self._interval = self.QUICK
            self._database.shared.wakeups.publish_everything()
        elif monotonic() - self._changed_at > self.ALERT:
            self._interval = min(self._interval * 1.5, self.SLOW)
        if self._database.shared.hurry.is_set():
            self._database.shared.hurry.clear()
            self._changed_at, self._interval = monotonic(), self.QUICK
        stop.wait(self._interval)

    def interrupt(self) -> None:
        """Nothing to do: it waits for *stop* itself."""

    def close(self) -> None:
        """Nothing to let go of."""

    def _check_file(self) -> None:
        """Say it once if the file was removed or replaced: nobody else sees what is written to the old one."""
        is_wanted = self._database.shared.wakeups.has_subscribers
        if is_wanted and self._file is not None and _identity(self._path) != self._file:
            self._file = None
            _log.error(
                "the file %s was removed or replaced while it is open here: what this process writes goes to the old one, which"
                " ends with it. End this process, and start it again",
                self._path,
                extra={"action": "file_replaced"},
            )

    def _look(self) -> bool:
        """
        Return whether another process has written.

        With several writers in this process, each sees the others' commits as foreign; what *all* see is.
        """
        shared = self._database.shared
        # Who writes without a pause is to hear of others, too.
        if not shared.write_lock.acquire(timeout=self.SLOW):
            return False
        try:
            now = shared.data_versions()
        finally:
            shared.write_lock.release()
        before, self._seen = self._seen, now
        if self._fresh:
            # What was written between the subscription and this first look would be missed.
            self._fresh = not now
            return True
        known = before.keys() & now.keys()
        return bool(known) and all(before[writer] != now[writer] for writer in known)


def _identity(path: str) -> tuple[int, int] | None:
    """Return what tells the file at *path* from any other; None if there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  # a text is all there is
    except OSError:
        return None
    return found.st_dev, found.st_ino


class NotificationEar:
    """Postgres: LISTEN on a connection of its own."""

    #: Seconds within which our own test notification must arrive.
    TEST = 2.0
    #: Seconds between polls: behind LISTEN, and without it (growing from the first to the second).
    BEHIND, QUICK, SLOW = 5.0, 0.2, 1.0
    #: Longest pause (seconds) before a lost connection is opened again.
    LONGEST_PAUSE = 10.0
    #: How long (seconds) one wait for notifications is.
    PATIENCE = 1.0

    def __init__(self, database: Database, channel: str) -> None:
        self._database = database
        self._channel = channel
        self._driver: Any = None
        self._selector: selectors.BaseSelector
        #: What is written to the second one ends the wait, which also watches the first.
        self._alarm, self._bell = socketpair()
        self._deaf = False
        self._interval = self.QUICK
        self._pause = 0.1
        self._polled_at = monotonic()

    def listen(self, stop: threading.Event) -> None:
        """Wait for notifications, or for the next poll."""
        if self._deaf:
            stop.wait(self._interval)
            self._interval = min(self._interval * 1.2, self.SLOW)
            self._database.shared.wakeups.publish_everything()
            return
        try:
            if self._driver is None:
                self._connect(stop)
            else:
                self._hear(self.PATIENCE)
        except Exception as error:  # noqa: BLE001  # whatever ended the connection, another one is opened
            _log.info(
                "lost the listening connection: %s", " ".join(str(error).split()), extra={"action": "listen_lost"}
            )
            self._disconnect()
            stop.wait(self._pause)
            self._pause = min(self._pause * 2, self.LONGEST_PAUSE)

    def interrupt(self) -> None:
        """End the wait for notifications."""
        self._bell.send(b"!")

    def close(self) -> None:
        """Close the listening connection, and what interrupts it."""
        self._disconnect()
        self._alarm.close()
        self._bell.close()

    def _disconnect(self) -> None:
        driver, self._driver = self._driver, None
        if driver is not None:
            self._selector.close()
            driver.close()

    def _connect(self, stop: threading.Event) -> None:
        """Open a connection, and prove that it hears; what was missed meanwhile is published as everything."""
        connection = self._database.engine.connect()
        connection.detach()
        driver = connection.connection.dbapi_connection
        connection.rollback()
        assert driver is not None
        self._driver = driver
        self._selector = selectors.DefaultSelector()
        self._selector.register(driver.pgconn.socket, selectors.EVENT_READ)
        self._selector.register(self._alarm, selectors.EVENT_READ)
        driver.autocommit = True
        driver.execute(f'LISTEN "{self._channel}"')
        proof = f"{self._database.shared.token}:?{new_token()}"
        self._database.notify(proof)
        deadline = monotonic() + self.TEST
        heard = False
        while not heard and monotonic() < deadline and not stop.is_set():
            heard = any(notification.payload == proof for notification in driver.notifies(timeout=0.1))
        if not heard and not stop.is_set():
            _log.warning(
                "this connection hears no notifications (a pooler in transaction mode?); polling instead",
                extra={"action": "listen_deaf"},
            )
            self._deaf = True
            self._disconnect()
        self._pause = 0.1
        self._database.shared.wakeups.publish_everything()

    def _hear(self, seconds: float) -> None:
        letters = set()
        for payload in self._payloads(seconds):
            sender, _, found = payload.partition(":")
            # A question mark: some process proves that its own connection hears.
            if sender != self._database.shared.token and not found.startswith("?"):
                letters |= set(found)
        self._publish(letters)

    def _payloads(self, seconds: float) -> Iterator[str]:
        """
        Wait up to *seconds* for notifications, and return what they say.

        Not by way of psycopg's ``notifies()``, which runs much Python for each, and most of them are our own.
        """
        pgconn = self._driver.pgconn
        if self._selector.select(seconds):
            pgconn.consume_input()
        while (notification := pgconn.notifies()) is not None:
            yield notification.extra.decode()

    def _publish(self, letters: set[str]) -> None:
        wakeups = self._database.shared.wakeups
        if "i" in letters or monotonic() - self._polled_at > self.BEHIND:
            self._polled_at = monotonic()
            wakeups.publish_everything()
        elif letters:
            wakeups.publish(Changes(messages="m" in letters, activities="a" in letters))
