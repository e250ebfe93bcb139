"""Executions are pinned to the releases of this library that can replay them."""

from __future__ import annotations

import logging

from collections.abc import Mapping

import pytest

from sqlalchemy import text

from duroxide import (
    ErrorCategory,
    ErrorKind,
    Orchestration,
    OrchestrationContext,
    OrchestrationFailed,
    Registry,
    Running,
    SubOrchestrationFailed,
    VersionRange,
)
from duroxide._core import events as e
from duroxide._core.commit import CommitResult, NewExecution, TurnCommit
from duroxide._version import __version__

from .stage import Stage, eventually


EVERYTHING = VersionRange.between("0.0.0", "999.0.0")


@pytest.fixture(autouse=True)
def wait(registry: Registry) -> None:
    """Register what all seeded instances run."""

    @registry.orchestration
    def wait(ctx: OrchestrationContext) -> Orchestration[str]:
        return (yield from ctx.schedule_wait("go on", type=str))


def seed(stage: Stage, releases: Mapping[str, str]) -> None:
    """Write waiting instances as their releases would have, and send each the event."""
    for instance_id, release in releases.items():
        _write(stage, instance_id, release)
    for instance_id in releases:
        stage.client.raise_event(instance_id, "go on", "done")


def _write(stage: Stage, instance_id: str, release: str) -> None:
    provider = stage.provider
    stage.client.start_orchestration(instance_id, "wait")
    (item,) = provider.fetch_orchestration_items(10, 60_000)
    now = provider.now_ms()
    commit = TurnCommit(
        instance_id=instance_id,
        execution_id=1,
        incarnation=1,
        last_event_id=0,
        lock=item.lock,
        consumed_messages=tuple(message.id for message in item.messages),
        events=(
            e.OrchestrationStarted(1, now, instance_id, 1, "wait", "1.0.0", "null", None, release),
            e.ExternalSubscribed(2, now, "go on"),
        ),
        started=NewExecution("wait", "1.0.0", None, release),
    )
    assert list(provider.commit_turns([commit], lock_ms=60_000)) == [CommitResult.COMMITTED]


class TestRanges:
    def test_too_new(self, stage: Stage) -> None:
        """[422] [424] An instance of a newer release is left alone, untouched, while others go on beside it."""
        seed(stage, {"future": "99.0.0"})
        stage.start()
        for number in range(3):
            instance_id = f"own-{number}"
            stage.client.start_orchestration(instance_id, "wait")
            stage.until_kind(instance_id, e.ExternalSubscribed)
            stage.client.raise_event(instance_id, "go on", "done")
            assert stage.result(instance_id) == "done"

        assert stage.client.get_orchestration_status("future") == Running()
        assert stage.kinds("future") == ["OrchestrationStarted", "ExternalSubscribed"]
        stage.stop()
        (item,) = stage.provider.fetch_orchestration_items(10, 60_000)
        assert item.attempt_count == 1

    def test_narrow(self, stage: Stage) -> None:
        """[425] A range without this release leaves what this release began untouched."""
        seed(stage, {"mine": __version__, "theirs": "42.0.0"})
        stage.start(supported_replay_versions=VersionRange.between("42.0.0", "42.9.9"))

        assert stage.result("theirs") == "done"
        assert stage.client.get_orchestration_status("mine") == Running()

    def test_two_runtimes(self, stage: Stage) -> None:
        """[427] Two runtimes with a range each finish what either can, and nobody takes the other's."""
        releases = ["1.0.0", "1.5.0", "1.9.9", "2.0.0", "2.1.0"]
        seed(stage, {release: release for release in releases})
        stage.start(supported_replay_versions=VersionRange.between("1.0.0", "1.9.9"))
        stage.start(on=stage.open(), supported_replay_versions=VersionRange.between("2.0.0", "2.9.9"))

        assert [stage.result(release) for release in releases] == ["done"] * 5

    def test_own_pins(self, stage: Stage, registry: Registry) -> None:
        """[428] Each child and each execution is pinned by the release that began it."""

        @registry.orchestration
        def child(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(0)

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_sub_orchestration(child, instance_id="child")
            if ctx.execution_id < 2:
                yield ctx.continue_as_new()

        stage.start()
        with pytest.raises(OrchestrationFailed, match="already exists"):
            stage.run("parent", parent)

        histories = [stage.history("child"), *(stage.client.read_execution_history("parent", n) for n in (1, 2))]
        assert [getattr(history[0], "duroxide_version", None) for history in histories] == [__version__] * 3
        pinned = _sql(stage, "SELECT DISTINCT pinned FROM {executions}")
        assert len(pinned) == 1
        assert pinned[0] is not None

    def test_is_logged(self, stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
        """[431] A runtime says at its start which releases' executions it takes."""
        with caplog.at_level(logging.INFO, "duroxide.runtime"):
            stage.start(supported_replay_versions=VersionRange.between("1.2.3", "4.5.6"))

        assert "takes executions that releases 1.2.3 to 4.5.6 of duroxide began" in caplog.messages


class TestDamaged:
    def test_drain(self, stage: Stage) -> None:
        """[430] A damaged history of another release can be drained: with a wide range it ends as poison."""
        seed(stage, {"broken": "99.0.0"})
        damage(stage, "broken")
        stage.start(supported_replay_versions=EVERYTHING, max_attempts=2, unregistered_backoff=0.01)

        with pytest.raises(OrchestrationFailed, match="exceeded 3 attempts") as failure:
            stage.result("broken")
        details = failure.value.details
        assert (ErrorCategory.POISON, ErrorKind.UNREADABLE_HISTORY) == (details.category, details.kind)
        assert "event 2 (Nonsense) of instance 'broken': " in details.message
        assert details.display.endswith(f"exceeded 3 attempts (max 2): {details.message}")
        repair(stage)

    def test_parent_is_told(self, stage: Stage, registry: Registry) -> None:
        """[658] When a child's history is damaged, its parent hears that the child failed."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                return (yield from ctx.schedule_sub_orchestration("wait", instance_id="child"))
            except SubOrchestrationFailed as error:
                return str(error)

        first = stage.start()
        stage.client.start_orchestration("parent", parent)
        eventually(lambda: stage.history("child"))
        first.shutdown()
        damage(stage, "child")
        stage.client.raise_event("child", "go on", "done")
        stage.start(max_attempts=2)

        with pytest.raises(OrchestrationFailed, match=r"poison: .*child.* exceeded 3 attempts"):
            stage.result("parent")
        repair(stage)


def damage(stage: Stage, instance_id: str) -> None:
    """Make the second event of a history unreadable."""
    _sql(
        stage,
        "UPDATE {history} SET event_type = 'Nonsense'"
        " WHERE instance_id = :instance_id AND event_type = 'ExternalSubscribed' RETURNING event_id",
        instance_id=instance_id,
    )


def repair(stage: Stage) -> None:
    """Undo `damage`, so that the audit can read the history again."""
    stage.stop()
    _sql(
        stage, "UPDATE {history} SET event_type = 'ExternalSubscribed' WHERE event_type = 'Nonsense' RETURNING event_id"
    )


def _sql(stage: Stage, statement: str, **parameters: str) -> list[object]:
    prefix = "duroxide_" if stage.schema is None else f'"{stage.schema}".duroxide_'
    names = {name: f"{prefix}{name}" for name in ("history", "executions")}
    with stage.provider._engine.begin() as connection:
        return list(connection.execute(text(statement.format(**names)), parameters).scalars())
