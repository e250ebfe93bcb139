"""Key-values: an instance's own small state, readable by everybody."""

from __future__ import annotations

import threading

from datetime import timedelta
from typing import Any

import pytest

from attrs import frozen

from duroxide import (
    ActivityContext,
    ActivityFailed,
    Client,
    LimitExceeded,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    PayloadError,
    Registry,
    WaitTimeout,
)
from duroxide._core import events as e
from duroxide._core import limits

from .stage import HOUR_MS, PATIENCE, Stage


@frozen
class Seat:
    """A value with a shape."""

    row: int
    letter: str


@pytest.fixture
def writer(registry: Registry) -> Any:
    """Sets ``key`` to each message of its queue, until there is none (null)."""

    @registry.orchestration
    def writer(ctx: OrchestrationContext) -> Orchestration[None]:
        count = 0
        while (value := (yield from ctx.dequeue_event("values"))) is not None:
            count += 1
            ctx.set_kv_value("key", value)
            ctx.set_custom_status(str(count))

    return writer


class TestReading:
    def test_by_the_client(self, stage: Stage, registry: Registry, writer: Any) -> None:
        """[354] [368] Clients read what was set last, while the instance runs and after it; what is missing is None."""
        client = stage.client
        stage.start()
        client.start_orchestration("w", writer)
        assert client.get_kv_value("w", "key") is None
        for number, value in enumerate(({"a": [1, 2]}, "text")):
            client.enqueue_event("w", "values", value)
            stage.until_status("w", number)
            assert client.get_kv_value("w", "key") == value
        client.enqueue_event("w", "values", None)
        stage.result("w")

        assert client.get_kv_value("w", "key") == "text"
        assert client.get_kv_value("w", "other") is None
        assert client.get_kv_value("unknown", "key") is None
        assert client.get_kv_all_values("w") == {"key": "text"}
        assert client.get_kv_all_values("unknown") == {}

    def test_in_code(self, stage: Stage, registry: Registry) -> None:
        """[356] [367] [375] Code reads what it set, in later turns and after a restart; keys and values may be odd."""

        @registry.orchestration
        def remember(ctx: OrchestrationContext) -> Orchestration[Any]:
            ctx.set_kv_value("", "")
            ctx.set_kv_value("ключ/🔑", {"nested": [None, 1.5, "é"]})
            ctx.set_kv_value("gone", 1)
            yield from ctx.schedule_timer(0)
            ctx.clear_kv_value("gone")
            ctx.clear_kv_value("never there")
            ctx.set_custom_status("half")
            yield from ctx.schedule_wait("go on")
            before = ctx.get_kv_all_values()
            ctx.clear_all_kv_values()
            ctx.set_kv_value("gone", 2)
            return [before, ctx.get_kv_all_keys(), ctx.get_kv_length(), ctx.get_kv_value("gone"), ctx.get_kv_value("")]

        first = stage.start()
        stage.client.start_orchestration("r", remember)
        stage.until_status("r")
        first.shutdown()
        stage.client.raise_event("r", "go on")
        stage.start()

        before = {"": "", "ключ/🔑": {"nested": [None, 1.5, "é"]}}
        assert stage.result("r") == [before, ["gone"], 1, 2, None]
        assert stage.client.get_kv_all_values("r") == {"gone": 2}

    def test_shapes(self, stage: Stage, registry: Registry) -> None:
        """[357] Values come as the type asked for; the wrong type is an error that can be caught."""

        @registry.orchestration
        def sit(ctx: OrchestrationContext) -> Orchestration[Any]:
            ctx.set_kv_value("seat", Seat(7, "B"))
            yield from ctx.schedule_timer(0)
            seat = ctx.get_kv_value("seat", type=Seat)
            assert isinstance(seat, Seat)
            try:
                ctx.get_kv_value("seat", type=int)
            except PayloadError as error:
                return [seat.row, "seat" in str(error)]

        stage.start()

        assert stage.run("sit", sit) == [7, True]
        assert stage.client.get_kv_value("sit", "seat", type=Seat) == Seat(7, "B")
        assert stage.client.get_kv_value("sit", "none", type=Seat) is None
        with pytest.raises(PayloadError):
            stage.client.get_kv_value("sit", "seat", type=int)

    @pytest.mark.usefixtures("nobody_looks_again")
    def test_waiting(self, stage: Stage, registry: Registry, writer: Any) -> None:
        """[353] [354] A client is woken when a key appears, in another provider too; if it never does, it is told."""
        other = Client(stage.open())
        seen: list[Any] = []
        waiter = threading.Thread(target=lambda: seen.append(other.wait_for_kv_value("w", "key", PATIENCE)))
        stage.start()
        stage.client.start_orchestration("w", writer)
        waiter.start()
        stage.client.enqueue_event("w", "values", [1])
        waiter.join(PATIENCE)

        assert seen == [[1]]
        assert other.wait_for_kv_value("w", "key", 0, type=list) == [1]
        with pytest.raises(WaitTimeout, match=r"'w' did not set key 'other' within 0\.01 s"):
            other.wait_for_kv_value("w", "other", timedelta(milliseconds=10))
        stage.client.enqueue_event("w", "values", None)
        stage.result("w")

    def test_of_another_instance(self, stage: Stage, registry: Registry, writer: Any) -> None:
        """[359] [361] An instance reads another one's live values, and its own committed ones; missing is None."""

        @registry.orchestration
        def read(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
            ctx.set_kv_value("mine", "own")
            yield from ctx.schedule_timer(0)
            first = yield from ctx.get_kv_value_from_instance("w", "key")
            others = yield from ctx.join(
                ctx.get_kv_value_from_instance("w", "missing"),
                ctx.get_kv_value_from_instance("unknown", "key"),
                ctx.get_kv_value_from_instance(ctx.instance_id, "mine"),
            )
            ctx.set_custom_status("read once")
            yield from ctx.schedule_wait("again")
            return [first, *others, (yield from ctx.get_kv_value_from_instance("w", "key"))]

        stage.start()
        stage.client.start_orchestration("w", writer)
        stage.client.enqueue_event("w", "values", {"n": 1})
        stage.until_status("w")
        stage.client.start_orchestration("r", read)
        stage.until_status("r")
        stage.client.enqueue_event("w", "values", {"n": 2})
        stage.until_status("w", 1)
        stage.client.raise_event("r", "again")

        assert stage.result("r") == [{"n": 1}, None, None, "own", {"n": 2}]
        stage.client.enqueue_event("w", "values", None)
        stage.result("w")


class TestLimits:
    def test_keys(self, stage: Stage, registry: Registry) -> None:
        """[362] As many keys as the limit are fine, also after clearing all; one more fails the instance."""
        most = limits.MAX_KV_KEYS

        @registry.orchestration
        def fill(ctx: OrchestrationContext, extra: int) -> Orchestration[int]:
            for number in range(most):
                ctx.set_kv_value(f"old {number}", number)
            yield from ctx.schedule_timer(0)
            ctx.clear_all_kv_values()
            for number in range(most + extra):
                ctx.set_kv_value(f"new {number}", number)
            return ctx.get_kv_length()

        stage.start()

        assert stage.run("fits", fill, 0) == most
        with pytest.raises(OrchestrationFailed, match=f"KV key count {most + 1} exceeds limit of {most}"):
            stage.run("too-many", fill, 1)
        assert len(stage.client.get_kv_all_values("fits")) == most

    def test_over_turns(self, stage: Stage, registry: Registry) -> None:
        """[362] [654] Keys of earlier turns count, too; the error can be caught, and then nothing was set."""

        @registry.orchestration
        def fill(ctx: OrchestrationContext) -> Orchestration[Any]:
            for turn in range(4):
                for number in range(60):
                    try:
                        ctx.set_kv_value(f"{turn} {number}", number)
                    except LimitExceeded:
                        return [turn, number, ctx.get_kv_length()]
                yield from ctx.schedule_timer(0)

        stage.start()

        assert stage.run("fill", fill) == [2, 30, 150]
        assert len(stage.client.get_kv_all_values("fill")) == 150

    def test_size(self, stage: Stage, registry: Registry) -> None:
        """[615] A value of exactly the limit is stored, one byte more is an error that names key, size and limit."""

        @registry.orchestration
        def put(ctx: OrchestrationContext) -> Orchestration[str]:
            ctx.set_kv_value("big", "x" * limits.MAX_KV_VALUE_BYTES)
            yield from ctx.schedule_timer(0)
            ctx.set_kv_value("big", "y" * (limits.MAX_KV_VALUE_BYTES + 1))
            return "fine"

        stage.start()

        with pytest.raises(OrchestrationFailed, match="KV value size of 'big' of 65537 bytes exceeds limit of 65536"):
            stage.run("put", put)
        assert stage.client.get_kv_value("put", "big")[:2] == "xx"


class TestLife:
    def test_after_failure(self, stage: Stage, registry: Registry) -> None:
        """[364] What was set is readable after a failure; what a failing turn sets is, too."""

        @registry.orchestration
        def fail(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_kv_value("first", 1)
            yield from ctx.schedule_timer(0)
            ctx.set_kv_value("second", 2)
            raise ValueError

        stage.start()
        with pytest.raises(OrchestrationFailed):
            stage.run("fail", fail)

        assert stage.client.get_kv_all_values("fail") == {"first": 1, "second": 2}

    def test_deletion(self, stage: Stage, registry: Registry) -> None:
        """[364] Deleting an instance removes its values and those of its children."""

        @registry.orchestration
        def child(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_kv_value("key", "child's")
            yield from ctx.join()

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[None]:
            ctx.set_kv_value("key", "parent's")
            yield from ctx.schedule_sub_orchestration(child, instance_id="child")

        stage.start()
        stage.run("parent", parent)
        assert stage.client.get_kv_value("child", "key") == "child's"
        stage.client.delete_instance("parent")

        assert [stage.client.get_kv_all_values(each) for each in ("parent", "child")] == [{}, {}]

    def test_pruned_executions(self, stage: Stage, registry: Registry) -> None:
        """[365] Values that only executions that are pruned set survive them."""

        @registry.orchestration
        def chain(ctx: OrchestrationContext) -> Orchestration[Any]:
            ctx.set_kv_value(f"execution {ctx.execution_id}", ctx.execution_id)
            yield from ctx.schedule_timer(0)
            if ctx.execution_id < 3:
                yield ctx.continue_as_new()
            return ctx.get_kv_all_values()

        stage.start()
        values = stage.run("chain", chain)
        stage.client.prune_executions("chain", keep_last=1)

        assert values == {f"execution {number}": number for number in range(1, 4)}
        assert stage.client.get_kv_all_values("chain") == values
        assert [each.execution_id for each in stage.client.list_executions("chain").items] == [3]

    def test_counters(self, stage: Stage, registry: Registry) -> None:
        """[374] [165] Read, change, write: in every turn and over executions the total is right."""

        @registry.orchestration
        def count(ctx: OrchestrationContext) -> Orchestration[int]:
            for _ in range(4):
                ctx.set_kv_value("count", (ctx.get_kv_value("count") or 0) + 1)
                yield from ctx.schedule_timer(0)
            if ctx.execution_id < 3:
                yield ctx.continue_as_new()
            return ctx.get_kv_value("count", type=int) or 0

        stage.start()

        assert stage.run("count", count) == 12
        assert stage.client.get_kv_value("count", "count") == 12

    def test_cleared_for_the_next(self, stage: Stage, registry: Registry) -> None:
        """[375] What one execution clears, the next one and the clients do not see."""

        @registry.orchestration
        def chain(ctx: OrchestrationContext) -> Orchestration[Any]:
            if ctx.execution_id == 1:
                ctx.set_kv_value("a", 1)
                ctx.set_kv_value("b", 1)
                yield ctx.continue_as_new()
            if ctx.execution_id == 2:
                ctx.clear_kv_value("a")
                ctx.set_kv_value("c", 2)
                yield ctx.continue_as_new()
            yield from ctx.schedule_timer(0)
            return ctx.get_kv_all_values()

        stage.start()

        assert stage.run("chain", chain) == {"b": 1, "c": 2}
        assert stage.client.get_kv_all_values("chain") == {"b": 1, "c": 2}

    def test_many_writers(self, stage: Stage, registry: Registry) -> None:
        """[377] Many writers at once with many keys, and one that reads them all: nobody sees another's values."""

        @registry.orchestration
        def write(ctx: OrchestrationContext, number: int) -> Orchestration[None]:
            for key in range(50):
                ctx.set_kv_value(f"key {key}", number)
                if key % 20 == 0:
                    yield from ctx.schedule_timer(0)

        @registry.orchestration
        def read(ctx: OrchestrationContext) -> Orchestration[list[int]]:
            return (
                yield from ctx.join(*(ctx.get_kv_value_from_instance(f"w{number}", "key 49") for number in range(12)))
            )

        stage.start()
        for number in range(12):
            stage.client.start_orchestration(f"w{number}", write, number)
        for number in range(12):
            stage.result(f"w{number}")
            assert set(stage.client.get_kv_all_values(f"w{number}").values()) == {number}

        assert stage.run("read", read) == list(range(12))


class TestPruning:
    def test_by_age(self, held_stage: Stage, registry: Registry) -> None:
        """[370] [371] [373] [654] Keys that are too old go, wherever they were set; again and again with the same result."""

        @registry.orchestration
        def tidy(ctx: OrchestrationContext) -> Orchestration[Any]:
            if ctx.execution_id == 1:
                ctx.set_kv_value("old a", 1)
                ctx.set_kv_value("old b", 1)
                ctx.set_custom_status("hour 0")
                yield from ctx.schedule_wait("go on")
                ctx.set_kv_value("young", 1)
                yield ctx.continue_as_new()
            counts = [ctx.prune_kv_values_updated_before(0)]
            counts.append(ctx.prune_kv_values_updated_before(ctx.utc_now() - timedelta(minutes=30)))
            kept = ctx.get_kv_all_keys()
            ctx.set_custom_status("pruned")
            yield from ctx.schedule_wait("go on")
            ctx.set_kv_value("new", 1)
            counts.append(ctx.prune_kv_values_updated_before(2**62))
            counts.append(ctx.prune_kv_values_updated_before(2**62))
            return [*counts, kept, ctx.get_kv_all_keys()]

        stage, clock = held_stage, held_stage.clock
        assert clock is not None
        first = stage.start()
        stage.client.start_orchestration("tidy", tidy)
        stage.until_status("tidy")
        clock.advance(HOUR_MS)
        stage.client.raise_event("tidy", "go on")
        assert stage.until_status("tidy", 1) == "pruned"
        first.shutdown()
        clock.advance(HOUR_MS)
        stage.client.raise_event("tidy", "go on")
        stage.start()

        assert stage.result("tidy") == [0, 2, 2, 0, ["young"], []]
        assert [event.key for event in stage.of_kind("tidy", e.KeyValueCleared)] == ["old a", "old b", "new", "young"]
        assert stage.client.get_kv_all_values("tidy") == {}


class TestInActivities:
    def test_client_of_an_activity(self, stage: Stage, registry: Registry, writer: Any) -> None:
        """[368] An activity's client reads live values, and can send to its own orchestration."""

        @registry.activity
        def report(ctx: ActivityContext) -> Any:
            value = ctx.client.get_kv_value(ctx.instance_id, "key")
            ctx.client.enqueue_event(ctx.instance_id, "box", value + 1)
            return value

        @registry.orchestration
        def ask(ctx: OrchestrationContext) -> Orchestration[Any]:
            ctx.set_kv_value("key", 41)
            try:
                value = yield from ctx.schedule_activity(report)
            except ActivityFailed as error:
                return str(error)
            return [value, (yield from ctx.dequeue_event("box"))]

        stage.start()

        assert stage.run("ask", ask) == [41, 42]
