"""
A new user tries every feature once, with nothing but the docs and what `duroxide` exports.

Rule: no import of anything below the package root. What cannot be done that way is missing from the public API.
"""

from __future__ import annotations

import json
import logging
import uuid

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest

from attrs import frozen
from sqlalchemy import create_engine, make_url, text

from duroxide import (
    ActivityContext,
    ActivityFailed,
    Client,
    Completed,
    ErrorKind,
    Exact,
    Executor,
    Exponential,
    Failed,
    Fixed,
    InstanceAlreadyExists,
    InstanceFilter,
    InstanceNotFound,
    InstanceStillRunning,
    Latest,
    LimitExceeded,
    Limits,
    Linear,
    NonRetryableError,
    NotFound,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    PayloadError,
    RegistrationError,
    Registry,
    RetryPolicy,
    Running,
    Runtime,
    RuntimeOptions,
    SqlProvider,
    SubOrchestrationFailed,
    TagFilter,
    WaitTimeout,
    run_turn,
)


HOUR = timedelta(hours=1)

registry = Registry()


class Color(Enum):
    """An enum as payload."""

    RED = "red"


@frozen
class Item:
    """A payload of the types that JSON has no word for."""

    name: str
    price: Decimal
    due: datetime
    color: Color
    parts: tuple[str, ...]


@registry.exception
class OutOfStock(Exception):
    """An exception that comes back as itself."""


@registry.exception
class Declined(NonRetryableError):
    """An exception that is never retried."""


# Activities


@registry.activity
def double_price(ctx: ActivityContext, item: Item) -> Item:
    return Item(item.name, item.price * 2, item.due + HOUR, item.color, (*item.parts, "lid"))


@registry.activity(name="Add")
async def add(ctx: ActivityContext, numbers: list[int]) -> int:
    return sum(numbers)


@registry.activity
def say(ctx: ActivityContext, word: str) -> str:
    return word


@registry.activity
def fail(ctx: ActivityContext, how: str) -> str:
    if how == "sold out":
        raise OutOfStock("no chairs")
    if how == "declined":
        raise Declined("no money")
    if how == "value":
        raise ValueError("bad value")
    return "well"


@registry.activity
def fail_twice(ctx: ActivityContext) -> int:
    if ctx.attempt < 3:
        raise ConnectionError("try again")
    return ctx.attempt


@registry.activity
def wait_for_cancellation(ctx: ActivityContext) -> None:
    if ctx.wait_cancelled(30):
        ctx.client.enqueue_event(ctx.instance_id, "told", ctx.is_cancelled)
        ctx.raise_if_cancelled()


@registry.activity
def introduce(ctx: ActivityContext) -> dict[str, Any]:
    ctx.logger.info("introducing")
    return {
        "instance": ctx.instance_id,
        "execution": ctx.execution_id,
        "orchestration": f"{ctx.orchestration_name} {ctx.orchestration_version}",
        "activity": ctx.activity_name,
        "id": ctx.activity_id,
        "worker": ctx.worker_id,
        "session": ctx.session_id,
        "tag": ctx.tag,
    }


# Orchestrations


@registry.orchestration
def use_payloads(ctx: OrchestrationContext, item: Item) -> Orchestration[Item]:
    item = yield from ctx.schedule_activity(double_price, item)
    assert (yield ctx.schedule_activity("Add", [1, 2])) == 3  # a plain yield, and a name
    return item


@registry.orchestration
def meet_failures(ctx: OrchestrationContext) -> Orchestration[list[str]]:
    met = []
    try:
        yield from ctx.schedule_activity(fail, "sold out")
    except OutOfStock as error:
        met.append(f"out of stock: {error}")
    try:
        yield from ctx.schedule_activity(fail, "value")
    except ValueError as error:
        if isinstance(error, ActivityFailed):
            met.append(f"{error.details.type}, traceback: {'in fail' in (error.details.traceback or '')}")
    results = yield from ctx.join(
        ctx.schedule_activity(fail, "not at all"), ctx.schedule_activity(fail, "value"), return_exceptions=True
    )
    met.append(f"{results[0]} and {type(results[1]).__name__}")
    return met


@registry.orchestration
def retry(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    done: list[Any] = []
    for backoff in (Fixed(0.01), Linear(0.01), Exponential(base=0.01, multiplier=2, maximum=1), None):
        policy = RetryPolicy(max_attempts=3, backoff=backoff, jitter=0.5)
        done.append((yield from ctx.schedule_activity(fail_twice, retry=policy)))
    for how, policy in (
        ("declined", RetryPolicy()),
        ("value", RetryPolicy(retry_if=lambda error: not isinstance(error, ValueError))),
        ("value", RetryPolicy(max_attempts=2, backoff=None)),
    ):
        try:
            yield from ctx.schedule_activity(fail, how, retry=policy)
        except ActivityFailed as error:
            done.append(f"{how}: {error.details.attempt}")
    try:
        yield from ctx.schedule_activity(wait_for_cancellation, retry=RetryPolicy(timeout=0.05))
    except TimeoutError as error:
        done.append(type(error).__name__)
    return done


@registry.orchestration
def combine(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    def branch(word: str) -> Orchestration[str]:
        first = yield from ctx.schedule_activity(say, word)
        second = yield from ctx.schedule_activity(say, "again")
        return f"{first} {second}"

    both = yield from ctx.join(branch("a"), ctx.join(branch("b"), branch("c")))
    winner = yield from ctx.select(ctx.schedule_timer(HOUR), branch("quick"))
    given_up = ctx.schedule_activity(wait_for_cancellation)
    yield from ctx.schedule_timer(timedelta(milliseconds=100))
    ctx.cancel(given_up)
    told = yield from ctx.dequeue_event("told", type=bool)
    return [both, winner.index, winner.value, told]


@registry.orchestration
def listen(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    ctx.set_custom_status("listening")
    event = yield from ctx.schedule_wait("event", type=Color)
    first = yield from ctx.dequeue_event("queue")
    second = yield from ctx.dequeue_event("queue")
    return [event, first, second]


@registry.orchestration
def child(ctx: OrchestrationContext, how: str) -> Orchestration[str]:
    ctx.set_kv_value("how", how)
    return (yield from ctx.schedule_activity(fail, how))


@registry.orchestration
def parent(ctx: OrchestrationContext, detached_id: str) -> Orchestration[list[Any]]:
    good = yield from ctx.schedule_sub_orchestration(child, "well", instance_id=f"{ctx.instance_id}/good")
    try:
        bad = yield from ctx.schedule_sub_orchestration(child, "value")
    except SubOrchestrationFailed as error:
        bad = str(error)
    started = yield from ctx.schedule_orchestration(child, detached_id, "well")
    value = yield from ctx.get_kv_value_from_instance(f"{ctx.instance_id}/good", "how")
    return [good, bad, started == detached_id, value]


@registry.orchestration
def count(ctx: OrchestrationContext, number: int) -> Orchestration[list[Any]]:
    ctx.set_kv_value("seen", [*(ctx.get_kv_value("seen", type=list[int]) or []), number])
    ctx.set_custom_status(f"at {number}")
    yield from ctx.schedule_timer(0)
    if number < 3:
        yield ctx.continue_as_new(number + 1)
    message = yield from ctx.dequeue_event("queue")
    return [ctx.execution_id, ctx.get_kv_value("seen"), message]


@registry.orchestration
def remember(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    for key in ("a", "b", "c"):
        ctx.set_kv_value(key, key.upper())
    ctx.clear_kv_value("c")
    before = (ctx.get_kv_all_keys(), ctx.get_kv_all_values(), ctx.get_kv_length())
    yield from ctx.schedule_timer(0.01)
    ctx.set_kv_value("new", Color.RED)
    pruned = ctx.prune_kv_values_updated_before(ctx.utc_now())
    ctx.set_custom_status("remembered")
    seen = ctx.get_custom_status()
    ctx.reset_custom_status()
    return [*before, pruned, ctx.get_kv_all_keys(), seen]


@registry.orchestration
def ask_for_values(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    ctx.logger.info("asked %s", ctx.orchestration_name)
    values: list[Any] = [ctx.utc_now(), ctx.new_guid(), ctx.random.randint(1, 6)]
    yield from ctx.schedule_activity(say, "a turn later")
    return [*values, ctx.instance_id, ctx.execution_id, ctx.orchestration_version]


@registry.orchestration
def ask_workers(ctx: OrchestrationContext) -> Orchestration[list[Any]]:
    in_session = yield from ctx.join(*(ctx.schedule_activity(introduce, session_id="one") for _ in range(2)))
    with_tag = yield from ctx.schedule_activity(introduce, tag="gpu")
    try:
        yield from ctx.schedule_activity(introduce, tag="nobody", time_to_live=0.1)
    except TimeoutError as error:
        return [*in_session, with_tag, str(error)]
    return []


@registry.orchestration
def evolve(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_timer(0)
    return "first"


@registry.orchestration(name="evolve", version="2.0.0")
def evolve_2(ctx: OrchestrationContext) -> Orchestration[str]:
    yield from ctx.schedule_timer(0)
    return "second"


# The one runtime


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def runtime(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    """The runtime of the tour, which serves a tag; the law of conservation holds when it has ended."""
    if request.param == "sqlite":
        schema, url = None, f"sqlite:///{tmp_path_factory.mktemp('tour') / 'tour.db'}"
    else:
        schema, url = f"tour_{uuid.uuid4().hex[:12]}", request.getfixturevalue("postgres_url")  # noqa: TID251
    options = RuntimeOptions(worker_tag_filter=TagFilter(tags={"gpu"}), worker_node_id="tour")
    with SqlProvider(url, schema=schema) as provider:
        with Runtime(provider, registry, options) as runtime:
            yield runtime
        assert provider.audit() == []
    if schema is not None:
        engine = create_engine(make_url(url))
        with engine.begin() as connection:
            connection.execute(text(f'DROP SCHEMA "{schema}" CASCADE'))
        engine.dispose()


@pytest.fixture
def client(runtime: Runtime) -> Client:
    """The client of the tour."""
    return runtime.client


class TestSteps:
    def test_payloads(self, client: Client) -> None:
        """Values of all sorts go through an activity and come back as what they were."""
        item = Item("chair", Decimal("79.90"), datetime(2031, 5, 1, tzinfo=UTC), Color.RED, ("seat",))
        client.start_orchestration("payloads", use_payloads, item)

        assert client.wait_for_result("payloads", type=Item) == Item(
            "chair", Decimal("159.80"), item.due + HOUR, Color.RED, ("seat", "lid")
        )

    def test_failures(self, client: Client) -> None:
        """Exceptions come back as themselves, or in the list of a join."""
        client.start_orchestration("failures", meet_failures)

        assert client.wait_for_result("failures") == [
            "out of stock: no chairs",
            "ValueError, traceback: True",
            "well and ValueError",
        ]

    def test_retries(self, client: Client) -> None:
        """All backoffs, and all reasons to stop."""
        client.start_orchestration("retries", retry)

        assert client.wait_for_result("retries") == [3, 3, 3, 3, "declined: 1", "value: 1", "value: 2", "TimeoutError"]

    def test_combinations(self, client: Client) -> None:
        """Joins in joins, a race between a timer and a branch, and an activity that is given up."""
        client.start_orchestration("combinations", combine)

        assert client.wait_for_result("combinations") == [["a again", ["b again", "c again"]], 1, "quick again", True]

    def test_events_and_queues(self, client: Client) -> None:
        """An event answers a wait; messages wait to be read, even before there is somebody."""
        client.start_orchestration("listening", listen)
        client.enqueue_event("listening", "queue", 1)
        client.enqueue_event("listening", "queue", {"two": 2})
        assert client.wait_for_status_change("listening").custom_status == "listening"
        client.raise_event("listening", "event", Color.RED)

        assert client.wait_for_result("listening") == ["red", 1, {"two": 2}]


class TestInstances:
    def test_family(self, client: Client) -> None:
        """Children that succeed and fail, one that is let go, and a look into another's values."""
        client.start_orchestration("parent", parent, "let go")

        assert client.wait_for_result("parent") == ["well", "bad value", True, "well"]
        assert client.wait_for_result("let go") == "well"
        tree = client.get_instance_tree("parent")
        assert "parent/good" in tree.ids
        assert len(tree.children_of("parent")) == 2

    def test_continue_as_new(self, client: Client) -> None:
        """Three executions of one instance, with values, status and messages that go along."""
        client.start_orchestration("count", count, 1)
        client.enqueue_event("count", "queue", "kept")

        assert client.wait_for_result("count") == [3, [1, 2, 3], "kept"]
        assert [each.status for each in client.list_executions("count")][-1] == "Completed"
        assert client.prune_executions("count").executions == 2
        assert not client.read_execution_history("count", 1)

    def test_values(self, client: Client) -> None:
        """Set, get, list, clear and prune key-values; set and reset the status."""
        client.start_orchestration("values", remember)

        assert client.wait_for_result("values") == [
            ["a", "b"],
            {"a": "A", "b": "B"},
            2,
            2,
            ["new"],
            "remembered",
        ]
        assert client.wait_for_kv_value("values", "new", type=Color) is Color.RED
        assert client.get_kv_value("values", "gone") is None
        assert client.get_kv_all_values("values") == {"new": "red"}

    def test_replay(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        """Time, ids and chance are the same in replay, which one can do by hand; the logger is silent there."""
        caplog.set_level(logging.INFO)
        client.start_orchestration("asked", ask_for_values)
        result = client.wait_for_result("asked")
        assert result[3:] == ["asked", 1, "1.0.0"]

        past = client.read_execution_history("asked")[:-1]
        verdict: Any = run_turn(past, ask_for_values).verdict
        assert json.loads(verdict.output) == result
        started: Any = past[0]
        assert Executor(ask_for_values, started).feed(past[1:]).verdict == verdict
        assert [record.message for record in caplog.records].count("asked ask_for_values") == 1


class TestWorkers:
    def test_sessions_and_tags(self, client: Client) -> None:
        """Sessions and tags reach their worker; what nobody serves fails when its time to live is over."""
        client.start_orchestration("workers", ask_workers)

        first, second, tagged, error = client.wait_for_result("workers")
        assert (first["worker"], first["session"], first["tag"]) == ("tour", "one", None)
        assert second["id"] > first["id"]
        assert (tagged["session"], tagged["tag"], tagged["orchestration"]) == (None, "gpu", "ask_workers 1.0.0")
        assert "'nobody'" in error

    def test_versions(self, client: Client) -> None:
        """The latest version by default, any other on request or by policy."""
        client.start_orchestration("latest", "evolve")
        client.start_orchestration("pinned", "evolve", version="1.0.0")
        assert [client.wait_for_result(each) for each in ("latest", "pinned")] == ["second", "first"]

        registry.orchestrations.set_policy("evolve", Exact("1.0.0"))
        client.start_orchestration("by policy", evolve)
        assert client.wait_for_result("by policy") == "first"
        registry.orchestrations.set_policy("evolve", Latest())


class TestClients:
    def test_starts(self, client: Client) -> None:
        """Starting an id twice is visible, or an error, as one likes."""
        assert client.start_orchestration("once", evolve).is_new
        assert not client.start_orchestration("once", evolve).is_new
        with pytest.raises(InstanceAlreadyExists, match="if_exists='use_existing'"):
            client.start_orchestration("once", evolve, if_exists="reject")
        assert [start.is_new for start in client.start_orchestrations(evolve, {"once": None, "twice": None})] == [
            False,
            True,
        ]

    def test_statuses(self, client: Client) -> None:
        """Not there, running, done, and failed because it was cancelled."""
        assert client.get_orchestration_status("nobody") == NotFound()
        client.start_orchestration("long", listen)
        assert isinstance(client.wait_for_status_change("long"), Running)
        with pytest.raises(WaitTimeout, match="did not end within"):
            client.wait_for_orchestration("long", timeout=0.01)
        client.cancel_instance("long", "enough")
        ended = client.wait_for_orchestration("long", timeout=timedelta(seconds=30))
        assert isinstance(ended, Failed)
        assert (ended.is_cancelled, ended.message) == (True, "canceled: enough")
        with pytest.raises(OrchestrationFailed) as failure:
            client.wait_for_result("long")
        assert failure.value.details.kind is ErrorKind.CANCELLED
        client.start_orchestration("short", child, "well")
        assert client.wait_for_orchestration("short") == Completed("well")

    def test_transactions(self, runtime: Runtime, client: Client, tmp_path_factory: pytest.TempPathFactory) -> None:
        """A start goes with the caller's transaction."""
        url = f"sqlite:///{tmp_path_factory.mktemp('own') / 'own.db'}"
        engine = create_engine(url)
        with Runtime(engine, registry) as own:
            with engine.connect() as connection:
                own.client.start_orchestration("undone", evolve, connection=connection)
                connection.rollback()
            with engine.begin() as connection:
                own.client.start_orchestration("done", evolve, connection=connection)
            assert own.client.wait_for_result("done") == "second"
            assert own.client.get_orchestration_status("undone") == NotFound()
        engine.dispose()

    def test_management(self, client: Client) -> None:
        """List, look closer, count, delete."""
        client.start_orchestrations(evolve, {f"manage/{number}": None for number in range(3)})
        for number in range(3):
            client.wait_for_orchestration(f"manage/{number}")
        client.start_orchestration("manage/open", listen)
        client.wait_for_status_change("manage/open")

        page = client.list_instances(InstanceFilter(id_prefix="manage/"), limit=3)
        rest = client.list_instances(InstanceFilter(id_prefix="manage/"), limit=3, cursor=page.cursor)
        assert (len(page), len(rest), rest.cursor) == (3, 1, None)
        assert "manage/open" in {info.instance_id for info in client.list_instances_by_status("Running", limit=1000)}
        assert client.get_instance_info("manage/0").orchestration_name == "evolve"
        assert client.get_execution_info("manage/0").event_count > 2
        assert client.get_system_metrics().total_instances >= 4
        assert client.get_queue_depths().timer_queue >= 0
        with pytest.raises(InstanceStillRunning):
            client.delete_instance("manage/open")
        assert client.delete_instance("manage/open", force=True).instances == 1
        assert client.delete_instance_bulk(InstanceFilter(id_prefix="manage/")).instances == 3
        with pytest.raises(InstanceNotFound, match="'manage/0'"):
            client.get_instance_info("manage/0")


class TestMistakes:
    def test_payload(self, client: Client) -> None:
        """What is no JSON is refused where it is given."""
        with pytest.raises(PayloadError, match="input of orchestration 'child'"):
            client.start_orchestration("no payload", "child", object())

    def test_registration(self) -> None:
        """Registering something else under the same name is refused where it is done."""
        with pytest.raises(RegistrationError, match="'say'"):
            registry.copy().register_activity(fail, name="say")
        assert Registry().merge(registry).orchestrations.has("evolve", "2.0.0")

    def test_limits(self, runtime: Runtime) -> None:
        """A limit that is set is kept, with an error that names it."""
        with (
            Client(runtime.provider, limits=Limits(max_payload_bytes=100)) as limited,
            pytest.raises(LimitExceeded, match="max_payload_bytes"),
        ):
            limited.start_orchestration("too large", child, "x" * 200)
