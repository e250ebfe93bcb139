"""What must have become of the instances of `programs`, whatever broke meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count

from attrs import frozen

from duroxide import Client, Completed, Failed
from duroxide.events import (
    TERMINAL_EVENTS,
    ActivityScheduled,
    CompletionEvent,
    Event,
    ExternalEvent,
    QueueEventDelivered,
)
from duroxide.providers.contract import Provider
from duroxide.providers.management import InstanceFilter

from .programs import SENT_OFF


@frozen
class Fails:
    """The outcome of an instance that ends Failed, with an error that says *message*."""

    message: str


#: What each kind of orchestration that is started makes of a number.
RESULTS: Mapping[str, Callable[[int], object]] = {
    "sequence": lambda n: n + 8,
    "fan_out": lambda n: 8 * (n + 1) + 28,
    "race": lambda n: [0, 1, 1, n + 3],
    "pauses": lambda n: n + 3,
    "family": lambda n: [n + 8, n + 9],
    "again": lambda n: n + 4,
    "read": lambda n: [n + 2, "word 0", "word 1"],
    "told": lambda n: [n, n + 1],
    "talk": lambda n: [n + 2, "word 0", "word 1"],
    "persist": lambda n: [n + 1, n + 1],
    "remember": lambda n: {"first": n, "second": n + 1},
    "together": lambda n: n + 3,
    "send_off": lambda n: f"sequence-{n + SENT_OFF}",
    "call_off": lambda n: n + 1,
    "send_away": lambda n: n + 1,
    "fall": lambda n: Fails(f"tripped over {n + 1}"),
    "stumble": lambda n: [n + 1, f"tripped over {n}", f"tripped over {n + 1}"],
}

#: … and of those that are started by another one.
FURTHER: Mapping[str, Callable[[int], object]] = {"stay": lambda _: Fails("dismissed")}

_letters = count()


def start_one_of_each(client: Client, number: int) -> list[str]:
    """Start an instance of every kind; return their ids, and those of the instances that they will start."""
    for kind in RESULTS:
        client.start_orchestration(f"{kind}-{number}", kind, number)
    for turn in range(2):
        send_word(client, number, turn)
    return ids_of(number)


def send_word(client: Client, number: int, turn: int) -> None:
    """Send one of the two messages that ``read`` waits for. Sending it again is another message that says the same."""
    client.enqueue_event(f"read-{number}", "words", {"text": f"word {turn}", "letter": next(_letters)})


def ids_of(number: int) -> list[str]:
    """Return the ids of the instances of *number*, with an outcome of their own."""
    return [*(f"{kind}-{number}" for kind in RESULTS), f"sequence-{number + SENT_OFF}", f"stay-{number}"]


def expected(instance_id: str) -> object:
    """Return what must become of an instance."""
    kind, _, number = instance_id.rpartition("-")
    return {**RESULTS, **FURTHER}[kind](int(number))


def outcome(status: Completed | Failed) -> object:
    """Return what became of an instance."""
    return status.output if isinstance(status, Completed) else Fails(status.details.message)


def check(provider: Provider, ids: Sequence[str], patience: float = 40.0) -> None:
    """Every instance has the right outcome, every answer is in history once, and nothing is left over."""
    client = Client(provider)
    for instance_id in ids:
        status = client.wait_for_orchestration(instance_id, patience)
        assert outcome(status) == expected(instance_id), instance_id
    for instance_id in every_instance(client):
        client.wait_for_orchestration(instance_id, patience)  # children that were cancelled may take a moment
        assert [] == history_faults(client, instance_id)
    assert [] == list(provider.audit())


def every_instance(client: Client) -> Iterator[str]:
    """Yield the ids of all instances, children included."""
    cursor: str | None = None
    while True:
        page = client.list_instances(InstanceFilter(), limit=500, cursor=cursor)
        yield from (info.instance_id for info in page)
        if page.cursor is None:
            return
        cursor = page.cursor


def history_faults(client: Client, instance_id: str) -> list[str]:
    """Return what is wrong with the histories of all executions of an instance that has ended."""
    return [
        f"{instance_id}, execution {execution.execution_id}: {fault}"
        for execution in client.list_executions(instance_id).items
        for fault in _faults(client.read_execution_history(instance_id, execution.execution_id))
    ]


def _faults(history: Sequence[Event]) -> Iterator[str]:
    """Every answer is there once, every message once, the ids have no gap, and there is one end, which is last."""
    answers = Counter(event.source_event_id for event in history if isinstance(event, CompletionEvent))
    letters = Counter(event.data for event in history if isinstance(event, ExternalEvent | QueueEventDelivered))
    for what, counted in (("answer to", answers), ("message", letters)):
        yield from (f"{what} {key} is there {times} times" for key, times in counted.items() if times > 1)
    if [event.event_id for event in history] != list(range(1, len(history) + 1)):
        yield "its ids are not 1, 2, 3 …"
    ends = [event for event in history if isinstance(event, TERMINAL_EVENTS)]
    if len(ends) != 1 or not isinstance(history[-1], TERMINAL_EVENTS):
        yield f"it has {len(ends)} ends"


def activities_in(client: Client, instance_id: str) -> int:
    """Return how many activities are in the histories of an instance."""
    return sum(
        isinstance(event, ActivityScheduled)
        for execution in client.list_executions(instance_id).items
        for event in client.read_execution_history(instance_id, execution.execution_id)
    )
