"""One small orchestration for each primitive, to be explored."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from duroxide import (
    ActivityContext,
    ActivityFailed,
    Exponential,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetryPolicy,
    SubOrchestrationFailed,
)


registry = Registry()


@registry.activity
def double(ctx: ActivityContext, number: int) -> int:
    """Twice the number."""
    return 2 * number


@registry.activity
def stumble(ctx: ActivityContext, attempts: int) -> int:
    """Fail until the attempt *attempts*."""
    if ctx.attempt < attempts:
        message = f"attempt {ctx.attempt}"
        raise ConnectionError(message)
    return ctx.attempt


@registry.activity
async def later(ctx: ActivityContext, text: str) -> str:
    """Say it, asynchronously."""
    return text


@registry.activity
def tell(ctx: ActivityContext, to: str) -> None:
    """Send a message to another instance."""
    ctx.client.enqueue_event(to, "told", ctx.instance_id)


@registry.orchestration
def sequence(ctx: OrchestrationContext) -> Orchestration[int]:
    """Do one activity after the other."""
    number = 1
    for _ in range(3):
        number = yield from ctx.schedule_activity(double, number)
    return number


@registry.orchestration
def timers(ctx: OrchestrationContext) -> Orchestration[float]:
    """Wait twice."""
    before = ctx.utc_now()
    yield from ctx.schedule_timer(timedelta(days=30))
    yield from ctx.schedule_timer(0)
    return (ctx.utc_now() - before).total_seconds()


@registry.orchestration
def joins(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    """Do several things at once."""
    calls = [ctx.schedule_activity(double, number) for number in range(3)]
    results = yield from ctx.join(*calls, ctx.schedule_timer(10), return_exceptions=True)
    return [str(result) for result in results]


@registry.orchestration
def races(ctx: OrchestrationContext) -> Orchestration[list[int]]:
    """Take the first of several, twice."""
    first = yield from ctx.select(ctx.schedule_activity(double, 1), ctx.schedule_timer(5))
    second = yield from ctx.select(ctx.schedule_timer(60), ctx.schedule_activity(double, 2), cancel_losers=False)
    return [first.index, second.index]


def _two_steps(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    try:
        number = yield from ctx.schedule_activity(double, number)
        yield from ctx.schedule_timer(number)
        return (yield from ctx.schedule_activity(double, number))
    finally:
        ctx.set_kv_value(f"ended {number}", number)


@registry.orchestration
def branches(ctx: OrchestrationContext) -> Orchestration[int]:
    """Race branches of several steps, inside a join."""
    race = ctx.select(_two_steps(ctx, 1), _two_steps(ctx, 2), ctx.schedule_timer(600))
    winner, _ = yield from ctx.join(race, ctx.schedule_activity(double, 3))
    return winner.index


@registry.orchestration
def child(ctx: OrchestrationContext, number: int = 0) -> Orchestration[int]:
    """A child."""
    return (yield from ctx.schedule_activity(double, number))


@registry.orchestration
def children(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    """Two children, and one that loses a race."""
    both = yield from ctx.join(
        ctx.schedule_sub_orchestration(child, 1),
        ctx.schedule_sub_orchestration(child, 2, instance_id="second"),
        return_exceptions=True,
    )
    winner = yield from ctx.select(ctx.schedule_sub_orchestration(waits), ctx.schedule_timer(60))
    return [*map(str, both), winner.index]


@registry.orchestration
def waits(ctx: OrchestrationContext) -> Orchestration[Any]:
    """Wait for an event."""
    return (yield from ctx.schedule_wait("never"))


@registry.orchestration
def detaches(ctx: OrchestrationContext) -> Orchestration[str]:
    """Start an independent instance, and wait for a word from it."""
    ctx.schedule_orchestration(reports, "reporter", ctx.instance_id)
    return (yield from ctx.dequeue_event("told"))


@registry.orchestration
def reports(ctx: OrchestrationContext, to: str) -> Orchestration[None]:
    """Send a word to another instance."""
    yield from ctx.schedule_activity(tell, to, retry=RetryPolicy(max_attempts=10))


@registry.orchestration
def continues(ctx: OrchestrationContext, round_: int = 0) -> Orchestration[Any]:
    """Go on in three executions, with messages that arrive at any time, and what the last round left."""
    ctx.set_kv_value(f"round {round_}", ctx.new_guid())
    message = yield from ctx.dequeue_event("work")
    ctx.set_custom_status(f"{ctx.get_custom_status() or ''}{message}")
    if round_ < 2:
        yield from ctx.continue_as_new(round_ + 1)
    return [ctx.get_custom_status(), ctx.get_kv_length()]


@registry.orchestration
def listens(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    """Wait for events, one with a deadline."""
    first = yield from ctx.schedule_wait("go")
    both = yield from ctx.select(ctx.schedule_wait("go"), ctx.schedule_timer(3600))
    return [first, both.index]


@registry.orchestration
def reads_queues(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    """Read two queues, in any order of arrival."""
    return (yield from ctx.join(ctx.dequeue_event("a"), ctx.dequeue_event("b"), ctx.dequeue_event("a")))


@registry.orchestration
def keeps(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    """Set, read, clear and prune key-values between waits."""
    ctx.set_kv_value("a", 1)
    ctx.set_kv_value("b", 2)
    yield from ctx.schedule_timer(1)
    ctx.clear_kv_value("a")
    ctx.set_kv_value("c", ctx.random.random())
    yield from ctx.schedule_activity(double, 1)
    ctx.prune_kv_values_updated_before(ctx.utc_now() - timedelta(days=1))
    other = yield from ctx.get_kv_value_from_instance(ctx.instance_id, "b")
    return [ctx.get_kv_all_keys(), other]


@registry.orchestration
def cancels(ctx: OrchestrationContext) -> Orchestration[str]:
    """Give up an activity, a child and a wait, and go on."""
    call, asked, wish = (
        ctx.schedule_activity(double, 1),
        ctx.schedule_sub_orchestration(waits),
        ctx.schedule_wait("wish"),
    )
    yield from ctx.schedule_timer(1)
    for each in (call, asked, wish):
        ctx.cancel(each)
    return (yield from ctx.schedule_activity(later, "went on", retry=RetryPolicy(max_attempts=10)))


@registry.orchestration
def retries(ctx: OrchestrationContext) -> Orchestration[int]:
    """Retry with growing pauses and time-outs."""
    policy = RetryPolicy(max_attempts=6, backoff=Exponential(base=1, maximum=60), timeout=45, total_timeout=3600)
    return (yield from ctx.schedule_activity(stumble, 3, retry=policy))


@registry.orchestration
def catches(ctx: OrchestrationContext) -> Orchestration[str]:
    """Go on after failures of an activity and of a child."""
    seen = []
    for attempt in range(2):
        try:
            yield from ctx.schedule_activity(stumble, 9)
        except ActivityFailed as error:
            seen.append(error.details.type or "")
        try:
            yield from ctx.schedule_sub_orchestration(fails, attempt)
        except SubOrchestrationFailed:
            seen.append("child")
    return ",".join(seen)


@registry.orchestration
def fails(ctx: OrchestrationContext, number: int) -> Orchestration[None]:
    """Fail with work open."""
    ctx.schedule_activity(double, number)
    ctx.schedule_wait("never")
    yield from ctx.schedule_timer(1)
    message = f"as promised: {number}"
    raise ValueError(message)


@registry.orchestration
def in_sessions(ctx: OrchestrationContext) -> Orchestration[list[int]]:
    """Activities of one session, and tagged ones."""
    session = ctx.new_guid()
    calls = [ctx.schedule_activity(double, number, session_id=session) for number in range(2)]
    return (yield from ctx.join(*calls, ctx.schedule_activity(double, 5, tag="gpu")))
