"""
The outside world, simulated: a flaky payment provider, a warehouse, an approver, and the books they keep.

Rule 1: what happens depends on the order alone (and, for the payment provider, on the number of the attempt),
never on chance or time, so that every run ends with the same results.

Rule 2: whoever asks twice with the same key gets the same answer, and the books have one entry. That is what
makes activities safe to run again after a crash; real payment providers offer the same.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path

from attrs import frozen

from duroxide import NonRetryableError

from .orders import Order


DECLINED_CARD = "tok_declined"
SOLD_OUT = frozenset({"sundial", "barometer"})

#: Orders over this much are never approved.
APPROVAL_LIMIT = Decimal(5000)
#: The approver looks at the list now and then: what needs an answer sooner than this gets none.
APPROVER_NEEDS = timedelta(hours=1)


class CardDeclined(NonRetryableError):
    """The bank said no: asking again would not help."""


class OutOfStock(Exception):
    """The warehouse does not have it."""


class Decision(Enum):
    """What the approver may say."""

    APPROVED = "approved"
    REJECTED = "rejected"


class Kind(Enum):
    """What the books have entries for."""

    CHARGE = "charge"
    REFUND = "refund"
    PARCEL = "parcel"
    RECALL = "recall"


@frozen
class Entry:
    """One line of the books. *requests* says how often it was asked for."""

    key: str
    kind: Kind
    order_id: str
    amount: Decimal
    requests: int


class Books:
    """The truth about money and parcels, in an SQLite file that has nothing to do with duroxide's. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    @contextmanager
    def open(self, path: Path) -> Iterator[None]:
        """Use the books in *path*, which are begun if there are none, until the end of the block."""
        with closing(sqlite3.connect(path, timeout=60, check_same_thread=False)) as self._connection:
            self._connection.execute("PRAGMA journal_mode = WAL")
            with self._connection:
                self._connection.execute(
                    "CREATE TABLE IF NOT EXISTS entries (key TEXT PRIMARY KEY, kind TEXT NOT NULL, order_id TEXT NOT NULL,"
                    " amount TEXT NOT NULL, requests INTEGER NOT NULL)"
                )
            yield
        self._connection = None

    def enter(self, key: str, kind: Kind, order_id: str, amount: Decimal = Decimal(0)) -> None:
        """Make an entry, unless there is one with this *key*; count the request."""
        with self._lock, self._opened() as connection:
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?, 1) ON CONFLICT (key) DO UPDATE SET requests = requests + 1",
                (key, kind.value, order_id, str(amount)),
            )

    def entries(self) -> Sequence[Entry]:
        """Return all entries, in the order of their keys."""
        with self._lock:
            rows = self._opened().execute("SELECT * FROM entries ORDER BY key").fetchall()
        return [
            Entry(key, Kind(kind), order_id, Decimal(amount), requests)
            for key, kind, order_id, amount, requests in rows
        ]

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            msg = "the books are closed: call open() first"
            raise RuntimeError(msg)
        return self._connection


class OutsideWorld:
    """Everything that is not ours. It takes its time, divided by *speed*."""

    def __init__(self) -> None:
        self.books = Books()
        self.speed = 1.0

    def charge(self, order: Order, *, key: str, attempt: int) -> None:
        """
        Take the order's total off its card, once for each *key*.

        Raises:
            CardDeclined: If the bank says no.

            ConnectionError: Now and then; sometimes before, sometimes after the money was taken.
        """
        luck = dice(order.id, "charge", attempt)
        self._take_time(order.id, "charge", attempt)
        if order.card == DECLINED_CARD:
            msg = f"the bank declined {order.card}"
            raise CardDeclined(msg)
        if luck < 0.2:
            msg = "the payment provider is not reachable"
            raise ConnectionError(msg)
        self.books.enter(key, Kind.CHARGE, order.id, order.total)
        if luck < 0.3:
            msg = "the connection broke before the payment provider answered"
            raise ConnectionError(msg)

    def refund(self, order: Order, *, key: str) -> None:
        """Give the order's total back, once for each *key*."""
        self._take_time(order.id, "refund")
        self.books.enter(key, Kind.REFUND, order.id, order.total)

    def ship(self, order_id: str, sku: str, *, key: str) -> str:
        """
        Send one item of an order off, once for each *key*, and return the parcel's number.

        Raises:
            OutOfStock: If there is none left.
        """
        self._take_time(order_id, "ship", sku)
        if sku in SOLD_OUT:
            msg = f"{sku} is sold out"
            raise OutOfStock(msg)
        self.books.enter(key, Kind.PARCEL, order_id)
        return f"P{int(dice(order_id, sku) * 1e8):08}"

    def recall(self, order_id: str, *, key: str) -> None:
        """Call all parcels of an order back, once for each *key*."""
        self._take_time(order_id, "recall")
        self.books.enter(key, Kind.RECALL, order_id)

    def _take_time(self, *what: object) -> None:
        time.sleep((0.1 + 0.4 * dice("time", *what)) / self.speed)


def decide(order: Order) -> Decision | None:
    """Return what the approver says about *order*; None if nobody looks at it in time."""
    if order.approve_within < APPROVER_NEEDS:
        return None
    return Decision.REJECTED if order.total > APPROVAL_LIMIT else Decision.APPROVED


def dice(*what: object) -> float:
    """Return a number from 0 to 1 that looks like chance, but is always the same for the same *what*."""
    return random.Random("/".join(map(str, what))).random()
