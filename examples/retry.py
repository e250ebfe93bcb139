"""
Retries: what to try again, how often, with which pauses, and when to stop.

    python examples/retry.py [--database URL]

A `RetryPolicy` belongs to the call, not to the activity: who calls knows how much it matters. Each attempt is
in the history, and so is each pause: they survive a restart, and a pause holds no thread.
"""

from __future__ import annotations

import logging

from collections.abc import Callable
from typing import Any

from demo import database, new_id

from duroxide import (
    ActivityContext,
    ActivityFailed,
    Exponential,
    Fixed,
    NonRetryableError,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetryPolicy,
    Runtime,
)


class CardDeclined(NonRetryableError):
    """Asking again would not help; so no policy does."""


registry = Registry()
registry.exception(CardDeclined)  # so that `except CardDeclined` works in orchestrations


@registry.activity
def call_flaky_service(ctx: ActivityContext) -> str:
    if ctx.attempt < 3:
        raise ConnectionError("connection reset")
    return f"answered at attempt {ctx.attempt}"


@registry.activity
def charge_card(ctx: ActivityContext) -> None:
    raise CardDeclined("no money left")


@registry.activity
def parse(ctx: ActivityContext) -> None:
    raise ValueError(f"bad data at attempt {ctx.attempt}")


@registry.activity
def hang(ctx: ActivityContext) -> None:
    ctx.wait_cancelled(60)  # whoever gives up waiting cancels


def is_network_trouble(error: Exception) -> bool:
    return isinstance(error, OSError)


#: Name → what to call, and how often. Durations are timedeltas or seconds.
CALLS: dict[str, tuple[Callable[[Any], Any], RetryPolicy]] = {
    "growing pauses": (call_flaky_service, RetryPolicy(max_attempts=5, backoff=Exponential(base=0.05), jitter=0.2)),
    "too few attempts": (call_flaky_service, RetryPolicy(max_attempts=2, backoff=Fixed(0.05))),
    "NonRetryableError": (charge_card, RetryPolicy(max_attempts=5)),
    "retry_if": (parse, RetryPolicy(max_attempts=5, retry_if=is_network_trouble)),
    "timeout": (hang, RetryPolicy(timeout=0.3)),  # of one attempt; a timeout is not tried again
    "total_timeout": (call_flaky_service, RetryPolicy(backoff=Fixed(10), total_timeout=0.3)),  # with all the pauses
}


@registry.orchestration
def call(ctx: OrchestrationContext, name: str) -> Orchestration[str]:
    activity, policy = CALLS[name]
    try:
        return (yield from ctx.schedule_activity(activity, retry=policy))
    except CardDeclined as error:
        return f"declined: {error}"
    except ActivityFailed as error:
        return f"gave up, attempt {error.details.attempt}: {error.details.type}: {error}"


def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # each retry is a warning in the log; here they are expected
    with database() as url, Runtime(url, registry) as runtime:
        ids = {name: new_id("call") for name in CALLS}
        runtime.client.start_orchestrations(call, {instance_id: name for name, instance_id in ids.items()})
        for name, instance_id in ids.items():
            print(f"{name}: {runtime.client.wait_for_result(instance_id, type=str)}")


if __name__ == "__main__":
    main()
