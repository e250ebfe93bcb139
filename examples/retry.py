"""
Retries: what to try again, how often, with which pauses, and when to stop.

    python examples/retry.py [--database URL]

A `RetryPolicy` belongs to the call: who calls knows how much it matters. Pauses survive a restart, and hold no thread.
"""

from __future__ import annotations

import logging

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


registry = Registry()


@registry.exception  # so that `except CardDeclined` works in orchestrations
class CardDeclined(NonRetryableError):
    """Asking again would not help; so no policy does."""


@registry.activity
def call_flaky_service(ctx: ActivityContext) -> str:
    if ctx.attempt < 3:
        raise ConnectionError("connection reset")
    return f"answered at attempt {ctx.attempt}"


@registry.activity
def charge_card(ctx: ActivityContext) -> str:
    raise CardDeclined("no money left")


@registry.activity
def parse(ctx: ActivityContext) -> str:
    raise ValueError(f"bad data at attempt {ctx.attempt}")


@registry.activity
def hang(ctx: ActivityContext) -> str:
    return f"cancelled: {ctx.wait_cancelled(60)}"  # whoever gives up waiting cancels


#: Durations are timedeltas or seconds.
CALLS = {
    "growing pauses": (call_flaky_service, RetryPolicy(max_attempts=5, backoff=Exponential(base=0.05), jitter=0.2)),
    "too few attempts": (call_flaky_service, RetryPolicy(max_attempts=2, backoff=Fixed(0.05))),
    "NonRetryableError": (charge_card, RetryPolicy(max_attempts=5)),
    "retry_if": (parse, RetryPolicy(max_attempts=5, retry_if=lambda error: isinstance(error, OSError))),
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
        names = {new_id("call"): name for name in CALLS}
        for start in runtime.client.start_orchestrations(call, names):
            print(f"{names[start.instance_id]}: {runtime.client.wait_for_result(start.instance_id, type=str)}")


if __name__ == "__main__":
    main()
