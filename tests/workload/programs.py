"""
What runs while something breaks: an orchestration of every kind, each with an outcome that is easy to foretell.

`outcomes.RESULTS` says what each makes of a number. No trouble of a database or a process changes that: what an
activity does to the database itself, it does under a retry policy, and it may do so more than once.

Rule: nothing of the tests is imported here. `worker.py` is a program, which finds this file beside it.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from duroxide import (
    ActivityContext,
    ActivityFailed,
    Fixed,
    NotFound,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetryPolicy,
    RuntimeOptions,
    SubOrchestrationFailed,
)


#: What a fault leaves locked is soon taken over.
OPTIONS = RuntimeOptions(
    worker_lock_timeout=1.0,
    orchestrator_lock_timeout=1.0,
    session_lock_timeout=1.0,
    cancellation_poll_interval=0.1,
    poll_interval=0.2,
    worker_concurrency=8,
)

#: Outlasts every fault of the tests.
STUBBORN = RetryPolicy(max_attempts=100, backoff=Fixed(0.1))

#: Added to the number of an instance that is sent off.
SENT_OFF = 500_000

registry = Registry()


class Meter:
    """Counts the activities that have begun in this process, and tells who asks."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._begun = 0
        self.tell: Callable[[], object] = lambda: None

    def add(self) -> None:
        """Count one more."""
        with self._condition:
            self._begun += 1
            self._condition.notify_all()
        self.tell()

    @property
    def begun(self) -> int:
        """How many have begun so far."""
        return self._begun

    def wait_for(self, more: int, since: int, timeout: float = 30.0) -> None:
        """Wait until so many *more* than *since* have begun."""
        with self._condition:
            assert self._condition.wait_for(lambda: self._begun >= since + more, timeout), "nothing begins any more"


meter = Meter()


@registry.activity
def step(ctx: ActivityContext, number: int) -> int:
    """Add one, in a few milliseconds."""
    meter.add()
    ctx.wait_cancelled(0.01)
    return number + 1


@registry.activity
def flaky(ctx: ActivityContext, number: int) -> int:
    """Add one at the third attempt."""
    meter.add()
    if ctx.attempt < 3:
        raise ConnectionError(f"attempt {ctx.attempt}")
    return number + 1


@registry.activity
def trip(ctx: ActivityContext, number: int) -> int:
    """Fail."""
    meter.add()
    msg = f"tripped over {number}"
    raise ValueError(msg)


@registry.activity
def linger(ctx: ActivityContext) -> None:
    """Do nothing for half a second, or until nobody wants it."""
    meter.add()
    ctx.wait_cancelled(0.5)


#: Each message that an activity sends is another one, so that one that is there twice was not sent twice.
_letters = count()


def letter(ctx: ActivityContext, text: object) -> dict[str, object]:
    """Return a message that says *text*, and that nobody else has ever sent."""
    return {"text": text, "letter": f"{ctx.worker_id}/{next(_letters)}"}


@registry.activity
def tell(ctx: ActivityContext, number: int) -> int:
    """Raise an event for the instance that calls."""
    meter.add()
    ctx.client.raise_event(ctx.instance_id, "said", letter(ctx, number))
    return number + 1


@registry.activity
def speak(ctx: ActivityContext, to: tuple[str, int]) -> bool:
    """Raise an event for another instance, if that waits for it."""
    meter.add()
    instance_id, turn = to
    status = ctx.client.get_orchestration_status(instance_id)
    is_heard = not isinstance(status, NotFound) and status.custom_status_version > turn
    if is_heard:
        ctx.client.raise_event(instance_id, f"word {turn}", letter(ctx, f"word {turn}"))
    return is_heard


@registry.activity
def dismiss(ctx: ActivityContext, instance_id: str) -> None:
    """Cancel another instance."""
    meter.add()
    ctx.client.cancel_instance(instance_id, "dismissed")


@registry.orchestration
def sequence(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Eight steps, one after the other."""
    for _ in range(8):
        number = yield from ctx.schedule_activity(step, number)
    return number


@registry.orchestration
def fan_out(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Eight steps side by side."""
    return sum((yield from ctx.join(*(ctx.schedule_activity(step, number + i) for i in range(8)))))


@registry.orchestration
def race(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """Race a step with a slow timer, a quick timer with an event that never comes, and a branch with a timer."""
    first = yield from ctx.select(ctx.schedule_activity(step, number), ctx.schedule_timer(3600))
    second = yield from ctx.select(ctx.schedule_wait("never"), ctx.schedule_timer(0.02))
    third = yield from ctx.select(ctx.schedule_timer(3600), two_steps(ctx, first.value))
    return [first.index, second.index, third.index, third.value]


def two_steps(ctx: OrchestrationContext, number: int) -> Iterator[Any]:
    """Take two steps."""
    number = yield from ctx.schedule_activity(step, number)
    return (yield from ctx.schedule_activity(step, number))


@registry.orchestration
def pauses(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Three steps with timers between them."""
    for _ in range(3):
        yield from ctx.schedule_timer(0.05)
        number = yield from ctx.schedule_activity(step, number)
    return number


@registry.orchestration
def family(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """Two children at once."""
    children = (ctx.schedule_sub_orchestration(sequence, number + i) for i in range(2))
    return list((yield from ctx.join(*children)))


@registry.orchestration
def again(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """A step in each of four executions."""
    done = ctx.get_kv_value("done") or 0
    number = yield from ctx.schedule_activity(step, number)
    if done < 3:
        ctx.set_kv_value("done", done + 1)
        yield from ctx.continue_as_new(number)
    return number


@registry.orchestration
def read(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
    """Two different messages of a queue, with a step after each; who sends them may have to do so twice."""
    words: list[str] = []
    while len(words) < 2:
        word = (yield from ctx.dequeue_event("words"))["text"]
        if word not in words:
            words.append(word)
            number = yield from ctx.schedule_activity(step, number)
    return [number, *words]


@registry.orchestration
def told(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """An event, raised by an activity of one's own."""
    said = ctx.schedule_wait("said")
    answer = yield from ctx.schedule_activity(tell, number, retry=STUBBORN)
    return [(yield from said)["text"], answer]


@registry.orchestration
def talk(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
    """Talk to a child that listens, when it does."""
    name = f"{ctx.instance_id}-listener"
    child = ctx.schedule_sub_orchestration(listen, number, instance_id=name)
    for turn in range(2):
        while not (yield from ctx.schedule_activity(speak, (name, turn), retry=STUBBORN)):
            yield from ctx.schedule_timer(0.1)
    return list((yield from child))


@registry.orchestration
def listen(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
    """Two events, with a status that says when they are waited for, and a step after each."""
    heard = []
    for turn in range(2):
        wait = ctx.schedule_wait(f"word {turn}")
        ctx.set_custom_status(f"listening {turn}")
        heard.append((yield from wait)["text"])
        number = yield from ctx.schedule_activity(step, number)
    return [number, *heard]


@registry.orchestration
def send_off(ctx: OrchestrationContext, number: int) -> Orchestration[str]:
    """An instance of its own, which nobody waits for, between two steps."""
    yield from ctx.schedule_activity(step, number)
    sent = yield from ctx.schedule_orchestration(sequence, f"sequence-{number + SENT_OFF}", number + SENT_OFF)
    yield from ctx.schedule_activity(step, number)
    return sent


@registry.orchestration
def stay(ctx: OrchestrationContext, number: int) -> Orchestration[None]:
    """Wait for what never comes, beside a slow activity and a timer."""
    ctx.schedule_timer(3600)
    yield from ctx.join(ctx.schedule_wait("never"), ctx.schedule_activity(linger))


@registry.orchestration
def call_off(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Race a child that stays and a slow activity with a timer, and cancel another activity."""
    ctx.cancel(ctx.schedule_activity(linger))
    yield from ctx.select(
        ctx.schedule_sub_orchestration(stay, number), ctx.schedule_activity(linger), ctx.schedule_timer(0.05)
    )
    return (yield from ctx.schedule_activity(step, number))


@registry.orchestration
def send_away(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Start an instance that stays, and cancel it from outside when it is under way."""
    name = yield from ctx.schedule_orchestration(stay, f"stay-{number}", number)
    number = yield from ctx.schedule_activity(step, number)
    yield from ctx.schedule_timer(0.05)
    yield from ctx.schedule_activity(dismiss, name, retry=STUBBORN)
    return number


@registry.orchestration
def fall(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Fail, as the activity does, after a step."""
    number = yield from ctx.schedule_activity(step, number)
    return (yield from ctx.schedule_activity(trip, number))


@registry.orchestration
def stumble(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
    """Get over an activity that fails and a child that fails."""
    failed = []
    try:
        yield from ctx.schedule_activity(trip, number)
    except ActivityFailed as failure:
        failed.append(failure.details.message)
    try:
        yield from ctx.schedule_sub_orchestration(fall, number)
    except SubOrchestrationFailed as failure:
        failed.append(failure.details.message)
    return [(yield from ctx.schedule_activity(step, number)), *failed]


@registry.orchestration
def persist(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """A flaky activity under a retry policy, beside a step."""
    flaked = ctx.schedule_activity(flaky, number, retry=RetryPolicy(max_attempts=3, backoff=Fixed(0.02)))
    return list((yield from ctx.join(flaked, ctx.schedule_activity(step, number))))


@registry.orchestration
def remember(ctx: OrchestrationContext, number: int) -> Orchestration[dict[str, int]]:
    """Two key-values, a step between them, and a status."""
    ctx.set_kv_value("first", number)
    ctx.set_custom_status("half")
    ctx.set_kv_value("second", (yield from ctx.schedule_activity(step, number)))
    return ctx.get_kv_all_values()


@registry.orchestration
def together(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Three steps of one session."""
    for _ in range(3):
        number = yield from ctx.schedule_activity(step, number, session_id=f"session-{number % 3}")
    return number
