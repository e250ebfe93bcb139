"""
A saga: several steps that belong together, and if one of them fails, those before it are undone.

    python examples/saga.py [--database URL]

There is no transaction over three companies' systems, so each step gets a second one that makes up for it. To write
that down needs nothing but a list and `except`: the orchestration goes on after a crash wherever it was, in the
middle of undoing too, so a trip never stays half booked.
"""

from __future__ import annotations

from attrs import frozen
from demo import database, new_id

from duroxide import (
    ActivityContext,
    ActivityFailed,
    Exponential,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetryPolicy,
    Runtime,
)


#: To give up undoing would leave the trip half booked, so that is tried for as long as it takes.
UNTIL_IT_WORKS = RetryPolicy(max_attempts=1_000_000, backoff=Exponential(base=0.1, maximum=60))


@frozen
class Booking:
    """One part of a trip. The key makes booking it twice the same as booking it once."""

    what: str
    key: str


registry = Registry()


@registry.activity
def book(ctx: ActivityContext, booking: Booking) -> None:
    if booking.what.startswith("car"):
        raise LookupError("no cars left")
    print(f"  booked {booking.what}")


@registry.activity
def cancel(ctx: ActivityContext, booking: Booking) -> None:
    """Undo a booking; nothing happens if it was never made."""
    print(f"  cancelled {booking.what}")


@registry.orchestration
def book_trip(ctx: OrchestrationContext, parts: list[str]) -> Orchestration[str]:
    to_undo: list[Booking] = []
    try:
        for part in parts:
            booking = Booking(part, key=f"{ctx.instance_id}/{part}")
            # Noted before it is tried: an attempt that failed may have booked all the same.
            to_undo.append(booking)
            yield from ctx.schedule_activity(book, booking)
    except ActivityFailed as failure:
        for booking in reversed(to_undo):
            yield from ctx.schedule_activity(cancel, booking, retry=UNTIL_IT_WORKS)
        return f"not booked: {failure}"
    return f"booked: {', '.join(parts)}"


def main() -> None:
    with database() as url, Runtime(url, registry) as runtime:
        for parts in (["flight to Rome", "hotel"], ["flight to Oslo", "hotel", "car"]):
            trip = new_id("trip")
            runtime.client.start_orchestration(trip, book_trip, parts)
            print(runtime.client.wait_for_result(trip, type=str))


if __name__ == "__main__":
    main()
