"""`replay`: exported histories against today's code."""

from __future__ import annotations

import json
import time

from typing import Any

import pytest

from duroxide import (
    Client,
    InstanceFilter,
    InstanceNotFound,
    InvalidInput,
    Limits,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
    RuntimeOptions,
    SqlProvider,
)
from duroxide._core.codec import event_from_dict
from duroxide.testing import Divergence, ReplayDiverged, ReplayReport, check_replay, replay

from .flows import CHANGES, Fn, another_step, exported, pay, registry_of, run_some


def replayed(documents: Any, fn: Fn, **options: Any) -> list[Divergence]:
    """Return the divergences of *documents* from *fn*."""
    return list(replay(documents, registry_of(fn), **options).divergences)


class TestDivergences:
    def test_the_same_code(self) -> None:
        """The code that recorded a history does what it recorded, running and ended."""
        report = replay(exported(running=2, ended=2), registry_of(pay))

        assert ReplayReport(executions=4, skipped=0, divergences=()) == report
        assert report.is_clean
        assert "4 executions replayed, 0 diverged" == str(report)

    @pytest.mark.parametrize(("changed", "event_id", "said"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
    def test_changed_code(self, changed: Fn, event_id: int, said: str) -> None:
        """Every change that matters is noticed at its event, with what was expected and what the code does instead."""
        (found,) = replayed(exported(running=0), changed)

        assert ("ended-0", 1, "pay", "1.0.0", event_id) == (
            found.instance_id,
            found.execution_id,
            found.orchestration,
            found.version,
            found.event_id,
        )
        assert said in str(found)
        assert "flows.py:" in found.place

    def test_place(self) -> None:
        """A divergence names the source line at which the code is."""
        (found,) = replayed(exported(running=0), another_step)

        line = another_step.__code__.co_firstlineno + 2
        assert f"{__file__.replace('test_replay', 'flows')}:{line} in another_step" == found.place

    def test_running(self) -> None:
        """A running instance whose code would go on by itself has diverged: nothing has happened to it."""

        def stops_waiting(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
            return (yield from ctx.schedule_activity("charge", amount))

        (found,) = replayed(exported(ended=0), stops_waiting)

        assert 5 == found.event_id
        assert 'the code returns "receipt for 9"' == found.got

    def test_raises(self) -> None:
        """`check_replay` raises with all of them."""
        with pytest.raises(ReplayDiverged, match="CreateTimer") as caught:
            check_replay(exported(), registry_of(another_step))

        assert ["running-0", "ended-0"] == [each.instance_id for each in caught.value.divergences]
        check_replay(exported(), registry_of(pay))

    def test_failures(self) -> None:
        """A recorded failure is compared by type and text, not by traceback."""

        def refuses(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
            yield from pay(ctx, amount)
            raise ValueError("no")

        def refuses_elsewhere(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
            yield from pay(ctx, amount)
            message = "no"
            raise ValueError(message)

        def refuses_otherwise(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
            yield from pay(ctx, amount)
            raise ValueError("not at all")

        documents = exported(refuses, running=0)

        assert [] == replayed(documents, refuses_elsewhere)
        assert ["the code fails with ValueError: not at all"] == [f.got for f in replayed(documents, refuses_otherwise)]

    def test_continued_as_new(self) -> None:
        """Every execution of an instance is replayed, each with its own input."""

        def count(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
            yield from ctx.schedule_timer(0)
            if number < 3:
                ctx.continue_as_new(number + 1)
            return number

        def count_on(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
            yield from ctx.schedule_timer(0)
            if number < 3:
                ctx.continue_as_new(number + 2)
            return number

        with SqlProvider.in_memory() as provider, Runtime(provider, registry_of(count)) as runtime:
            runtime.client.start_orchestration("i", "pay", 1)
            runtime.client.wait_for_result("i")
            document = runtime.client.export_instance("i")

        assert ReplayReport(3, 0, ()) == replay(document, registry_of(count))
        assert [(1, "the code continues as new with 3"), (2, "the code continues as new with 4")] == [
            (found.execution_id, found.got) for found in replayed(document, count_on)
        ]

    def test_cancelled(self) -> None:
        """A cancelled instance was ended by somebody, and its code is content with that."""
        with SqlProvider.in_memory() as provider, Runtime(provider, registry_of(pay)) as runtime:
            runtime.client.start_orchestration("i", "pay", 1)
            runtime.client.wait_for_status_change("i")
            runtime.client.cancel_instance("i", "enough")
            runtime.client.wait_for_orchestration("i")
            document = runtime.client.export_instance("i")

        assert [] == replayed(document, pay)
        assert ["event 2 ActivityScheduled(name='charge', input='1', attempt=1)"] == [
            found.expected for found in replayed(document, another_step)
        ]

    def test_ended_by_the_engine(self) -> None:
        """An instance that a limit has ended is compared up to there."""

        def endless(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
            while True:
                yield from ctx.schedule_activity("charge", amount)

        def endless_otherwise(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
            return (yield from endless(ctx, amount + 1))

        options = RuntimeOptions(limits=Limits(max_history_events=10))
        with SqlProvider.in_memory() as provider, Runtime(provider, registry_of(endless), options) as runtime:
            runtime.client.start_orchestration("i", "pay", 1)
            runtime.client.wait_for_orchestration("i")
            document = runtime.client.export_instance("i")

        assert "Failed" == document["status"]
        assert [] == replayed(document, endless)
        assert [2] == [found.event_id for found in replayed(document, endless_otherwise)]

    def test_not_registered(self) -> None:
        """A history without code is a divergence that says which versions there are, unless it is to be left out."""
        documents = exported(running=0)
        newer = registry_of(pay, version="2.0.0")

        assert ["it is registered as 2.0.0 only"] == [each.got for each in replay(documents, newer).divergences]
        assert ["it is not registered"] == [each.got for each in replay(documents, Registry()).divergences]
        assert ReplayReport(0, 1, ()) == replay(documents, newer, skip_unregistered=True)

    def test_guard(self) -> None:
        """With the guard, what the code must not call is a divergence, too."""

        def stamped(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
            time.time()  # noqa: TID251  # that is the mistake
            return (yield from pay(ctx, amount))

        documents = exported(running=0)

        assert [] == replayed(documents, stamped)
        (found,) = replayed(documents, stamped, guard="raise")
        assert "time.time" in found.got


class TestDocuments:
    def test_json(self) -> None:
        """An exported instance survives JSON, and says at its top what it is."""
        (document,) = exported(running=0)
        again = json.loads(json.dumps(document))

        assert document == again
        assert ("duroxide-history", 1, "ended-0", "pay", "1.0.0", "Completed", None) == tuple(document.values())[:7]
        assert [] == replayed(again, pay)

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            ({"format": "other"}, "this is no exported instance"),
            ({"format_version": 2}, "format_version 2, and this release reads 1"),
            ({"executions": []}, "no executions"),
            ({"executions": [[]]}, "begins with nothing"),
            ({"executions": None}, "'ended-0' cannot be read"),
            ({"executions": [[{"type": "Newer", "event_id": 1, "timestamp_ms": 1}]]}, "unknown event type 'Newer'"),
            ({"executions": [[{"type": "TimerCreated", "event_id": 1, "timestamp_ms": 1, "fire_at_ms": 2}]]}, "TimerC"),
            ({"executions": [["text"]]}, "cannot be read"),
        ],
    )
    def test_spoilt(self, spoil: dict[str, Any], said: str) -> None:
        """What is no exported instance is refused, with the reason."""
        (document,) = exported(running=0)

        with pytest.raises(InvalidInput, match=said):
            replay({**document, **spoil}, registry_of(pay))

    @pytest.mark.parametrize("exported", ["ended-0.json", b"{}", 5, None, [5]])
    def test_no_document(self, exported: Any) -> None:
        """Text is no exported instance, nor is a file name or a number."""
        with pytest.raises(InvalidInput, match="no exported instance"):
            replay(exported, registry_of(pay))

    @pytest.mark.parametrize("registry", [5, None, pay])
    def test_no_registry(self, registry: Any) -> None:
        """The code comes from a registry, also where there is nothing to replay."""
        with pytest.raises(InvalidInput, match=r"pass the duroxide\.Registry"):
            replay([], registry)


class TestExport:
    def test_unknown(self) -> None:
        """An instance that is not there cannot be exported."""
        with SqlProvider.in_memory() as provider, pytest.raises(InstanceNotFound):
            Client(provider).export_instance("nobody")

    def test_histories(self) -> None:
        """The exported events are those of the history, all of them."""
        with SqlProvider.in_memory() as provider, Runtime(provider, registry_of(pay)) as runtime:
            runtime.client.start_orchestration("i", "pay", 1)
            runtime.client.wait_for_status_change("i")
            runtime.shutdown()
            history = runtime.client.read_execution_history("i")
            document = runtime.client.export_instance("i")

        assert [list(history)] == [[event_from_dict(event) for event in events] for events in document["executions"]]

    def test_children_are_instances_of_their_own(self) -> None:
        """A child is exported by itself, names its parent, and replays by itself."""

        def child(ctx: OrchestrationContext) -> Orchestration[int]:
            yield from ctx.schedule_timer(0)
            return 1

        def parent(ctx: OrchestrationContext) -> Orchestration[int]:
            return (yield from ctx.schedule_sub_orchestration(child))

        registry = registry_of(parent, name="parent")
        registry.register_orchestration(child)
        with SqlProvider.in_memory() as provider, Runtime(provider, registry) as runtime:
            runtime.client.start_orchestration("i", "parent")
            runtime.client.wait_for_result("i")
            documents = list(runtime.client.export_instances())

        parents = {each["instance_id"]: each["parent_instance_id"] for each in documents}
        assert {"i": None, "i::sub::2": "i"} == parents
        assert replay(documents, registry).is_clean

    def test_filter(self) -> None:
        """Only what matches is exported, the newest first."""
        with SqlProvider.in_memory() as provider:
            run_some(provider, running=2, ended=1)
            found = list(Client(provider).export_instances(InstanceFilter(statuses=["Running"])))

        assert ["running-1", "running-0"] == [each["instance_id"] for each in found]
