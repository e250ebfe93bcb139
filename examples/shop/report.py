"""What the program shows: a progress line while it works (on stderr), and the results (on stdout)."""

from __future__ import annotations

import shutil
import sys

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum

from attrs import frozen

from .orders import BadRow, Currency, Order
from .outside import Entry, Kind


class Result(Enum):
    """How an order can end, as the table says it."""

    SHIPPED = "shipped"
    OUT_OF_STOCK = "out of stock"
    DECLINED = "card declined"
    REJECTED = "not approved"
    TIMED_OUT = "nobody approved"
    FAILED = "failed"


@frozen
class Outcome:
    """What became of an order: what its orchestration returns."""

    result: Result
    detail: str
    #: What the customer has paid in the end.
    paid: Decimal = Decimal(0)
    #: How many parcels the customer got.
    parcels: int = 0


class Progress:
    """A line that is rewritten on a terminal; elsewhere, a line for every tenth of the way."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._is_terminal = sys.stderr.isatty()
        self._tenths_shown = -1

    def show(self, done: int, states: Counter[str]) -> None:
        """Show how many orders are done, and how many of the others are in which state."""
        others = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        line = f"{done} of {self._total} orders done" + (f"; {others}" if others else "")
        if self._is_terminal:
            width = shutil.get_terminal_size().columns - 1
            print(f"\r\033[K{line[:width]}", end="", file=sys.stderr, flush=True)
        elif (tenths := 10 * done // max(self._total, 1)) > self._tenths_shown:
            self._tenths_shown = tenths
            print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """End the line, so that what follows does not overwrite it."""
        if self._is_terminal:
            print(file=sys.stderr)


def print_bad_rows(file: str, bad: Sequence[BadRow]) -> None:
    """Say which rows of the CSV file are skipped, and why."""
    for row in bad:
        print(f"skipped {file}, line {row.line}: {row.reason}", flush=True)


def print_results(orders: Sequence[Order], outcomes: Mapping[str, Outcome]) -> None:
    """Print how many orders ended how, what was paid for them, and an example or two of each."""
    by_result = {result: [order for order in orders if outcomes[order.id].result is result] for result in Result}
    print()
    print(f"{'outcome':<16}{'orders':>8}{'parcels':>9}" + "".join(f"{currency.value:>14}" for currency in Currency))
    for result, its_orders in by_result.items():
        if its_orders:
            print(_table_row(result.value, its_orders, outcomes))
    print(_table_row("total", orders, outcomes))

    print()
    print(f"{'for example':<16}{'order':<10}{'customer':<12}{'total':>14}   what happened")
    for result, its_orders in by_result.items():
        for order in its_orders[:2]:
            print(
                f"{result.value:<16}{order.id:<10}{order.customer:<12}{order.price:>14}   {outcomes[order.id].detail}"
            )


def _table_row(title: str, orders: Sequence[Order], outcomes: Mapping[str, Outcome]) -> str:
    parcels = sum(outcomes[order.id].parcels for order in orders)
    paid = dict.fromkeys(Currency, Decimal(0))
    for order in orders:
        paid[order.currency] += outcomes[order.id].paid
    return f"{title:<16}{len(orders):>8}{parcels:>9}" + "".join(f"{amount:>14,.2f}" for amount in paid.values())


def print_books(entries: Iterable[Entry], orders: Sequence[Order], outcomes: Mapping[str, Outcome]) -> bool:
    """Compare the books of the outside world with the *outcomes*; print and return whether they agree."""
    by_order: dict[str, list[Entry]] = {order.id: [] for order in orders}
    for entry in entries:
        if entry.order_id in by_order:
            by_order[entry.order_id].append(entry)

    kinds = Counter(entry.kind for its_entries in by_order.values() for entry in its_entries)
    complaints = [c for order in orders if (c := _complaint(order, by_order[order.id], outcomes[order.id]))]
    print()
    print("books: " + ", ".join(f"{kinds[kind]} {kind.value}s" for kind in Kind))
    for complaint in complaints:
        print(f"  wrong: {complaint}")
    if not complaints:
        print("No order was charged twice, and for each the books say what the table says.")
    return not complaints


def _complaint(order: Order, entries: Sequence[Entry], outcome: Outcome) -> str | None:
    """Return what is wrong with the books about *order*, if anything."""
    count = Counter(entry.kind for entry in entries)
    signs = {Kind.CHARGE: 1, Kind.REFUND: -1}
    paid = sum((signs.get(entry.kind, 0) * entry.amount for entry in entries), Decimal(0))
    parcels = 0 if count[Kind.RECALL] else count[Kind.PARCEL]
    if count[Kind.CHARGE] > 1:
        return f"{order.id} was charged {count[Kind.CHARGE]} times"
    if paid != outcome.paid:
        return f"{order.id} paid {paid}, not {outcome.paid}"
    if parcels != outcome.parcels:
        return f"{order.id} got {parcels} parcels, not {outcome.parcels}"
    return None
