"""What is measured on the small and on the large database: every operation by itself, on instances of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from attrs import define, evolve, field

from .._clock import new_token
from .._core import events as e
from .._core.commit import ExecutionStatus, TurnCommit
from .._runtime.options import RuntimeOptions
from .._runtime.runtime import Runtime
from ..client import Client
from ..providers.contract import ActivityAck, HistoryRequest, TagFilter
from ..providers.management import InstanceFilter, PruneOptions
from ..providers.sql import SqlProvider
from ..testing.conformance import vocabulary as v
from .counting import watch
from .filling import AGE_MS, DAY_MS, checkout, registry
from .measuring import Stopwatch, cpu_seconds
from .plans import Plan, plans
from .scenario import pause


LOCK_MS = 30_000

#: Turns of a batch.
BATCH = 100

#: Instances that do not count.
_WARM_UP = 10

T = TypeVar("T")


@define
class Timings:
    """How long each operation took, in seconds; with *explains*, how the database carries it out, instead."""

    provider: SqlProvider
    explains: bool = False
    seconds: dict[str, list[float]] = field(factory=lambda: defaultdict(list))
    plans: dict[str, list[Plan]] = field(factory=dict)

    def take(self, name: str, call: Callable[[], T]) -> T:
        """Make *call*, and take it down as *name*."""
        if self.explains and name not in self.plans:
            answers: list[T] = []
            self.plans[name] = plans(self.provider, lambda: answers.append(call()))
            return answers[0]
        taken = Stopwatch()
        answer = call()
        self.seconds[name].append(taken.seconds())
        return answer


def life(timings: Timings, instance_id: str) -> None:
    """One instance from start to end: each way to write a turn, and what a runtime asks in between."""
    take, provider = timings.take, timings.provider
    take("start_instances", lambda: provider.start_instances([_start(instance_id)]))
    first = _first_turn(instance_id)
    item = _fetch(timings)
    take("commit_turns: first turn", lambda: v.must_commit(provider, v.under(item, first)))
    (work,) = take("fetch_activities", lambda: provider.fetch_activities(10, LOCK_MS, tags=TagFilter(), session=None))
    take("ack_activities", lambda: provider.ack_activities([ActivityAck(work.lock, v.completed(0, 2))]))
    second = _after(first, v.completed(3, 2), v.scheduled(4), activities=(4,), eager=True)
    item = _fetch(timings)
    take("commit_turns: general way", lambda: v.must_commit(provider, v.under(item, second)))
    due_ms = provider.now_ms() + 1_000_000
    timer = v.timer(instance_id, 7, due_ms)
    third = _after(second, v.completed(5, 4), v.scheduled(6), e.TimerCreated(7, v.NOW, due_ms), activities=(6,))
    third = evolve(third, finished_activities=second.eager, messages=(timer,))
    take("commit_turns: short way", lambda: v.must_commit(provider, third))
    take("next_due_ms", lambda: provider.next_due_ms(provider.now_ms()))
    take("read_histories", lambda: provider.read_histories([HistoryRequest(instance_id)]))
    take("enqueue", lambda: provider.enqueue([v.raised(instance_id)]))
    last = _ending(_after(third, e.ExternalEvent(8, v.NOW, "approved", "null"), _end(9)))
    last = evolve(last, cancelled_activities=(6,), cancelled_timers=(7,))
    item = _fetch(timings)
    take("commit_turns: last turn", lambda: v.must_commit(provider, v.under(item, last)))
    take("get_instance_info", lambda: provider.get_instance_info(instance_id))


def _fetch(timings: Timings) -> Any:
    (item,) = timings.take("fetch_orchestration_items", lambda: timings.provider.fetch_orchestration_items(10, LOCK_MS))
    return item


def _start(instance_id: str) -> Any:
    return v.start(instance_id).message


def _first_turn(instance_id: str) -> TurnCommit:
    return v.first_turn(instance_id, v.activity(instance_id))


def _after(turn: TurnCommit, *events: e.Event, activities: Sequence[int] = (), eager: bool = False) -> TurnCommit:
    """Return the turn after *turn*."""
    works = tuple(v.activity(turn.instance_id, activity_id) for activity_id in activities)
    locks = tuple(v.lock_of(work, new_token()) for work in works) if eager else ()
    return evolve(v.next_turn(turn, *events), activities=works, eager=locks)


def _end(event_id: int) -> e.Event:
    return e.OrchestrationCompleted(event_id, v.NOW, '"out"')


def _ending(turn: TurnCommit) -> TurnCommit:
    return evolve(turn, status=ExecutionStatus.COMPLETED, output='"out"')


def batches(timings: Timings, prefix: str) -> None:
    """A round of many instances at once: started, fetched, committed, and ended."""
    take, provider = timings.take, timings.provider
    ids = [f"{prefix}-{number:03}" for number in range(BATCH)]
    take(f"start_instances: {BATCH}", lambda: provider.start_instances([_start(each) for each in ids]))
    items = take(f"fetch_orchestration_items: {BATCH}", lambda: provider.fetch_orchestration_items(BATCH, LOCK_MS))
    firsts = {each: v.first_turn(each, v.activity(each), eager=(v.lock_of(v.activity(each)),)) for each in ids}
    commits = [v.under(item, firsts[item.lock.instance_id]) for item in items]
    take(f"commit_turns: {BATCH} first turns", lambda: v.must_commit(provider, *commits))
    lasts = []
    for first in firsts.values():
        done = v.completed(first.events[-1].event_id + 1, 2)
        turn = _ending(v.next_turn(first, done, _end(done.event_id + 1)))
        lasts.append(evolve(turn, finished_activities=first.eager))
    take(f"commit_turns: {BATCH} short ways", lambda: v.must_commit(provider, *lasts))


def idle(timings: Timings) -> None:
    """What a runtime asks that has nothing to do."""
    take, provider = timings.take, timings.provider
    take("idle: fetch_orchestration_items", lambda: provider.fetch_orchestration_items(10, LOCK_MS))
    take("idle: fetch_activities", lambda: provider.fetch_activities(10, LOCK_MS, tags=TagFilter(), session=None))
    take("idle: fetch_expired_activities", lambda: provider.fetch_expired_activities(10, LOCK_MS))
    take("idle: next_due_ms", provider.next_due_ms)
    take("idle: next_due_ms of activities", lambda: provider.next_due_ms(activities_only=True))


def lists(timings: Timings, middle_ms: int) -> None:
    """Pages of 100, as a dashboard asks for them."""
    provider = timings.provider
    before = InstanceFilter(created_before=middle_ms)
    cursor = provider.list_instances(before, limit=100, cursor=None).cursor
    asked: dict[str, tuple[InstanceFilter, str | None]] = {
        "first page": (InstanceFilter(), None),
        "page in the middle, by cursor": (InstanceFilter(), cursor),
        "Running": (InstanceFilter(statuses=["Running"]), None),
        "Failed": (InstanceFilter(statuses=["Failed"]), None),
        "Completed": (InstanceFilter(statuses=["Completed"]), None),
        "of a common name": (InstanceFilter(orchestration_name="checkout"), None),
        "of a rare name": (InstanceFilter(orchestration_name="seldom"), None),
        "of a name that nobody has": (InstanceFilter(orchestration_name="nobody"), None),
        "Failed, of a name": (InstanceFilter(orchestration_name="refused", statuses=["Failed"]), None),
        "Failed, of a name that never fails": (
            InstanceFilter(orchestration_name="checkout", statuses=["Failed"]),
            None,
        ),
        "created in a window": (InstanceFilter(created_after=middle_ms, created_before=middle_ms + DAY_MS), None),
        "of an id prefix": (InstanceFilter(id_prefix="rare-"), None),
        "by ids": (InstanceFilter(ids=["completed-00000000", "nobody"]), None),
    }
    for name, (which, page) in asked.items():
        timings.take(f"list_instances: {name}", partial(provider.list_instances, which, limit=100, cursor=page))


def questions(timings: Timings) -> None:
    """What else is asked of an instance, and of all of them."""
    take, provider = timings.take, timings.provider
    take("get_instance_info: an old one", lambda: provider.get_instance_info("valued-00000000"))
    take("get_kv_all_values", lambda: provider.get_kv_all_values("valued-00000000"))
    take("list_executions", lambda: provider.list_executions("continued-00000000", limit=100, cursor=None))
    take("get_instance_tree", lambda: provider.get_instance_tree("parent-00000000"))
    take("get_queue_depths", provider.get_queue_depths)
    take("get_system_metrics", lambda: provider.get_system_metrics(count_events=False))


def retention(timings: Timings, now_ms: int) -> None:
    """A batch of what is old enough, and a look for what is not there."""
    take, provider = timings.take, timings.provider
    old = InstanceFilter(completed_before=now_ms - AGE_MS // 2)
    take("delete_instance_bulk: 100", lambda: provider.delete_instance_bulk(old, limit=100))
    sleepers = InstanceFilter(completed_before=now_ms, orchestration_name="sleeper")
    take("delete_instance_bulk: all that match sleep", lambda: provider.delete_instance_bulk(sleepers, limit=100))
    ancient = InstanceFilter(completed_before=now_ms - 2 * AGE_MS)
    take("delete_instance_bulk: nothing is old enough", lambda: provider.delete_instance_bulk(ancient, limit=100))
    none = PruneOptions(keep_last=100)
    take(
        "prune_executions_bulk: nothing to prune",
        lambda: provider.prune_executions_bulk(InstanceFilter(statuses=["Running"]), none, limit=100),
    )


def measure(provider: SqlProvider, *, repeat: int, explains: bool = False) -> Timings:
    """Do everything *repeat* times, and what takes longer a tenth as often. With *explains*, ask for plans instead."""
    timings = Timings(provider, explains)
    now_ms = provider.now_ms()
    for number in range(repeat):
        life(timings, f"growth-{new_token()}")
        idle(timings)
        questions_too = number % 10 == 0
        if questions_too:
            batches(timings, f"growth-{new_token()}")
            lists(timings, now_ms - AGE_MS // 2)
            questions(timings)
            retention(timings, now_ms)
    return timings


def whole_ways(provider: SqlProvider, *, repeat: int) -> Timings:
    """From a client's start to its answer, with a runtime; and waiting for what has ended."""
    timings = Timings(provider)
    with Runtime(provider, registry, RuntimeOptions()) as runtime:
        client: Client = runtime.client
        for number in range(repeat + _WARM_UP):
            instance_id = f"growth-{new_token()}"
            taken = Stopwatch()
            client.start_orchestration(instance_id, checkout, number)
            client.wait_for_result(instance_id, 60)
            if number >= _WARM_UP:
                timings.seconds["start to result of two activities"].append(taken.seconds())
            timings.take("wait_for_orchestration: has ended", partial(client.wait_for_orchestration, instance_id))
    return timings


def idle_runtime(provider: SqlProvider, seconds: float) -> dict[str, float]:
    """Statements and CPU of a runtime that has nothing to do, per second."""
    watched, calls = watch(provider)
    with Runtime(watched, registry, RuntimeOptions()):
        pause(2)
        calls.clear()
        before = cpu_seconds()
        pause(seconds)
        used = cpu_seconds() - before
    asked = sum(call.counts.statements for name in calls.operations() for call in calls.of(name))
    return {"statements per second": asked / seconds, "CPU ms per second": used * 1000 / seconds}
