"""We eat what we cook: every primitive and every example is explored, with everything that may go wrong."""

from __future__ import annotations

import importlib.util
import sys

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from attrs import field, frozen

from duroxide import ActivityContext, Completed, Failed, NotFound, Registry, Running
from duroxide.testing import ANY_TIME, Faults, Simulator, explore

from . import primitives


EXAMPLES = Path(__file__).parent.parent.parent / "examples"

Setup = Callable[[Simulator], object]


def messages(instance_id: str, queue: str, *data: object) -> Setup:
    """Send *data* to a queue, in this order, at any time."""

    def send(sim: Simulator) -> None:
        for each in data:
            sim.enqueue_event(instance_id, queue, each, at=ANY_TIME)

    return send


def events(instance_id: str, name: str, *data: object) -> Setup:
    """Raise events at any time."""

    def send(sim: Simulator) -> None:
        for each in data:
            sim.raise_event(instance_id, name, each, at=ANY_TIME)

    return send


SETUPS: dict[str, Setup] = {
    "continues": messages("continues", "work", "x", "y", "z"),
    "listens": events("listens", "go", 1, 2),
    "reads_queues": lambda sim: (
        messages("reads_queues", "a", 1, 2)(sim),
        messages("reads_queues", "b", 3)(sim),
    ),
    "waits": events("waits", "never", 1),
}
INPUTS: dict[str, object] = {"reports": "nobody", "fails": 3}
#: Events that come before anybody waits for them are lost.
MAY_MISS_ITS_EVENT = {"waits", "listens"}


class TestPrimitives:
    @pytest.mark.parametrize("name", primitives.registry.orchestrations.list_names())
    def test_alone(self, name: str) -> None:
        """Whatever order and whatever goes wrong: decisions replay, no work is lost, and it comes to an end."""
        explore(
            name,
            INPUTS.get(name),
            registry=primitives.registry,
            setup=SETUPS.get(name),
            at_end=[] if name in MAY_MISS_ITS_EVENT else [has_ended(name)],
            max_examples=25,
            max_faults=4,
        )

    @pytest.mark.parametrize("name", ["branches", "children", "cancels", "continues", "retries"])
    def test_cancelled(self, name: str) -> None:
        """The same when it is cancelled, at any time."""

        def setup(sim: Simulator) -> None:
            SETUPS.get(name, lambda _: None)(sim)
            sim.cancel_instance(name, "why", at=ANY_TIME)

        explore(name, registry=primitives.registry, setup=setup, max_examples=25, at_end=[has_ended(name)], seed=1)


def has_ended(instance_id: str) -> Callable[[Simulator], bool]:
    """Return an invariant: the instance has ended."""

    def ended(sim: Simulator) -> bool:
        return not isinstance(sim.status(instance_id), Running | NotFound)

    return ended


def returns(instance_id: str, *expected: object) -> Callable[[Simulator], bool]:
    """Return an invariant: the instance has returned one of *expected*."""

    def returned(sim: Simulator) -> None:
        status = sim.status(instance_id)
        assert isinstance(status, Completed), f"{instance_id} is {status}"
        assert status.output in expected, f"it returned {status.output!r}"

    return returned


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], ModuleType]]:
    """Loads an example as a module."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    before = set(sys.modules)

    def loaded(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"explored_{name}", EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    yield loaded
    for name in set(sys.modules) - before:
        if name.startswith(("explored_", "demo", "shop")):
            del sys.modules[name]


@frozen
class Case:
    """An orchestration of an example, and what is to hold."""

    example: str
    orchestration: str
    input: Callable[[ModuleType], object] = lambda module: None
    #: Names of activities that are slow or print, and what they return.
    fakes: dict[str, object] = field(factory=dict)
    setup: Callable[[ModuleType, Simulator], object] = lambda module, sim: None
    at_end: Sequence[Callable[[Simulator], object]] = ()
    faults: Faults = field(factory=Faults)
    max_steps: int = 120


def fixed(value: object) -> Callable[[ModuleType], object]:
    """Return what gives *value*."""
    return lambda _: value


def queue(instance_id: str, name: str, make: Callable[[ModuleType], Sequence[object]]) -> Callable[..., object]:
    """Send what *make* makes of a module to a queue, at any time."""
    return lambda module, sim: messages(instance_id, name, *make(module))(sim)


NO_FAILURES = Faults(failures=False)

CASES = [
    Case(
        "hello_world", "hello", fixed(["a", "b"]), faults=NO_FAILURES, at_end=[returns("hello", "Hello, a! Hello, b!")]
    ),
    Case("fan_out", "count_all", fixed(["intro", "tutorial"]), {"count_words": 3}),
    Case("fan_out", "count_what_is_there", fixed(["intro", "tutorial"]), {"count_words": 3}),
    Case("fan_out", "count_with_mirror", fixed(["intro"]), {"count_words": 3}),
    Case(
        "human_approval",
        "approve",
        lambda module: module.Expense("desk", 450, timedelta(days=7)),
        setup=lambda module, sim: events("approve", "decision", module.Decision(approved=True, by="Ada"))(sim),
        at_end=[returns("approve", "desk: approved by Ada", "desk: no answer in time, so no")],
    ),
    Case(
        "retry",
        "call",
        fixed("growing pauses"),
        faults=NO_FAILURES,
        at_end=[returns("call", "answered at attempt 3")],
    ),
    *(
        Case("retry", "call", fixed(name), {"hang": "x"}, at_end=[has_ended("call")])
        for name in ("NonRetryableError", "retry_if", "timeout", "total_timeout")
    ),
    Case(
        "eternal_monitor",
        "monitor",
        lambda module: module.Watch(timedelta(seconds=1)),
        setup=lambda module, sim: sim.enqueue_event("monitor", "stop", at=5),
    ),
    Case(
        "chat_mailbox",
        "chat",
        fixed(0),
        setup=queue("chat", "inbox", lambda module: [module.Line("Ada", text) for text in ("so?", "well", "bye")]),
        faults=NO_FAILURES,
    ),
    Case("sub_orchestrations", "report_company", at_end=[has_ended("report_company")], max_steps=200),
    Case(
        "sub_orchestrations",
        "delegate",
        fixed(3),
        setup=lambda module, sim: sim.cancel_instance("delegate", "enough", at=ANY_TIME),
        at_end=[lambda sim: all(isinstance(sim.status(each), Failed) for each in sim.instances)],
    ),
    Case("sessions", "research", lambda module: next(iter(module.BOOKS)), {"find": ("worker", [1])}, max_steps=60),
    Case("tagged_workers", "publish", fixed("cats.mp4")),
    Case(
        "transactional_start", "fulfil", fixed("lamp"), faults=NO_FAILURES, at_end=[returns("fulfil", "lamp shipped")]
    ),
    Case("cancellation", "download_from_fastest", fakes={"download": "file"}),
    Case("cancellation", "download_if_quick", fakes={"download": "file"}),
    Case("management", "launch", at_end=[returns("launch", "lift-off!")]),
]


class TestExamples:
    def test_all_are_here(self) -> None:
        """No example is left out: those that are not in the table have tests of their own below."""
        assert {path.stem for path in EXAMPLES.glob("*.py")} == {case.example for case in CASES} | {
            "order_fulfilment",
            "saga",
            "versioned_upgrade",
        }

    @pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.example}-{case.orchestration}")
    def test_table(self, case: Case, load: Callable[[str], ModuleType]) -> None:
        """The orchestrations of the examples do what they are about, whatever goes wrong."""
        module = load(case.example)
        fakes = {name: lambda ctx, data=None, value=value: value for name, value in case.fakes.items()}
        explore(
            case.orchestration,
            case.input(module),
            registry=module.registry,
            activities=fakes,
            setup=lambda sim: case.setup(module, sim),
            at_end=case.at_end,
            faults=case.faults,
            max_steps=case.max_steps,
            max_examples=20,
        )

    def test_saga(self, load: Callable[[str], ModuleType]) -> None:
        """A trip is booked whole, or not at all, unless a process sleeps through everything and books in its sleep."""
        saga = load("saga")
        booked: set[str] = set()

        def book(ctx: ActivityContext, booking: Any) -> None:
            if booking.what == "car":
                raise LookupError("no cars left")
            booked.add(booking.key)

        def setup(sim: Simulator) -> None:
            booked.clear()
            sim.fake("book", book)
            sim.fake("cancel", lambda ctx, booking: booked.discard(booking.key))

        def nothing_is_left(sim: Simulator) -> None:
            assert "not booked" in sim.result("book_trip")
            assert not booked, f"still booked: {booked}"

        explore(
            "book_trip",
            ["flight", "hotel", "car"],
            registry=saga.registry,
            setup=setup,
            at_end=[nothing_is_left],
            faults=Faults(takeovers=False),
            max_examples=40,
        )

    def test_order_fulfilment(self, load: Callable[[str], ModuleType]) -> None:
        """Nobody pays twice, and whoever does not get everything gets the money back."""
        module = load("order_fulfilment")
        orders, outside = sys.modules["shop.orders"], sys.modules["shop.outside"]
        books: dict[str, int] = {}

        def ship(ctx: ActivityContext, item: Any) -> str:
            if item.sku == "sundial":
                raise outside.OutOfStock(item.sku)
            return f"parcel of {item.sku}"

        def setup(sim: Simulator) -> None:
            books.clear()
            sim.fake("charge", lambda ctx, order: books.update({f"{order.id}/charge": 1}))
            sim.fake("refund", lambda ctx, order: books.update({f"{order.id}/refund": -1}))
            sim.fake("recall_parcels", lambda ctx: None)
            sim.fake("ship", ship)
            sim.raise_event("order", "approval", outside.Decision.APPROVED, at=ANY_TIME)

        def money_is_right(sim: Simulator) -> None:
            outcome = sim.result("order", module.Outcome)
            paid = sum(books.values())
            assert paid == 0, f"{outcome} and paid {paid} times"

        items = (orders.Item("lamp", 1, Decimal(5)), orders.Item("sundial", 1, Decimal(9000)))
        order = orders.Order("A-1", "Ada", "tok", next(iter(orders.Currency)), timedelta(hours=2), items)
        explore(
            "fulfil",
            order,
            registry=module.registry,
            instance_id="order",
            setup=setup,
            at_end=[money_is_right],
            faults=NO_FAILURES,
            max_examples=40,
        )

    def test_versioned_upgrade(self, load: Callable[[str], ModuleType]) -> None:
        """Executions of both versions follow each other in any schedule, and no line is lost or noted twice."""
        module = load("versioned_upgrade")
        registry: Registry = module.new_release

        def all_lines(sim: Simulator) -> None:
            noted = [line.split()[0].lower() for line in sim.result("collect")]
            assert ["one", "two", "three"] == noted

        explore(
            "collect",
            [],
            registry=registry,
            setup=messages("collect", "lines", "one", "two", "three", "end"),
            at_end=[all_lines],
            faults=NO_FAILURES,
            max_examples=40,
        )
