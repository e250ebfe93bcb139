"""What is of the wrong kind is refused at the call, as an `InvalidInput` that says what was given and what to give."""

from __future__ import annotations

import typing

from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    Client,
    Exact,
    Exponential,
    InstanceFilter,
    InvalidInput,
    Latest,
    Limits,
    OrchestrationMisuse,
    Registry,
    RetentionRule,
    RetryPolicy,
    Runtime,
    RuntimeOptions,
    SqlProvider,
    TagFilter,
    VersionRange,
)
from duroxide._core.actions import Action
from duroxide._core.arguments import check_type
from duroxide._core.functions import registered_name
from duroxide._core.messages import ActivityExecute, ActivityKey
from duroxide._core.verdicts import Completed, Failed
from duroxide._core.versions import Version
from duroxide._guard import executor_class
from duroxide._runtime.activity_context import Cancellation
from duroxide.turns import Executor, run_turn

from .histories import Steps, started, timer, turn


class Order:
    """A user's class."""


def flow(ctx: Any) -> Steps:
    """Wait for nothing."""
    yield from ()


def client() -> Client:
    """Return a client of an empty database."""
    return Client("sqlite://")


def in_an_activity(do: Callable[[ActivityContext], object]) -> None:
    """Do something with the context of an activity that nobody cancels."""
    work = ActivityExecute(ActivityKey("i", 1, 2), "a", "null", "o", "1.0.0")
    do(ActivityContext(work, worker_id="w", cancellation=Cancellation(), client=None))


def refusal(call: Callable[[], object]) -> str:
    """Return what *call* is refused with."""
    with pytest.raises(InvalidInput) as caught:
        call()
    return str(caught.value)


#: Name → the call, and what its error says.
CALLS: dict[str, tuple[Callable[[], object], str]] = {
    "version is no text": (lambda: Version.parse(5), "5 is not a version: write three numbers"),  # type: ignore[arg-type]
    "version is endless": (lambda: Version.parse("1" * 5000 + ".0.0"), "version of 5004 bytes exceeds limit"),
    "version in other digits": (lambda: Version.parse("١.0.0"), "is not a version"),  # noqa: RUF001  # that is the mistake
    "exact version": (lambda: Exact(5), "5 is not a version"),  # type: ignore[arg-type]
    "version of a function": (
        lambda: Registry().register_orchestration(flow, version=5),  # type: ignore[arg-type]
        "5 is not a version",
    ),
    "range of numbers": (lambda: VersionRange.between(5, 6), "5 is not a version"),  # type: ignore[arg-type]
    "range of texts": (lambda: VersionRange("1.0.0", "2.0.0"), "VersionRange.between('1.0.0', '1.9.9')"),  # type: ignore[arg-type]
    "range upside down": (lambda: VersionRange.between("2.0.0", "1.9.9"), "from 2.0.0 to 1.9.9 has no version in it"),
    "range too large": (lambda: VersionRange.between("1.0.0", "1.9999999.0"), "number 9999999: give numbers below"),
    "policy's name": (lambda: Registry().orchestrations.set_policy(5, Latest()), "name is 5: give a str"),  # type: ignore[arg-type]
    "merge": (lambda: Registry().merge(5), "merge() was given 5: give a duroxide.Registry"),  # type: ignore[arg-type]
    "merge of orchestrations": (lambda: Registry().orchestrations.merge(Registry()), "give a duroxide.Orch"),  # type: ignore[arg-type]
    "merge of activities": (lambda: Registry().activities.merge(None), "give a duroxide.Activity"),  # type: ignore[arg-type]
    "registered number": (lambda: run_turn([started()], 5), "5 is not a function. Write one: def "),  # type: ignore[arg-type]
    "registered built-in": (lambda: Registry().register_activity(iter), "Wrap it: def iter(ctx, input): ..."),
    "options": (lambda: Runtime("sqlite://", Registry(), 5), "options of a Runtime are 5: pass RuntimeOptions"),  # type: ignore[arg-type]
    "time-out of a shutdown": (
        lambda: Runtime("sqlite://", Registry()).shutdown("x"),
        "timeout of shutdown() is 'x': give a timedelta",
    ),  # type: ignore[arg-type]
    "wait for a cancellation": (
        lambda: in_an_activity(lambda ctx: ctx.wait_cancelled("x")),  # type: ignore[arg-type]
        "timeout of wait_cancelled() is 'x': give a timedelta",
    ),
    "client's limits": (lambda: Client("sqlite://", limits=5), "limits is 5: give a Limits"),  # type: ignore[arg-type]
    "a class as database": (lambda: Client(SqlProvider), "is no database"),  # type: ignore[arg-type]
    "ids": (lambda: InstanceFilter(ids=5), "ids is 5: use a collection of instance ids"),
    "ids of lists": (lambda: InstanceFilter(ids=[["a"]]), "ids is [['a']]: use a collection of instance ids"),
    "one id": (lambda: InstanceFilter(ids="a"), "ids is 'a': use a collection of instance ids, e.g. ['a']"),
    "statuses": (lambda: InstanceFilter(statuses=5), "statuses is 5: use some of ['Running'"),
    "names": (lambda: InstanceFilter(except_names=5), "except_names is 5: use a collection of names of orch"),
    "tags": (lambda: TagFilter(tags=5), "tags is 5: use a collection of tags"),
    "one tag": (lambda: TagFilter(tags="gpu"), "tags is 'gpu': use a collection of tags, e.g. ['gpu']"),
    "jitter": (lambda: RetryPolicy(jitter="x"), "jitter of a RetryPolicy is 'x'"),  # type: ignore[arg-type]
    "multiplier": (lambda: Exponential(multiplier=None), "multiplier of an Exponential is None"),  # type: ignore[arg-type]
    "guard": (lambda: executor_class("loud"), "guard is 'loud': use one of off, warn, raise"),  # type: ignore[arg-type]
    "read only": (lambda: SqlProvider("sqlite://", read_only="no"), "read_only is 'no': give True or False."),  # type: ignore[arg-type]
    "force": (lambda: client().delete_instance("a", force="no"), "force is 'no': give True or False."),  # type: ignore[arg-type]
    "count of events": (lambda: client().get_system_metrics(count_events=1), "count_events is 1: give True"),  # type: ignore[arg-type]
    "roots": (lambda: InstanceFilter(roots_only="no"), "roots_only is 'no': give True or False."),  # type: ignore[arg-type]
    "untagged": (lambda: TagFilter(untagged=None), "untagged is None: give True or False."),  # type: ignore[arg-type]
    "executions to keep": (
        lambda: client().prune_executions("a", keep_last=2**63),
        "use an int from 0 to 9223372036854775807",
    ),
    "kept executions": (lambda: RetentionRule(keep_executions=2**63), "use an int from 1 to 9223372036854775807"),
    "no name of an orchestration": (lambda: Registry().orchestrations.has([1]), "orchestration name is [1]"),  # type: ignore[arg-type]
    "nothing to resolve": (lambda: Registry().orchestrations.resolve({}), "orchestration name is {}"),  # type: ignore[arg-type]
    "versions of nothing": (lambda: Registry().orchestrations.list_versions([]), "orchestration name is []"),  # type: ignore[arg-type]
    "no name of an activity": (lambda: Registry().activities.has([1]), "activity name is [1]: give a str"),  # type: ignore[arg-type]
    "no activity to resolve": (lambda: Registry().activities.resolve({}), "activity name is {}"),  # type: ignore[arg-type]
    "no history": (lambda: run_turn(None, flow), "history is None: give the events"),  # type: ignore[arg-type]
    "history of numbers": (lambda: run_turn([5], flow), "history[0] is 5, which is no event"),  # type: ignore[list-item]
    "number in history": (lambda: run_turn([started(), 5], flow), "history[1] is 5"),  # type: ignore[list-item]
    "no start event": (lambda: Executor(flow, timer(2)), "started is TimerCreated(event_id=2"),  # type: ignore[arg-type]
    "persisted": (lambda: run_turn([started()], flow, persisted="x"), "persisted is 'x'"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize(("call", "said"), CALLS.values(), ids=CALLS)
def test_calls(call: Callable[[], object], said: str) -> None:
    """It is named, with its value and the remedy, and no error of Python's own comes out."""
    assert said in refusal(call)


@pytest.mark.parametrize("value", ["x", 0, -1, True, 1.5, 1e6])
@pytest.mark.parametrize("limit", ["max_payload_bytes", "max_history_events"])
def test_limits(limit: str, value: Any) -> None:
    """A limit that is no number of something is refused by name; and None is named, which is no limit."""
    said = refusal(lambda: Limits(**{limit: value}))

    assert said.startswith(f"Limits.{limit} is {value!r}: give a whole number, ")
    assert said.endswith(" or more, or None for no limit.")


def test_limit_without_none() -> None:
    """What always has a limit can have 0, and not None."""
    Limits(max_carried_messages=0)

    assert "0 or more." in refusal(lambda: Limits(max_carried_messages=None))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("executor", 5),
        ("executor", "threads"),
        ("worker_tag_filter", {"gpu"}),
        ("worker_tag_filter", None),
        ("limits", None),
        ("limits", 5),
        ("retention", 30),
        ("supported_replay_versions", "1.0.0"),
        ("worker_concurrency", 2**63),
        ("max_sessions_per_runtime", 2**31),
        ("batch_size", 10**30),
        ("worker_node_id", 5),
        ("worker_node_id", ""),
        ("worker_node_id", "a\0"),
        ("worker_node_id", "\ud800"),
        ("short_way_round", "no"),
        ("short_way_round", None),
        ("eager_dispatch", 1),
    ],
)
def test_options(option: str, value: Any) -> None:
    """An option of the wrong kind is refused by name when the options are made, not when a thread meets it."""
    assert refusal(lambda: RuntimeOptions(**{option: value})).startswith(f"RuntimeOptions.{option} ")


class TestCallees:
    @pytest.mark.parametrize("given", [5, None, ValueError, Order, flow(None), typing])
    def test_no_function(self, given: Any) -> None:
        """What is no function is not called by whatever name it has, and the remedy is one that the call has."""
        said = refusal(lambda: registered_name(given, "orchestration"))

        assert "no orchestration: give its function, or the name that it is registered under." in said

    def test_registered_class(self) -> None:
        """A class that was registered is what it was registered as."""

        class Flow:
            def __init__(self, ctx: Any) -> None: ...

        Registry().register_orchestration(Flow)

        assert registered_name(Flow, "orchestration") == "Flow"

    def test_nameless(self) -> None:
        """A lambda can only be called by the name that it is registered under."""
        assert "register it with name='...' first, and call it by that name" in refusal(
            lambda: registered_name(lambda: 1, "activity")
        )


class TestTypes:
    @pytest.mark.parametrize(
        "hint",
        [
            None,
            int,
            Order,
            Any,
            list[int],
            int | None,
            typing.Optional[Order],  # noqa: UP045  # that too is a hint
            typing.List[int],  # noqa: UP006
            typing.Literal["a"],
            typing.Annotated[int, "cents"],
            typing.NewType("Cents", int),
            typing.TypeVar("T"),
            dict[str, list[Order]],
        ],
    )
    def test_hints(self, hint: object) -> None:
        """Whatever can be written as a type hint is a type."""
        check_type(hint)

    @pytest.mark.parametrize("given", ["int", 5, flow, 0, [int], {"a": int}, (int, str), Order()])
    def test_others(self, given: object) -> None:
        """A name, a function or a value is no type."""
        assert f"type is {given!r}, which is no type" in refusal(lambda: check_type(given))


@pytest.mark.parametrize("cutoff", ["x", 1.5, True, None, datetime(2024, 1, 1)])  # noqa: DTZ001  # that is the mistake
def test_cutoff(cutoff: Any) -> None:
    """Key-values are pruned by a point in time, and by nothing else."""

    def prunes(ctx: Any) -> Steps:
        yield from ()
        ctx.prune_kv_values_updated_before(cutoff)

    verdict = turn(prunes, started(kv={"k": 1})).verdict

    assert isinstance(verdict, Failed)
    assert verdict.details.type == "duroxide.errors.InvalidInput"
    assert "cutoff" in verdict.details.message


@pytest.mark.parametrize("combine", ["select", "join"])
@pytest.mark.parametrize("value", ["no", 0, None])
def test_switches(combine: str, value: Any) -> None:
    """What is neither True nor False is not taken for one of them."""
    name = {"select": "cancel_losers", "join": "return_exceptions"}[combine]

    def combines(ctx: Any) -> Steps:
        yield getattr(ctx, combine)(ctx.schedule_timer(1), **{name: value})

    verdict = turn(combines).verdict

    assert isinstance(verdict, Failed)
    assert verdict.details.message == f"{name} is {value!r}: give True or False."


class TestForeignActions:
    @staticmethod
    def kept() -> Action[Any]:
        """Return a recorded action of another instance."""
        actions: list[Action[Any]] = []

        def keeps(ctx: Any) -> Steps:
            actions.append(ctx.schedule_timer(1))
            yield actions[0]

        turn(keeps, timer(2))
        return actions[0]

    def test_refused(self) -> None:
        """An action of another execution cannot be cancelled: neither of them would know what to make of it."""
        foreign = self.kept()

        def cancels(ctx: Any) -> Steps:
            yield from ()
            ctx.cancel(foreign)

        verdict = turn(cancels).verdict

        assert isinstance(verdict, Failed)
        assert verdict.details.type == "duroxide.errors.OrchestrationMisuse"
        assert "belongs to another execution" in verdict.details.message

    def test_harmless(self) -> None:
        """Code that catches it goes on, and nothing was given up."""
        foreign = self.kept()

        def cancels(ctx: Any) -> Steps:
            try:
                ctx.cancel(foreign)
            except OrchestrationMisuse:
                return "refused"
            yield from ()

        assert turn(cancels).verdict == Completed('"refused"')
        assert not foreign.is_done
