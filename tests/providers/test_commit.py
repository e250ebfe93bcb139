"""Committing turns: what is written, and that a refused commit leaves no trace and takes nobody down."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from attrs import evolve

from duroxide._core import events as e
from duroxide._core.commit import (
    CommitResult,
    CustomStatusChange,
    ExecutionStatus,
    InstanceLock,
    NewExecution,
    TurnCommit,
)
from duroxide._core.events import KvEntry, Parent
from duroxide.providers.contract import HistoryRequest, InstanceInfo
from duroxide.providers.sql import SqlProvider

from .stores import (
    LOCK_MS,
    NOW,
    HeldClock,
    activity,
    commit,
    completed,
    events_of,
    fetch,
    fetch_one,
    fetch_work,
    first_turn,
    lock_of,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    started,
    timer,
)


def eager_turn(instance_id: str = "a") -> TurnCommit:
    """A first turn with one activity that its committer has locked."""
    work = activity(instance_id)
    return first_turn(instance_id, work, eager=(lock_of(work),))


def finishing_turn(first: TurnCommit) -> TurnCommit:
    """The turn after `eager_turn`: the activity is finished, another one eager."""
    work = activity(first.instance_id, 4)
    return evolve(
        next_turn(first, completed(3, 2), scheduled(4)),
        finished_activities=first.eager,
        activities=(work,),
        eager=(lock_of(work),),
    )


def ending(turn: TurnCommit, **changes: object) -> TurnCommit:
    """The turn after *turn*, which completes the execution."""
    last = turn.events[-1].event_id
    done = next_turn(turn, e.OrchestrationCompleted(last + 1, NOW, '"out"'))
    return evolve(done, status=ExecutionStatus.COMPLETED, output='"out"', **changes)


def info_of(provider: SqlProvider, instance_id: str = "a") -> InstanceInfo:
    """How an instance stands that exists."""
    info = provider.get_instance_info(instance_id)
    assert info is not None
    return info


class TestStart:





class TestNextExecution:







class TestProgress:






class TestCustomStatus:



class TestKeyValues:



class TestShortWay:




# How a second turn of instance "a" goes wrong, and what is said of it then.
REFUSALS: dict[str, tuple[Callable[[TurnCommit], TurnCommit], CommitResult]] = {
    "history moved on": (lambda turn: evolve(turn, last_event_id=1), CommitResult.STALE),
    "other incarnation": (lambda turn: evolve(turn, incarnation=8), CommitResult.STALE),
    "other execution": (lambda turn: evolve(turn, execution_id=2), CommitResult.STALE),
    "unknown instance": (lambda turn: evolve(turn, instance_id="nobody"), CommitResult.STALE),
    "unknown lock": (lambda turn: evolve(turn, lock=InstanceLock("a", "unknown")), CommitResult.LOCK_LOST),
    "foreign activity": (
        lambda turn: evolve(turn, finished_activities=(lock_of(activity(), "other"),)),
        CommitResult.GONE,
    ),
    "missing activity": (
        lambda turn: evolve(turn, finished_activities=(lock_of(activity("a", 9)),)),
        CommitResult.GONE,
    ),
    "missing timer": (lambda turn: evolve(turn, fired_timers=(9,)), CommitResult.GONE),
    "unknown message": (lambda turn: evolve(turn, consumed_messages=(1234,)), CommitResult.STALE),
    "duplicate event": (lambda turn: evolve(turn, events=(completed(2, 2), *turn.events)), CommitResult.STALE),
    "duplicate activity": (lambda turn: evolve(turn, activities=(activity("a", 2),) * 2), CommitResult.STALE),
    "nothing to go on from": (lambda turn: evolve(turn, last_event_id=0), CommitResult.STALE),
}


@pytest.mark.parametrize("reason", REFUSALS)
class TestRefusal:



class TestExpiredActivity:


class TestEffects:





class TestReadHistories:

