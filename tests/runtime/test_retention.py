"""Runtimes with a retention policy, while work goes on."""

from __future__ import annotations

import logging

from datetime import timedelta
from typing import Any

import pytest

from duroxide import (
    ActivityContext,
    InstanceFilter,
    Orchestration,
    OrchestrationContext,
    Registry,
    RetentionPolicy,
    RetentionRule,
    Runtime,
    RuntimeOptions,
    SqlProvider,
)
from duroxide.errors import InvalidInput
from duroxide.providers.management import ManagementNotAvailable
from duroxide.testing.faults import Fail, FaultPlan, FaultyProvider, Rule

from .stage import Stage, eventually


#: Often enough that a test need not wait, and short enough that everything which has ended goes in the next pass.
EAGER = RetentionPolicy(
    completed_after=0, failed_after=0, keep_executions=1, interval=timedelta(milliseconds=20), batch_size=5
)

#: A runtime that does nothing else.
KEEPER: dict[str, Any] = {"retention": EAGER, "orchestration_concurrency": 0, "worker_concurrency": 0}


def add(registry: Registry) -> None:
    """Register what the tests of this file run."""

    @registry.activity
    def double(ctx: ActivityContext, number: int) -> int:
        return number * 2

    @registry.orchestration
    def leaf(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
        return (yield from ctx.schedule_activity(double, number))

    @registry.orchestration
    def family(ctx: OrchestrationContext, size: int) -> Orchestration[list[int]]:
        """Children that end one after the other: the first has long ended when the last one starts."""
        found = []
        for number in range(size):
            child = f"{ctx.instance_id}-{number}"
            found.append((yield from ctx.schedule_sub_orchestration(leaf, number, instance_id=child)))
        yield from ctx.schedule_wait("go")
        return found

    @registry.orchestration
    def counts(ctx: OrchestrationContext, left: int) -> Orchestration[int]:
        ctx.set_kv_value("left", left)
        yield from ctx.schedule_activity(double, left)
        if left:
            return (yield from ctx.continue_as_new(left - 1))
        yield from ctx.schedule_wait("go")
        return left

    @registry.orchestration
    def mother(ctx: OrchestrationContext, left: int) -> Orchestration[int]:
        yield from ctx.schedule_sub_orchestration("leaf", left)
        if left:
            return (yield from ctx.continue_as_new(left - 1))
        ctx.set_custom_status("last")
        yield from ctx.schedule_wait("go")
        return left


def ids(stage: Stage) -> set[str]:
    """The ids of all instances."""
    return {info.instance_id for info in stage.client.list_instances(InstanceFilter(), limit=1000)}


def pruned(stage: Stage, runtime: Runtime) -> bool:
    """Whether the runtime has come to the last execution of all that continue as new, and left no other."""
    infos = [info for info in stage.client.list_all_instances() if info.orchestration_name == "counts"]
    return len(infos) == 3 and all(
        info.execution_id == 11 and len(stage.client.list_executions(info.instance_id)) == 1 for info in infos
    )


def test_while_work_goes_on(stage: Stage, registry: Registry) -> None:
    """Two runtimes delete whatever has ended, the moment it has; nothing that runs is touched, and all ends well."""
    add(registry)
    kept = RetentionRule()
    policy = RetentionPolicy(
        completed_after=0,
        keep_executions=1,
        interval=EAGER.interval,
        batch_size=5,
        overrides={"family": kept},
    )
    runtimes = [stage.start(retention=policy), stage.start(on=stage.open(), retention=policy)]
    for number in range(5):
        stage.client.start_orchestration(f"family-{number}", "family", 4)
        if number < 3:
            stage.client.start_orchestration(f"counts-{number}", "counts", 10)
        for each in range(6):
            stage.client.start_orchestration(f"leaf-{number}-{each}", "leaf", each)

    eventually(lambda: pruned(stage, runtimes[0]))
    eventually(lambda: not any(each.startswith("leaf") for each in ids(stage)))
    for number in range(5):
        stage.client.raise_event(f"family-{number}", "go")
        assert [0, 2, 4, 6] == stage.result(f"family-{number}")
    # Counted when a pass is over, which may be after its last instance is gone.
    eventually(lambda: sum(runtime.metrics_snapshot().retention_deleted_instances for runtime in runtimes) == 30)
    assert 25 + 3 == len(ids(stage))
    assert {str(0)} == {str(stage.client.get_kv_value(f"counts-{number}", "left")) for number in range(3)}


def test_children_of_what_goes_on(stage: Stage, registry: Registry) -> None:
    """Who has children for ever does not have ever more of them: they go when the execution that started them has gone."""
    add(registry)
    stage.start()
    stage.client.start_orchestration("m", "mother", 9)
    stage.until_status("m")
    policy = RetentionPolicy(completed_after=0, keep_executions=3)
    first, second = (stage.client.apply_retention(policy) for _ in range(2))

    assert (0, 7) == (first.deleted.instances, first.pruned.executions)
    assert (7, 0) == (second.deleted.instances, second.pruned.executions)
    assert 1 + 3 == len(ids(stage))
    stage.client.raise_event("m", "go")
    assert 0 == stage.result("m")


def test_counted_and_logged(stage: Stage, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """A pass that removed something says so, once; one that found nothing says nothing."""
    add(registry)
    worker = stage.start()
    stage.run("a", "leaf", 1)
    with caplog.at_level(logging.INFO, "duroxide.runtime"):
        keeper = stage.start(**KEEPER)
        eventually(lambda: not ids(stage))
        eventually(lambda: keeper.metrics_snapshot().retention_deleted_instances == 1)
        stage.client.start_orchestration("b", "leaf", 1)
        eventually(lambda: keeper.metrics_snapshot().retention_deleted_instances == 2)
        keeper.shutdown()

    said = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "retention"]
    assert 2 == len(said)
    assert all("retention deleted 1 instances with" in each for each in said)
    assert 0 == worker.metrics_snapshot().retention_deleted_instances


def test_failures_pass(stage: Stage, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """A database that does not answer is asked again at the next pass."""
    add(registry)
    stage.start()
    stage.run("a", "leaf", 1)
    faulty = FaultyProvider(stage.provider, FaultPlan((Rule(Fail(), on="delete_instance_bulk", nth=1),)))
    stage.start(on=faulty, **KEEPER)

    eventually(lambda: not ids(stage))
    assert {"Fail": 1} == faulty.faults
    assert any("retention failed, and will be tried again" in record.getMessage() for record in caplog.records)


def test_counted_until_a_failure(stage: Stage, registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    """What was removed before the database failed in the middle of a pass is counted and logged as well."""
    add(registry)
    stage.start()
    for number in range(4):
        stage.run(f"i{number}", "leaf", number)
    faulty = FaultyProvider(stage.provider, FaultPlan((Rule(Fail(), on="delete_instance_bulk", nth=2),)))
    policy = RetentionPolicy(completed_after=0, interval=EAGER.interval, batch_size=3)
    with caplog.at_level(logging.INFO, "duroxide.runtime"):
        keeper = stage.start(on=faulty, **{**KEEPER, "retention": policy})
        eventually(lambda: keeper.metrics_snapshot().retention_deleted_instances == 4)
        keeper.shutdown()

    said = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "retention"]
    assert [True, True, True] == [
        told in each for told, each in zip(["failed", "deleted 3 instances", "deleted 1 instances"], said, strict=True)
    ]


def test_mistakes(sqlite_url: str) -> None:
    """A policy that is none, and a provider that cannot delete, are refused when the runtime is made."""
    with pytest.raises(InvalidInput, match="RetentionPolicy"):
        Runtime(sqlite_url, Registry(), RuntimeOptions(retention=RetentionRule()))  # type: ignore[arg-type]
    with pytest.raises(ManagementNotAvailable), SqlProvider(sqlite_url) as provider:
        Runtime(_OnlyStores(provider), Registry(), RuntimeOptions(retention=RetentionPolicy()))


class _OnlyStores:
    """A provider without management."""

    def __init__(self, provider: SqlProvider) -> None:
        self._provider = provider

    def __getattr__(self, name: str) -> Any:
        if name in {"list_instances", "delete_instance_bulk"}:
            raise AttributeError(name)
        return getattr(self._provider, name)
