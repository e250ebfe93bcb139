"""
A few hundred orders, from the CSV file to the last parcel, through crashes of the program.

    python examples/order_fulfilment.py [--database URL] [--csv FILE] [--speed N] [--limit N]

Each order is one orchestration, `fulfil`: large orders wait for an approval, the card is charged at a payment
provider that often fails, the items are shipped in parallel, and if one of them is out of stock, parcels and
money go back. Kill the program at any moment, even with SIGKILL, and start it again: it goes on where it was,
and ends with the same table. To begin afresh, delete order_fulfilment*.db.

What is simulated, and the books that show that nobody was charged twice, is in `shop/outside.py`.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from shop.orders import Item, Order, read_orders
from shop.outside import CardDeclined, Decision, OutOfStock, OutsideWorld, decide
from shop.report import Outcome, Progress, Result, print_bad_rows, print_books, print_results

from duroxide import (
    ActivityContext,
    Client,
    Completed,
    DuroxideError,
    Exponential,
    Failed,
    NotFound,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    RetryPolicy,
    Runtime,
    RuntimeOptions,
)


#: What a waiting order shows to the approver.
WAITING = "waiting for approval"

#: Network trouble passes. A declined card is a NonRetryableError, and not tried again.
PATIENTLY = RetryPolicy(max_attempts=8, backoff=Exponential(base=0.05, maximum=1))

#: The work of a killed process is taken up when its locks expire. The defaults (5 s and 30 s) ask less of slow
#: machines; here somebody is watching. And whoever likes to kill this program should not make an order look like
#: the culprit: after max_attempts (by default 10), work that was taken up and never finished is given up.
OPTIONS = RuntimeOptions(orchestrator_lock_timeout=3, worker_lock_timeout=3, poll_interval=1, max_attempts=1000)

#: How often the orders are looked at, in seconds.
LOOK_EVERY = 0.25

registry = Registry()
registry.exception(CardDeclined)
registry.exception(OutOfStock)

outside = OutsideWorld()


# Activities do what can fail. After a crash one may run again, so each passes on a key that says what it is
# about: the order (which is the instance), and what is done for it.


@registry.activity
def charge(ctx: ActivityContext, order: Order) -> None:
    outside.charge(order, key=f"{order.id}/charge", attempt=ctx.attempt)


@registry.activity
def refund(ctx: ActivityContext, order: Order) -> None:
    outside.refund(order, key=f"{order.id}/refund")


@registry.activity
def ship(ctx: ActivityContext, item: Item) -> str:
    return outside.ship(ctx.instance_id, item.sku, key=f"{ctx.instance_id}/ship/{item.sku}")


@registry.activity
def recall_parcels(ctx: ActivityContext) -> None:
    outside.recall(ctx.instance_id, key=f"{ctx.instance_id}/recall")


# Orchestrations decide what is done, and see nothing of crashes.


@registry.orchestration
def fulfil(ctx: OrchestrationContext, order: Order) -> Orchestration[Outcome]:
    """Fulfil one order, and return what became of it."""
    if order.is_large:
        decision = yield from wait_for_decision(ctx, order)
        if decision is None:
            return Outcome(Result.TIMED_OUT, "no answer in time")
        if decision is Decision.REJECTED:
            return Outcome(Result.REJECTED, f"{order.price} is too much")

    ctx.set_custom_status("charging")
    try:
        yield from ctx.schedule_activity(charge, order, retry=PATIENTLY)
    except CardDeclined as error:
        return Outcome(Result.DECLINED, str(error))

    ctx.set_custom_status("shipping")
    try:
        parcels = yield from ctx.join(*(ctx.schedule_activity(ship, item) for item in order.items))
    except OutOfStock as error:
        ctx.set_custom_status("refunding")
        yield from ctx.join(ctx.schedule_activity(recall_parcels), ctx.schedule_activity(refund, order))
        return Outcome(Result.OUT_OF_STOCK, f"{error}; all parcels recalled, money refunded")
    return Outcome(Result.SHIPPED, " ".join(parcels), paid=order.total, parcels=len(parcels))


def wait_for_decision(ctx: OrchestrationContext, order: Order) -> Orchestration[Decision | None]:
    """Wait for the approver, but not for ever: None if there was no answer in time."""
    approval = ctx.schedule_wait("approval", type=Decision)
    deadline = ctx.schedule_timer(order.approve_within)
    ctx.set_custom_status(WAITING)
    winner = yield from ctx.select(approval, deadline)
    return winner.value


# The program around them: starts what is not there yet, plays the approver, and reports.


def start_all(client: Client, orders: Sequence[Order], speed: float) -> None:
    """Start an orchestration for each order; those that an earlier run has started go on by themselves."""
    starts = client.start_orchestrations(fulfil, {order.id: order.hurried(speed) for order in orders})
    new = sum(start.is_new for start in starts)
    print(f"{new} orders are new, {len(starts) - new} were started by an earlier run", file=sys.stderr)


def watch(client: Client, orders: Sequence[Order]) -> dict[str, Outcome]:
    """Show progress and answer orders that wait for approval, until every order is done; return the outcomes."""
    progress = Progress(len(orders))
    outcomes: dict[str, Outcome] = {}
    answered: set[str] = set()
    try:
        while True:
            states: Counter[str] = Counter()
            for order in orders:
                if order.id not in outcomes:
                    states[look_at(client, order, outcomes, answered)] += 1
            del states["done"]
            progress.show(len(outcomes), states)
            if len(outcomes) == len(orders):
                return outcomes
            time.sleep(LOOK_EVERY)
    finally:
        progress.close()


def look_at(client: Client, order: Order, outcomes: dict[str, Outcome], answered: set[str]) -> str:
    """Note the outcome of *order* if there is one, approve it if it waits for that, and return its state."""
    status = client.get_orchestration_status(order.id)
    if isinstance(status, NotFound):
        return "queued"
    if isinstance(status, Completed | Failed):
        outcomes[order.id] = outcome_of(client, order)
        return "done"
    if status.custom_status == WAITING and order.id not in answered:
        # A killed program may have answered already: orders that wait no longer ignore a second answer.
        if (decision := decide(order)) is not None:
            client.raise_event(order.id, "approval", decision)
        answered.add(order.id)
    return status.custom_status or "starting"


def outcome_of(client: Client, order: Order) -> Outcome:
    """Return what became of an *order* whose orchestration has ended."""
    try:
        return client.wait_for_result(order.id, type=Outcome)
    except OrchestrationFailed as error:
        return Outcome(Result.FAILED, str(error))


def run(arguments: argparse.Namespace) -> bool:
    """Fulfil the orders and report; return whether everything is as it should be."""
    orders, bad_rows = read_orders(arguments.csv)
    orders = orders[: arguments.limit]
    print_bad_rows(arguments.csv.name, bad_rows)
    outside.speed = arguments.speed
    with outside.books.open(arguments.books):
        with Runtime(arguments.database, registry, OPTIONS) as runtime:
            start_all(runtime.client, orders, arguments.speed)
            outcomes = watch(runtime.client, orders)

        print_results(orders, outcomes)
        return print_books(outside.books.entries(), orders, outcomes)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Fulfil the orders of a CSV file, through crashes.")
    parser.add_argument("--database", default="sqlite:///order_fulfilment.db", help="SQLite or Postgres URL")
    parser.add_argument("--books", type=Path, default=Path("order_fulfilment_books.db"), help="the outside's file")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("orders.csv"), help="the orders")
    parser.add_argument("--speed", type=speed, default=1.0, help="run the outside world N times as fast (1 to 100)")
    parser.add_argument("--limit", type=int, help="take only the first N orders")
    return parser.parse_args()


def speed(text: str) -> float:
    # Faster, and an approval that has a day's time would not have long enough any more.
    if not 0.1 <= float(text) <= 100:
        msg = "must be from 0.1 to 100"
        raise argparse.ArgumentTypeError(msg)
    return float(text)


def main() -> int:
    arguments = parse_arguments()
    # Each retry is a warning. Here they are expected, and would tear the progress line.
    logging.basicConfig(level=logging.ERROR)
    try:
        return 0 if run(arguments) else 1
    except KeyboardInterrupt:
        print("Stopped. Run the same command again to go on.", file=sys.stderr)
        return 130
    except (DuroxideError, OSError, ValueError) as error:
        print(f"order_fulfilment: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
