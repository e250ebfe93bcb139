"""SqlProvider and a model of the contract in plain Python: whatever is done to both, they answer the same."""

from __future__ import annotations

import inspect

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from attrs import evolve
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import delete

from duroxide._clock import new_token
from duroxide._core import events as e
from duroxide._core.commit import (
    ActivityLock,
    CommitResult,
    CustomStatusChange,
    ExecutionStatus,
    InstanceLock,
    NewExecution,
    Outgoing,
    TurnCommit,
)
from duroxide._core.events import KvEntry
from duroxide._core.messages import ActivityExecute, Message, StartOrchestration
from duroxide._core.versions import VersionRange
from duroxide.errors import InstanceAlreadyExists, InstanceNotFound, InstanceStillRunning
from duroxide.providers.contract import (
    ActivityAck,
    HistoryRequest,
    InstanceInfo,
    Provider,
    Release,
    SessionClaim,
    TagFilter,
)
from duroxide.providers.management import InstanceFilter, Management, PruneOptions, PruneResult
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.schema import TABLES
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.vocabulary import LOCK_MS, NOW, activity, completed, raised, scheduled, start, timer

from .model import Model


#: More than the longest queue of a run: what a fetch looks at ahead is not what is tested here.
MANY = 10
MAX_QUEUE = 30

IDS = st.sampled_from(["a", "b", "c"])
SOON = st.sampled_from([1, 10, LOCK_MS - 1, LOCK_MS])
TAGS = st.sampled_from([None, "gpu"])
SESSIONS = st.sampled_from([None, None, "s", "t"])
FILTERS = st.sampled_from([TagFilter(tags=None), TagFilter(), TagFilter(untagged=False, tags={"gpu"})])
CLAIMS = st.sampled_from(
    [
        None,
        SessionClaim("alice", 2 * LOCK_MS),
        SessionClaim("alice", 2 * LOCK_MS, room=0, in_flight=frozenset({"s"})),
        SessionClaim("bob", 10),
        SessionClaim("bob", 10, room=1),
    ]
)
STATUSES = st.sets(st.sampled_from(ExecutionStatus), min_size=1)
OLD_RELEASES = VersionRange.between("1.0.0", "1.9.9")
#: Ways to get a commit wrong; mostly it is right.
SPOILERS: dict[str, Callable[[TurnCommit], TurnCommit]] = {
    "nothing": lambda turn: turn,
    "still nothing": lambda turn: turn,
    "handed over": lambda turn: evolve(turn, handed_over=True),
    "last event": lambda turn: evolve(turn, last_event_id=turn.last_event_id + 1),
    "incarnation": lambda turn: evolve(turn, incarnation=turn.incarnation + 1),
    "lock": lambda turn: evolve(turn, lock=InstanceLock(turn.instance_id, "nobody's")),
    "message": lambda turn: evolve(turn, consumed_messages=(*turn.consumed_messages, 10**9)),
    "timer": lambda turn: evolve(turn, fired_timers=(*turn.fired_timers, 10**6)),
    "activity": lambda turn: evolve(turn, finished_activities=(*turn.finished_activities, _nobodys(turn))),
}

T = TypeVar("T")


def _nobodys(turn: TurnCommit) -> ActivityLock:
    return ActivityLock(activity(turn.instance_id, 10**6).key, "nobody's")


class ProviderMachine(RuleBasedStateMachine):
    """Does the same to a provider and to the model, and compares."""

    #: Makes a provider on an empty store.
    make: Callable[[HeldClock], SqlProvider]
    #: Empties the store.
    clear: Callable[[SqlProvider], None]

    def __init__(self) -> None:
        super().__init__()
        self.clock = HeldClock()
        self.provider = type(self).make(self.clock)
        self.model = Model(NOW)
        self.instance_locks: list[InstanceLock] = []
        self.activity_locks: list[ActivityLock] = []
        self.lives = 0

    def teardown(self) -> None:
        type(self).clear(self.provider)
        self.provider.close()

    # Time

    @rule(ms=SOON)
    def advance(self, ms: int) -> None:
        self.clock.advance(ms)
        self.model.now_ms = self.clock.ms

    # The orchestrator queue

    @precondition(lambda self: len(self.model.queue) < MAX_QUEUE)
    @rule(
        sent=st.lists(
            st.tuples(IDS, st.sampled_from([None, 10]), st.sampled_from(["start", "next", "raised"])), max_size=3
        )
    )
    def enqueue(self, sent: list[tuple[str, int | None, str]]) -> None:
        messages = [
            Outgoing(self.message(kind, instance_id), None if later is None else self.clock.ms + later)
            for instance_id, later, kind in sent
        ]
        self.provider.enqueue(messages)
        self.model.enqueue(messages)

    def message(self, kind: str, instance_id: str) -> Message:
        """A message for an instance: an event, or what starts its first execution, or its next one."""
        if kind == "raised":
            return raised(instance_id).message
        info = self.model.infos.get(instance_id)
        execution_id = 1 if info is None or kind == "start" else info.execution_id + 1
        return evolve(start(instance_id).message, execution_id=execution_id)

    @precondition(lambda self: len(self.model.queue) < MAX_QUEUE)
    @rule(ids=st.lists(IDS, min_size=1, max_size=3), must_be_new=st.booleans())
    def start_instances(self, ids: list[str], *, must_be_new: bool) -> None:
        messages = [StartOrchestration(instance_id, "fulfil", str(n)) for n, instance_id in enumerate(ids)]
        if must_be_new and any(map(self.model.is_taken, ids)):
            with pytest.raises(InstanceAlreadyExists):
                self.provider.start_instances(messages, must_be_new=True)
        else:
            started = self.provider.start_instances(messages, must_be_new=must_be_new)

            assert self.model.start_instances(messages) == list(started)

    @rule(limit=st.sampled_from([1, MANY]), replayable=st.sampled_from([None, OLD_RELEASES]))
    def fetch(self, limit: int, replayable: VersionRange | None) -> None:
        items = self.provider.fetch_orchestration_items(limit, LOCK_MS, replayable=replayable)

        assert self.model.fetch(limit, replayable) == [item.lock.instance_id for item in items]
        for item in items:
            ids = [queued.id for queued in item.messages]
            batch = [(queued.message, queued.attempt_count) for queued in item.messages]
            assert self.model.lock(item.lock, LOCK_MS, ids) == batch
            info = self.model.infos.get(item.lock.instance_id)
            expected = (0, 0) if info is None else (info.execution_id, info.last_event_id)
            assert expected == (item.execution_id, item.last_event_id)
            self.instance_locks.append(item.lock)

    @precondition(lambda self: self.instance_locks)
    @rule(data=st.data(), delay_ms=st.sampled_from([0, 10]), ignore_attempt=st.booleans())
    def release(self, data: st.DataObject, delay_ms: int, *, ignore_attempt: bool) -> None:
        release = Release(data.draw(st.sampled_from(self.instance_locks)), delay_ms, ignore_attempt)

        assert [self.model.release(release)] == list(self.provider.release_orchestration_items([release]))

    @precondition(lambda self: self.instance_locks)
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        locks = data.draw(st.lists(st.sampled_from(self.instance_locks), unique=True))

        assert self.model.renew(locks, LOCK_MS) == self.provider.renew_instance_locks(locks, LOCK_MS)

    # Turns

    @precondition(lambda self: len(self.model.queue) < MAX_QUEUE)
    @rule(data=st.data(), ids=st.lists(IDS, min_size=1, max_size=2, unique=True))
    def commit(self, data: st.DataObject, ids: list[str]) -> None:
        turns = [self.turn(data.draw, instance_id) for instance_id in sorted(ids)]
        spoilers = [SPOILERS[data.draw(st.sampled_from(sorted(SPOILERS)))] for _ in turns]
        turns = [spoil(turn) for spoil, turn in zip(spoilers, turns, strict=True)]
        results = list(self.provider.commit_turns(turns, lock_ms=LOCK_MS))

        assert self.model.commit(turns, LOCK_MS) == results
        for turn, result in zip(turns, results, strict=True):
            if result is CommitResult.COMMITTED:
                self.activity_locks += turn.eager

    def turn(self, draw: Callable[..., Any], instance_id: str) -> TurnCommit:
        """A turn of an instance that would hold, if its lock does."""
        info = self.model.infos.get(instance_id)
        locks = [None, *(lock for lock in self.instance_locks if lock.instance_id == instance_id)]
        lock = draw(st.sampled_from(locks[:1] + locks[-2:]))
        batch = [queued.id for queued in self.model.queue if lock is not None and queued.token == lock.token]
        turn = TurnCommit(
            instance_id=instance_id,
            execution_id=0 if info is None else info.execution_id,
            incarnation=self.model.incarnations.get(instance_id, 0),
            last_event_id=0 if info is None else info.last_event_id,
            lock=lock,
            consumed_messages=tuple(i for i in batch if i is not None and draw(st.booleans())),
        )
        if turn.last_event_id and info.status is ExecutionStatus.CONTINUED_AS_NEW and not draw(st.integers(0, 4)):
            return evolve(turn, status=ExecutionStatus.FAILED, output="'lost'")
        if info is None or info.status is ExecutionStatus.CONTINUED_AS_NEW:
            return self.decide(draw, self.first(draw, turn)) if draw(st.integers(0, 4)) else turn
        return self.decide(draw, turn) if info.status is ExecutionStatus.RUNNING else turn

    def first(self, draw: Callable[..., Any], turn: TurnCommit) -> TurnCommit:
        """The first turn of the next execution."""
        self.lives += 1
        new = NewExecution("fulfil", "1.0.0", None, draw(st.sampled_from(["1.2.3", "2.0.0"])))
        incarnation = turn.incarnation or self.lives
        return evolve(turn, execution_id=turn.execution_id + 1, incarnation=incarnation, last_event_id=0, started=new)

    def decide(self, draw: Callable[..., Any], turn: TurnCommit) -> TurnCommit:
        """Let a turn do something: schedule, finish, cancel, set, send, end."""
        event_id = turn.last_event_id + 1
        events: list[e.Event] = [scheduled(event_id + number) for number in range(draw(st.integers(1, 3)))]
        works = [self.work(draw, turn, event.event_id) for event in events if draw(st.booleans())]
        messages = draw(st.lists(IDS.map(raised), max_size=1))
        timers = [queued for queued in (self.model._timer(turn, number) for number in range(event_id)) if queued]
        if draw(st.booleans()):
            messages.append(timer(turn.instance_id, event_id, self.clock.ms + 10, turn.execution_id))
        open_work = [key for key in self.model.work if key.instance_id == turn.instance_id]
        mine = [lock for lock in self.activity_locks if lock.key in open_work]
        return evolve(
            turn,
            events=tuple(events),
            activities=tuple(works),
            eager=tuple(ActivityLock(work.key, new_token()) for work in works if draw(st.booleans())),
            finished_activities=tuple(draw(st.lists(st.sampled_from(mine), max_size=1))) if mine else (),
            cancelled_activities=tuple(key.activity_id for key in open_work if draw(st.integers(0, 3)) == 3),
            fired_timers=tuple(_event_id(queued.message) for queued in timers[:1] if draw(st.booleans())),
            messages=tuple(messages),
            custom_status=draw(st.sampled_from([None, CustomStatusChange("x"), CustomStatusChange(None)])),
            kv=draw(st.dictionaries(st.sampled_from("kl"), st.sampled_from([None, KvEntry("1", 5), KvEntry("2", 6)]))),
            **self.end(draw),
        )

    def end(self, draw: Callable[..., Any]) -> dict[str, Any]:
        """How the turn ends the execution, if it does."""
        if draw(st.integers(0, 2)):
            return {}
        ends = [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CONTINUED_AS_NEW]
        return {"status": draw(st.sampled_from(ends)), "output": '"out"'}

    def work(self, draw: Callable[..., Any], turn: TurnCommit, activity_id: int) -> ActivityExecute:
        """An activity of a turn."""
        work = activity(
            turn.instance_id,
            activity_id,
            tag=draw(TAGS),
            session_id=draw(SESSIONS),
            execution_id=turn.execution_id,
        )
        return evolve(work, expires_at_ms=draw(st.sampled_from([None, self.clock.ms + 10])))

    # The worker queue

    @rule(limit=st.sampled_from([1, 2, MANY]), tags=FILTERS, claim=CLAIMS)
    def fetch_activities(self, limit: int, tags: TagFilter, claim: SessionClaim | None) -> None:
        items = self.provider.fetch_activities(limit, LOCK_MS, tags=tags, session=claim)

        assert self.model.fetch_activities(limit, tags, claim) == [item.work.key for item in items]
        self.take(items)

    @rule()
    def fetch_expired_activities(self) -> None:
        items = self.provider.fetch_expired_activities(100, LOCK_MS)

        assert self.model.expired() == {item.work.key for item in items}
        self.take(items, begins=False)

    def take(self, items: Any, *, begins: bool = True) -> None:
        """Lock activities in the model, as the provider did."""
        for item in items:
            assert self.model.lock_activity(item.lock, LOCK_MS, begins=begins) == (item.work, item.attempt_count)
            self.activity_locks.append(item.lock)

    @precondition(lambda self: self.activity_locks and len(self.model.queue) < MAX_QUEUE)
    @rule(data=st.data(), is_awaited=st.booleans())
    def ack(self, data: st.DataObject, *, is_awaited: bool) -> None:
        locks = data.draw(st.lists(st.sampled_from(self.activity_locks), unique=True, max_size=2))
        # A message has no time of its own.
        done = evolve(completed(0, 2), timestamp_ms=0)
        acks = [ActivityAck(lock, done if is_awaited else None) for lock in locks]

        assert [self.model.ack(ack) for ack in acks] == list(self.provider.ack_activities(acks))

    @precondition(lambda self: self.activity_locks)
    @rule(data=st.data(), delay_ms=st.sampled_from([0, 10]), ignore_attempt=st.booleans())
    def release_activity(self, data: st.DataObject, delay_ms: int, *, ignore_attempt: bool) -> None:
        release = Release(data.draw(st.sampled_from(self.activity_locks)), delay_ms, ignore_attempt)

        assert [self.model.release_activity(release)] == list(self.provider.release_activities([release]))

    @precondition(lambda self: self.activity_locks)
    @rule(data=st.data())
    def renew_activities(self, data: st.DataObject) -> None:
        locks = data.draw(st.lists(st.sampled_from(self.activity_locks), unique=True))

        assert self.model.rows_of(locks) == self.provider.held_activity_locks(locks)
        assert self.model.renew_activities(locks, LOCK_MS) == self.provider.renew_activity_locks(locks, LOCK_MS)

    @rule(owner=st.sampled_from(["alice", "bob"]), idle_ms=st.sampled_from([10, 3 * LOCK_MS]))
    def renew_sessions(self, owner: str, idle_ms: int) -> None:
        assert self.model.renew_sessions(owner, LOCK_MS, idle_ms) == self.provider.renew_sessions(
            owner, LOCK_MS, idle_ms
        )

    @rule()
    def remove_orphaned_sessions(self) -> None:
        assert self.model.remove_orphaned_sessions() == self.provider.remove_orphaned_sessions()

    # Management

    @rule(instance_id=IDS, force=st.booleans())
    def delete_instance(self, instance_id: str, *, force: bool) -> None:
        if instance_id not in self.model.infos:
            with pytest.raises(InstanceNotFound):
                self.provider.delete_instance(instance_id, force=force)
        elif self.model.runs(instance_id) and not force:
            with pytest.raises(InstanceStillRunning):
                self.provider.delete_instance(instance_id, force=force)
        else:
            result = self.provider.delete_instance(instance_id, force=force)

            assert self.model.delete(instance_id) == result

    @rule(statuses=STATUSES, limit=st.sampled_from([1, MANY]))
    def delete_instance_bulk(self, statuses: set[ExecutionStatus], limit: int) -> None:
        result = self.provider.delete_instance_bulk(InstanceFilter(statuses=statuses), limit=limit)

        assert self.model.delete_bulk(statuses, limit) == result

    @rule(instance_id=IDS, keep=st.sampled_from([None, 1, 2]))
    def prune_executions(self, instance_id: str, keep: int | None) -> None:
        options = PruneOptions(keep_last=keep)
        if instance_id in self.model.infos:
            result = self.provider.prune_executions(instance_id, options)

            assert self.model.prune(instance_id, keep or 1) == result
        else:
            with pytest.raises(InstanceNotFound):
                self.provider.prune_executions(instance_id, options)

    @rule(ids=st.sets(IDS, min_size=1), keep=st.sampled_from([1, 2]))
    def prune_executions_bulk(self, ids: set[str], keep: int) -> None:
        options = PruneOptions(keep_last=keep)
        result = self.provider.prune_executions_bulk(InstanceFilter(ids=ids), options, limit=MANY)
        expected = PruneResult()
        for instance_id in ids & self.model.infos.keys():
            expected += self.model.prune(instance_id, keep)

        assert expected == result

    # Questions

    @rule(limit=st.sampled_from([1, 2, MANY]))
    def list_instances(self, limit: int) -> None:
        found: list[InstanceInfo] = []
        cursor = None
        while True:
            page = self.provider.list_instances(InstanceFilter(), limit=limit, cursor=cursor)
            found += page.items
            cursor = page.cursor
            if cursor is None:
                break

        assert self.model.listed() == found

    @rule()
    def counts(self) -> None:
        assert self.model.metrics() == self.provider.get_system_metrics(count_events=True)
        assert self.model.depths() == self.provider.get_queue_depths()

    @rule(instance_id=IDS)
    def executions(self, instance_id: str) -> None:
        page = self.provider.list_executions(instance_id, limit=MANY, cursor=None)
        expected = sorted(
            (key[1], len(events)) for key, events in self.model.histories.items() if key[0] == instance_id
        )

        assert expected == [(info.execution_id, info.event_count) for info in page]
        for info in page:
            assert info == self.provider.get_execution_info(instance_id, info.execution_id)

    @rule(instance_id=IDS)
    def get_instance_tree(self, instance_id: str) -> None:
        tree = self.provider.get_instance_tree(instance_id)
        info = self.model.infos.get(instance_id)

        # Turns at random have no children: whether they would be found is for the conformance suite.
        assert (None if info is None else (info,)) == (None if tree is None else tree.instances)

    @rule(instance_id=IDS, after=st.integers(0, 5), execution_id=st.sampled_from([None, 1, 2]))
    def read_the_rest(self, instance_id: str, after: int, execution_id: int | None) -> None:
        (found,) = self.provider.read_histories([HistoryRequest(instance_id, execution_id, after)])
        info = self.model.infos.get(instance_id)
        current = 0 if info is None else info.execution_id
        history = self.model.histories.get((instance_id, execution_id or current), [])

        assert [event for event in history if event.event_id > after] == list(found)

    @rule(instance_id=IDS, key=st.sampled_from("kl"))
    def get_kv_value(self, instance_id: str, key: str) -> None:
        assert self.model.kv.get(instance_id, {}).get(key) == self.provider.get_kv_value(instance_id, key)

    @rule(ago_ms=st.sampled_from([0, 10, LOCK_MS]), activities_only=st.booleans())
    def next_due_ms(self, ago_ms: int, *, activities_only: bool) -> None:
        after_ms = self.clock.ms - ago_ms
        due_ms = self.provider.next_due_ms(after_ms, activities_only=activities_only)

        assert self.model.next_due_ms(after_ms, activities_only=activities_only) == due_ms

    # What is there

    @invariant()
    def instances_are_the_same(self) -> None:
        for instance_id in ("a", "b", "c"):
            assert self.model.infos.get(instance_id) == self.provider.get_instance_info(instance_id)
            assert self.model.kv.get(instance_id, {}) == self.provider.get_kv_all_values(instance_id)

    @invariant()
    def histories_are_the_same(self) -> None:
        keys = [(instance_id, execution_id) for instance_id in ("a", "b", "c") for execution_id in (1, 2, 3)]
        found = self.provider.read_histories([HistoryRequest(*key) for key in keys])

        assert [self.model.histories.get(key, []) for key in keys] == list(map(list, found))

    @invariant()
    def the_next_due_time_is_the_same(self) -> None:
        assert self.model.next_due_ms() == self.provider.next_due_ms()


def _event_id(message: Any) -> int:
    return int(message.event.source_event_id)


def machine(
    make: Callable[[HeldClock], SqlProvider], clear: Callable[[SqlProvider], None]
) -> type[RuleBasedStateMachine]:
    """Return the machine for one kind of store."""
    return type("Machine", (ProviderMachine,), {"make": staticmethod(make), "clear": staticmethod(clear)})


def empty(provider: SqlProvider, schema: str | None) -> None:
    """Delete everything."""
    with provider._engine.begin() as connection:
        connection = connection.execution_options(schema_translate_map={None: schema})
        for table in TABLES.values():
            connection.execute(delete(table))


def opened(url: str, schema: str | None = None) -> Callable[[HeldClock], SqlProvider]:
    """Return what makes an initialized provider at *url*."""

    def make(clock: HeldClock) -> SqlProvider:
        provider = SqlProvider(url, schema=schema, clock=clock)
        provider.initialize()
        return provider

    return make


@pytest.fixture
def few() -> settings:
    """As many examples as a disk can bear."""
    return settings(settings.default, max_examples=8, stateful_step_count=40)


def test_memory() -> None:
    """SQLite in memory does what the model does."""
    examples = max(40, settings.default.max_examples // 2)
    run_state_machine_as_test(
        machine(opened("sqlite://"), lambda provider: None),
        settings=settings(settings.default, max_examples=examples, stateful_step_count=50),
    )


def test_file(sqlite_url: str, few: settings) -> None:
    """An SQLite file does what the model does."""
    run_state_machine_as_test(machine(opened(sqlite_url), lambda provider: empty(provider, None)), settings=few)


def test_postgres(postgres_url: str, migrated_schema: str, few: settings) -> None:
    """Postgres does what the model does."""
    run_state_machine_as_test(
        machine(opened(postgres_url, migrated_schema), lambda provider: empty(provider, migrated_schema)), settings=few
    )


def test_every_operation() -> None:
    """Every operation of both contracts takes part, but for those that turns at random say nothing about."""
    source = inspect.getsource(ProviderMachine)
    operations = {name for contract in (Provider, Management) for name in vars(contract) if not name.startswith("_")}
    # What random turns leave behind breaks the conservation law; the others are how a provider begins.
    elsewhere = {"audit", "initialize", "now_ms"}

    assert elsewhere == {name for name in operations if f"self.provider.{name}(" not in source}
