"""
Runs activities through the queue tables, and watches whether they slow down.

A row of a queue lives for milliseconds, so a million activities leave a million dead rows behind, in Postgres too few
places to hide. Nine of ten go the short way (inserted locked, removed by the commit of the next turn), one the
general way (inserted for anybody, fetched, acknowledged, its completion fetched as a message).
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import evolve
from sqlalchemy import text

from .._clock import new_token
from .._core.commit import TurnCommit
from ..providers.contract import ActivityAck, TagFilter
from ..providers.sql import SqlProvider
from ..providers.sql.schema import TABLES
from ..testing.conformance import vocabulary as v
from .measuring import Stopwatch, cpu_seconds
from .places import Place


#: Instances that run activities at the same time, one each.
LANES = 100
LOCK_MS = 60_000

#: One round of so many goes the general way.
GENERAL_EACH = 10

_QUEUES = ("worker_queue", "orchestrator_queue", "instance_locks")


def churn(provider: SqlProvider, place: Place, activities: int, *, windows: int) -> list[dict[str, float]]:
    """Run *activities*, and return how it went in each of so many *windows*, and in the first thousand."""
    lanes = [_first(f"churn-{new_token()}") for _ in range(LANES)]
    v.must_commit(provider, *lanes)
    found: list[dict[str, float]] = []
    done = 0
    edges = [1000, *(activities * number // windows for number in range(1, windows + 1))]
    for edge in edges:
        if edge <= done:
            continue
        taken, before, cpu = Stopwatch(), done, cpu_seconds()
        while done < edge:
            is_general = (done // LANES) % GENERAL_EACH == GENERAL_EACH - 1
            lanes = _general_round(provider, lanes) if is_general else _short_round(provider, lanes)
            done += LANES
        rate, used = (done - before) / taken.seconds(), (cpu_seconds() - cpu) / (done - before)
        # What this process uses does not depend on what else the machine does; with SQLite, it is all there is.
        found.append(
            {"activities so far": done, "activities/s": rate, "µs of CPU each": used * 1e6, **_sizes(provider, place)}
        )
    return found


def _first(instance_id: str) -> TurnCommit:
    work = v.activity(instance_id)
    return v.first_turn(instance_id, work, eager=(v.lock_of(work, new_token()),))


def _next(lane: TurnCommit, *, eager: bool) -> TurnCommit:
    """Return the turn in which the activity of *lane* has completed and another one is asked for."""
    last, source = lane.events[-1].event_id, lane.activities[-1].key.activity_id
    work = v.activity(lane.instance_id, last + 2)
    turn = evolve(v.next_turn(lane, v.completed(last + 1, source), v.scheduled(last + 2)), activities=(work,))
    return evolve(turn, eager=(v.lock_of(work, new_token()),)) if eager else turn


def _short_round(provider: SqlProvider, lanes: list[TurnCommit]) -> list[TurnCommit]:
    following = [evolve(_next(lane, eager=True), finished_activities=lane.eager) for lane in lanes]
    v.must_commit(provider, *following)
    return following


def _general_round(provider: SqlProvider, lanes: list[TurnCommit]) -> list[TurnCommit]:
    """Hand all activities to anybody, and take the completions from the queue."""
    waiting = [evolve(_next(lane, eager=False), finished_activities=lane.eager) for lane in lanes]
    v.must_commit(provider, *waiting)
    items = provider.fetch_activities(LANES, LOCK_MS, tags=TagFilter(), session=None)
    provider.ack_activities([ActivityAck(item.lock, v.completed(0, item.work.key.activity_id)) for item in items])
    by_id = {lane.instance_id: lane for lane in waiting}
    fetched = provider.fetch_orchestration_items(LANES, LOCK_MS)
    following = [v.under(item, _next(by_id[item.lock.instance_id], eager=True)) for item in fetched]
    v.must_commit(provider, *following)
    return following


def _sizes(provider: SqlProvider, place: Place) -> Mapping[str, float]:
    """Return how large the queue tables and their indexes are, in KB; SQLite does not say."""
    if not place.is_postgres:
        return {}
    asked = text("SELECT pg_total_relation_size(format('%I.%I', CAST(:schema AS text), CAST(:name AS text))) / 1024")
    with provider._engine.connect() as connection:  # noqa: SLF001  # no provider says this
        return {
            f"{name} KB": float(
                connection.execute(asked, {"schema": place.schema, "name": TABLES[name].name}).scalar_one()
            )
            for name in _QUEUES
        }
