"""
What runs while something breaks: an orchestration of every kind, each with a result that is easy to foretell.

`RESULTS` says what each makes of a number. None of them fails, whatever happens to the database: what an activity
does to the database itself, it does under a retry policy.
"""

from __future__ import annotations

import threading

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from duroxide import (
    ActivityContext,
    Client,
    Fixed,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetryPolicy,
    RuntimeOptions,
    SqlProvider,
)
from duroxide._core import events as e


#: What each orchestration makes of a number.
RESULTS: Mapping[str, Callable[[int], object]] = {
    "sequence": lambda n: n + 8,
    "fan_out": lambda n: 8 * (n + 1) + 28,
    "race": lambda n: [0, 1, 1, n + 3],
    "pauses": lambda n: n + 3,
    "family": lambda n: [n + 8, n + 9],
    "again": lambda n: n + 4,
    "read": lambda n: [n + 2, "word 0", "word 1"],
    "told": lambda n: [n, n + 1],
    "persist": lambda n: [n + 1, n + 1],
    "remember": lambda n: {"first": n, "second": n + 1},
    "together": lambda n: n + 3,
}

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

registry = Registry()


class Meter:
    """Counts the activities that have begun in this process."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._begun = 0

    def add(self) -> None:
        """Count one more."""
        with self._condition:
            self._begun += 1
            self._condition.notify_all()

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
def tell(ctx: ActivityContext, number: int) -> int:
    """Raise an event for the instance that calls."""
    meter.add()
    ctx.client.raise_event(ctx.instance_id, "said", number)
    return number + 1


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
    """Two messages of a queue, with a step after each."""
    words = []
    for _ in range(2):
        words.append((yield from ctx.dequeue_event("words")))
        number = yield from ctx.schedule_activity(step, number)
    return [number, *words]


@registry.orchestration
def told(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """An event, raised by an activity of one's own."""
    said = ctx.schedule_wait("said")
    answer = yield from ctx.schedule_activity(tell, number, retry=STUBBORN)
    return [(yield from said), answer]


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


def start_one_of_each(client: Client, number: int) -> list[str]:
    """Start an instance of every kind; return their ids."""
    ids = [f"{kind}-{number}" for kind in RESULTS]
    for instance_id, kind in zip(ids, RESULTS, strict=True):
        client.start_orchestration(instance_id, kind, number)
    for turn in range(2):
        client.enqueue_event(f"read-{number}", "words", f"word {turn}")
    return ids


def check(provider: SqlProvider, ids: Sequence[str], patience: float = 40.0) -> None:
    """Every instance has the right result, every answer is in history once, and nothing is left over."""
    client = Client(provider)
    for instance_id in ids:
        kind, number = instance_id.split("-")
        assert client.wait_for_result(instance_id, patience) == RESULTS[kind](int(number)), instance_id
        for execution in client.list_executions(instance_id).items:
            _check_history(client.read_execution_history(instance_id, execution.execution_id))
    assert provider.audit() == []


def _check_history(history: Sequence[e.Event]) -> None:
    """Each activity was answered exactly once, everything else at most once, and nothing follows the end."""
    scheduled = {event.event_id for event in history if isinstance(event, e.ActivityScheduled)}
    answers = Counter(event.source_event_id for event in history if isinstance(event, e.CompletionEvent))
    assert scheduled <= set(answers)
    assert set(answers.values()) <= {1}
    assert [event.event_id for event in history] == list(range(1, len(history) + 1))
    assert sum(isinstance(event, e.TERMINAL_EVENTS) for event in history) == 1
