"""Bugs, ours or of whoever wrote the store: they cost the one they happen at, and nobody else."""

from __future__ import annotations

import logging
import sys

from collections.abc import Sequence
from typing import Any

import pytest

from duroxide import Completed, ErrorKind, Failed, Orchestration, OrchestrationContext, Registry
from duroxide._core.commit import CommitResult, TurnCommit
from duroxide._core.events import OrchestrationStarted
from duroxide.providers.contract import HistoryRequest
from duroxide.providers.sql import SqlProvider
from duroxide.testing.faults import Fail, FaultPlan, FaultyProvider, Rule

from .stage import PATIENCE, Stage


BAD, GOOD = ("bad-1", "bad-2"), tuple(f"good-{number}" for number in range(10))
ALL = (*GOOD[:3], BAD[0], *GOOD[3:8], BAD[1], *GOOD[8:])


class Chokes(SqlProvider):
    """Trips over commits that set a custom status, and over the histories of bad instances."""

    reads_badly = False

    def commit_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Sequence[CommitResult]:
        self._look_at(commits)
        return super().commit_turns(commits, lock_ms=lock_ms)

    def _send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> Any:
        self._look_at(commits)
        return super()._send_turns(commits, lock_ms=lock_ms)

    def _look_at(self, commits: Sequence[TurnCommit]) -> None:
        if any(commit.custom_status is not None for commit in commits):
            msg = "a custom status on purpose"
            raise TypeError(msg)

    def read_histories(self, requests: Sequence[HistoryRequest]) -> Any:
        if self.reads_badly and any(request.instance_id in BAD for request in requests):
            msg = "a history on purpose"
            raise TypeError(msg)
        return super().read_histories(requests)


@pytest.fixture
def chokes(stage: Stage) -> Chokes:
    """A store of that kind, on the stage's database."""
    provider = Chokes(stage.url, schema=stage.schema)
    stage.providers.append(provider)
    return provider


def test_commit(stage: Stage, registry: Registry, chokes: Chokes) -> None:
    """A turn that cannot be written becomes poison; others of the same round do not even notice."""

    @registry.orchestration
    def flow(ctx: OrchestrationContext) -> Orchestration[str]:
        yield from ctx.schedule_timer(0)
        if ctx.instance_id in BAD:
            ctx.set_custom_status("odd")
        yield from ctx.schedule_timer(0)
        return "done"

    for instance_id in ALL:
        stage.client.start_orchestration(instance_id, flow)
    stage.start(on=chokes, max_attempts=2)

    ends = {each: stage.client.wait_for_orchestration(each, PATIENCE) for each in ALL}
    assert [Completed(output="done")] * len(GOOD) == [_plain(ends[each]) for each in GOOD]
    for instance_id in BAD:
        end = ends[instance_id]
        assert isinstance(end, Failed)
        assert ErrorKind.POISONED_ORCHESTRATION is end.details.kind


def _plain(status: object) -> object:
    return Completed(output=status.output) if isinstance(status, Completed) else status


def test_round(stage: Stage, registry: Registry, chokes: Chokes) -> None:
    """When a round fails as a whole, its instances are tried one by one, and only who is alone is to blame."""

    @registry.orchestration
    def flow(ctx: OrchestrationContext) -> Orchestration[str]:
        return (yield from ctx.schedule_wait("word"))

    first = stage.start()
    for instance_id in ALL:
        stage.client.start_orchestration(instance_id, flow)
        stage.until_kind(instance_id, OrchestrationStarted)
    first.shutdown()
    for instance_id in ALL:
        stage.client.raise_event(instance_id, "word", "said")
    chokes.reads_badly = True
    stage.start(on=chokes, max_attempts=2)

    assert ["said"] * len(GOOD) == [stage.result(each) for each in GOOD]
    chokes.reads_badly = False


@pytest.mark.parametrize("way", ["evicted", "cancelled"])
def test_exit_in_clean_up(stage: Stage, registry: Registry, way: str) -> None:
    """Code that calls sys.exit() while its generator is closed ends neither the runtime nor the wait of its client."""

    @registry.orchestration
    def stubborn(ctx: OrchestrationContext) -> Orchestration[str]:
        ctx.set_custom_status("begun")
        try:
            return (yield from ctx.schedule_wait("word"))
        except BaseException:  # noqa: BLE001  # as careless code has it
            sys.exit(1)

    @registry.orchestration
    def plain(ctx: OrchestrationContext) -> Orchestration[str]:
        yield from ()
        return "plain"

    stage.start(cache_size=0) if way == "evicted" else stage.start()
    stage.client.start_orchestration("stubborn", stubborn)
    stage.until_status("stubborn")
    if way == "cancelled":
        stage.client.cancel_instance("stubborn", "enough")
        stage.client.wait_for_orchestration("stubborn", PATIENCE)

    assert "plain" == stage.run("plain", plain)


class Raises(logging.Handler):
    """A handler that is in trouble itself."""

    def emit(self, record: logging.LogRecord) -> None:
        msg = f"cannot log {record.msg!r}"
        raise OSError(msg)


def test_logging_that_fails(stage: Stage, registry: Registry) -> None:
    """A log handler that raises while the store has failed ends nothing."""

    @registry.orchestration
    def plain(ctx: OrchestrationContext) -> Orchestration[str]:
        yield from ()
        return "plain"

    plan = FaultPlan([Rule(Fail(), on="fetch_orchestration_items", nth={1, 2, 3})])
    handler = Raises()
    logger = logging.getLogger("duroxide.runtime")
    logger.addHandler(handler)
    try:
        stage.start(on=FaultyProvider(stage.open(), plan))
        assert "plain" == stage.run("plain", plain)
    finally:
        logger.removeHandler(handler)
