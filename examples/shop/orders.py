"""Orders: what they are, and how they are read from a CSV file, row by row, the malformed ones set aside."""

from __future__ import annotations

import csv

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from pathlib import Path

from attrs import evolve, frozen


#: From this total on, in whichever currency, somebody has to approve the order.
LARGE = Decimal(1000)

COLUMNS = ("order_id", "customer", "card", "currency", "approve_within_s", "items")


class Currency(Enum):
    """What the shop takes."""

    EUR = "EUR"
    USD = "USD"
    CHF = "CHF"


@frozen
class Item:
    """One line of an order; *price* is for one piece."""

    sku: str
    quantity: int
    price: Decimal


@frozen
class Order:
    """What a customer wants. It travels through the database as JSON, and comes back as an Order."""

    id: str
    customer: str
    card: str
    currency: Currency
    #: An approval that comes later than this is of no use to the customer any more.
    approve_within: timedelta
    items: tuple[Item, ...]

    @property
    def total(self) -> Decimal:
        """What it costs."""
        return sum((item.quantity * item.price for item in self.items), Decimal(0))

    @property
    def is_large(self) -> bool:
        """Whether somebody has to approve it."""
        return self.total >= LARGE

    @property
    def price(self) -> str:
        """What it costs, for people."""
        return f"{self.total:,.2f} {self.currency.value}"

    def hurried(self, speed: float) -> Order:
        """Return the same order in a world where everything goes *speed* times as fast."""
        return evolve(self, approve_within=self.approve_within / speed)


@frozen
class BadRow:
    """A row that is no order."""

    line: int
    reason: str


def read_orders(path: Path) -> tuple[list[Order], list[BadRow]]:
    """
    Return the orders in *path*, and the rows that are none.

    Raises:
        ValueError: If the file as a whole is no list of orders.
    """
    orders: dict[str, Order] = {}
    bad: list[BadRow] = []
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        if missing := set(COLUMNS) - set(rows.fieldnames or ()):
            msg = f"{path} has no column {', '.join(sorted(missing))}: its first line must name {', '.join(COLUMNS)}."
            raise ValueError(msg)
        for row in rows:
            try:
                order = parse_order(row)
                if order.id in orders:
                    bad.append(BadRow(rows.line_num, f"order {order.id!r} is in the file already"))
                orders.setdefault(order.id, order)
            except ValueError as error:
                bad.append(BadRow(rows.line_num, str(error)))
    return list(orders.values()), bad


def parse_order(row: Mapping[str, str | None]) -> Order:
    """
    Return the order in *row*.

    Raises:
        ValueError: If it is not one; the message says why.
    """
    if missing := [column for column in COLUMNS if row.get(column) is None]:
        msg = f"the row is too short: no {', '.join(missing)}"
        raise ValueError(msg)
    cells = {column: str(row[column]).strip() for column in COLUMNS}
    if empty := [column for column in COLUMNS if not cells[column]]:
        msg = f"{', '.join(empty)} is empty"
        raise ValueError(msg)
    return Order(
        id=cells["order_id"],
        customer=cells["customer"],
        card=cells["card"],
        currency=parse_currency(cells["currency"]),
        approve_within=timedelta(seconds=float(_positive("approve_within_s", cells["approve_within_s"]))),
        items=parse_items(cells["items"]),
    )


def parse_currency(text: str) -> Currency:
    """Return the currency that *text* names."""
    if text not in Currency.__members__:
        msg = f"unknown currency {text!r}, not one of {', '.join(Currency.__members__)}"
        raise ValueError(msg)
    return Currency[text]


def parse_items(text: str) -> tuple[Item, ...]:
    """Return the items of a cell such as ``lamp 2 x 19.90 | chair 1 x 45.00``."""
    items = tuple(_parse_item(part.strip()) for part in text.split("|"))
    if len({item.sku for item in items}) < len(items):
        msg = f"an article is listed twice in {text!r}"
        raise ValueError(msg)
    return items


def _parse_item(text: str) -> Item:
    match text.split():
        case [sku, quantity, "x", price]:
            return Item(sku, _whole(f"quantity of {sku}", quantity), _positive(f"price of {sku}", price))
        case _:
            msg = f"item {text!r} does not look like 'lamp 2 x 19.90'"
            raise ValueError(msg)


def _positive(what: str, text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and number > 0):
        msg = f"{what} is {text!r}, not a positive number"
        raise ValueError(msg)
    return number


def _whole(what: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        msg = f"{what} is {text!r}, not a whole number from 1 on"
        raise ValueError(msg)
    return int(text)
