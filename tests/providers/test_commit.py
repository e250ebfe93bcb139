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
    def test_instance(self, provider: SqlProvider) -> None:
        """The first commit brings the instance to life, with all that is known of it."""
        parent = Parent("p", 3, 5)
        must_commit(provider, evolve(first_turn(), started=NewExecution("fulfil", "1.2.0", parent, "1.2.3")))

        expected = InstanceInfo(
            instance_id="a",
            orchestration_name="fulfil",
            orchestration_version="1.2.0",
            execution_id=1,
            last_event_id=1,
            status=ExecutionStatus.RUNNING,
            output=None,
            custom_status=None,
            custom_status_version=0,
            parent_instance_id="p",
            created_at_ms=NOW,
            updated_at_ms=NOW,
        )
        assert expected == provider.get_instance_info("a")

    def test_parent_is_in_items(self, provider: SqlProvider) -> None:
        """Whoever fetches the instance learns whom it reports to."""
        parent = Parent("p", 3, 5)
        must_commit(provider, evolve(first_turn(), started=NewExecution("fulfil", "1.2.0", parent, "1.2.3")))
        provider.enqueue([raised()])

        assert parent == fetch_one(provider).parent

    def test_existing_id(self, provider: SqlProvider) -> None:
        """An instance that exists is not started again, whatever its incarnation."""
        must_commit(provider, first_turn())

        assert [CommitResult.STALE] == commit(provider, evolve(first_turn(), incarnation=8))

    def test_start_and_end(self, provider: SqlProvider) -> None:
        """A first turn may be the last as well."""
        turn = first_turn()
        events = (*turn.events, e.OrchestrationCompleted(2, NOW, "1"))
        must_commit(provider, evolve(turn, events=events, status=ExecutionStatus.COMPLETED, output="1"))

        assert (ExecutionStatus.COMPLETED, "1") == (info_of(provider).status, info_of(provider).output)
        assert [] == provider.audit()


class TestNextExecution:
    def continued(self, provider: SqlProvider) -> TurnCommit:
        """Let execution 1 continue as new."""
        first = first_turn()
        last = next_turn(first, e.OrchestrationContinuedAsNew(2, NOW, "5"))
        must_commit(provider, first)
        must_commit(provider, evolve(last, status=ExecutionStatus.CONTINUED_AS_NEW, output="5"))
        return last

    def second(self) -> TurnCommit:
        """The first turn of execution 2."""
        new = NewExecution("fulfil", "2.0.0", None, "1.3.0")
        return evolve(first_turn(), execution_id=2, started=new, events=(started("a", 2),))

    def test_becomes_current(self, provider: SqlProvider) -> None:
        """The instance is at the new execution, running, under its version."""
        self.continued(provider)
        before = info_of(provider).status
        must_commit(provider, self.second())
        info = info_of(provider)

        assert ExecutionStatus.CONTINUED_AS_NEW == before
        assert (2, "2.0.0", ExecutionStatus.RUNNING, None) == (
            info.execution_id,
            info.orchestration_version,
            info.status,
            info.output,
        )
        assert [] == provider.audit()

    def test_histories_are_separate(self, provider: SqlProvider) -> None:
        """Each execution keeps its own history."""
        self.continued(provider)
        must_commit(provider, self.second())
        first, second = provider.read_histories([HistoryRequest("a", 1), HistoryRequest("a", 2)])

        assert [started("a", 1), e.OrchestrationContinuedAsNew(2, NOW, "5")] == first
        assert [started("a", 2)] == second == events_of(provider)

    def test_twice(self, provider: SqlProvider) -> None:
        """The same execution does not start twice."""
        self.continued(provider)
        must_commit(provider, self.second())

        assert [CommitResult.STALE] == commit(provider, self.second())

    def test_other_incarnation(self, provider: SqlProvider) -> None:
        """An execution of an earlier life of the instance does not start."""
        self.continued(provider)

        assert [CommitResult.STALE] == commit(provider, evolve(self.second(), incarnation=8))


class TestProgress:
    def test_appends(self, provider: SqlProvider) -> None:
        """A commit appends its events."""
        turn = first_turn()
        must_commit(provider, turn)
        must_commit(provider, next_turn(turn, scheduled(2), scheduled(3)))

        assert [started(), scheduled(2), scheduled(3)] == events_of(provider)

    def test_end(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A commit that ends the execution says so in the instance."""
        turn = first_turn()
        must_commit(provider, turn)
        clock.advance(5)
        must_commit(provider, ending(turn))
        info = info_of(provider)

        assert (ExecutionStatus.COMPLETED, '"out"') == (info.status, info.output)
        assert (NOW, NOW + 5) == (info.created_at_ms, info.updated_at_ms)

    def test_leftovers_of_the_end(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A commit that only throws messages away changes nothing of an instance that has ended."""
        turn = first_turn()
        last = ending(turn)
        must_commit(provider, turn)
        must_commit(provider, last)
        before = info_of(provider)
        clock.advance(5)
        provider.enqueue([raised()])
        item = fetch_one(provider)
        consumed = tuple(message.id for message in item.messages)
        must_commit(provider, evolve(next_turn(last), lock=item.lock, consumed_messages=consumed))

        assert before == info_of(provider)
        assert [] == fetch(provider)

    def test_timers_at_the_end(self, provider: SqlProvider) -> None:
        """A commit that ends the execution removes the timers that it names, there or not."""
        turn = first_turn(messages=(timer("a", 2, NOW + 1000),), timers=(2,))
        must_commit(provider, turn)
        must_commit(provider, ending(turn, cancelled_timers=(2, 99)))

        assert None is provider.next_due_ms()
        assert [] == provider.audit()

    @pytest.mark.parametrize("text", ["\0", "\ud800", "ü"])
    def test_any_output(self, provider: SqlProvider, text: str) -> None:
        """An error text may hold anything: what no database takes is shown instead."""
        turn = first_turn()
        must_commit(provider, turn)
        must_commit(provider, evolve(ending(turn), output=text))

        assert {"\0": "\\x00", "\ud800": "\\ud800", "ü": "ü"}[text] == info_of(provider).output


class TestCustomStatus:
    def test_is_set_and_cleared(self, provider: SqlProvider) -> None:
        """Each change grows the version by one; no change leaves status and version alone."""
        seen = []
        turn = first_turn()
        must_commit(provider, turn)
        for change in (CustomStatusChange("one"), None, CustomStatusChange(None)):
            turn = next_turn(turn, scheduled(turn.events[-1].event_id + 1))
            must_commit(provider, evolve(turn, custom_status=change))
            seen.append((info_of(provider).custom_status, info_of(provider).custom_status_version))

        assert [("one", 1), ("one", 1), (None, 2)] == seen

    def test_in_the_first_turn(self, provider: SqlProvider) -> None:
        """The first turn may set it as well."""
        must_commit(provider, evolve(first_turn(), custom_status=CustomStatusChange("hello")))

        assert ("hello", 1) == (info_of(provider).custom_status, info_of(provider).custom_status_version)


class TestKeyValues:
    def test_set_replace_remove(self, provider: SqlProvider) -> None:
        """Values are set, replaced and removed; the others stay."""
        turn = first_turn()
        must_commit(provider, evolve(turn, kv={"k": KvEntry("1", 5), "gone": KvEntry("1", 5), "": KvEntry("", 5)}))
        turn = next_turn(turn, scheduled(2))
        must_commit(provider, evolve(turn, kv={"k": KvEntry("2", 6), "gone": None, "never": None}))

        assert {"k": KvEntry("2", 6), "": KvEntry("", 5)} == provider.get_kv_all_values("a")
        assert KvEntry("2", 6) == provider.get_kv_value("a", "k")
        assert None is provider.get_kv_value("a", "gone")

    def test_belong_to_the_instance(self, provider: SqlProvider) -> None:
        """Another instance, or an unknown one, has none of them."""
        must_commit(provider, evolve(first_turn("a"), kv={"k": KvEntry("1", 5)}), first_turn("b"))

        assert ({}, {}, None) == (
            provider.get_kv_all_values("b"),
            provider.get_kv_all_values("c"),
            provider.get_kv_value("c", "k"),
        )


class TestShortWay:
    def test_finishes_activity(self, provider: SqlProvider) -> None:
        """The completion goes into history, the activity's row goes, the next one comes: one commit."""
        first = eager_turn()
        must_commit(provider, first)
        must_commit(provider, finishing_turn(first))

        assert [] == provider.audit()
        assert [started(), scheduled(2), completed(3, 2), scheduled(4)] == events_of(provider)
        assert frozenset([lock_of(activity("a", 4))]) == provider.held_activity_locks(
            [lock_of(activity("a", 2)), lock_of(activity("a", 4))]
        )

    def test_timer(self, provider: SqlProvider) -> None:
        """A timer that fires straight into the turn takes its message with it."""
        turn = first_turn(messages=(timer("a", 2, NOW),), timers=(2,))
        must_commit(provider, turn)
        fired = evolve(next_turn(turn, e.TimerFired(3, NOW, 2, NOW)), fired_timers=(2,))
        must_commit(provider, fired)

        assert ([], []) == (fetch(provider), provider.audit())

    def test_timer_fires_once(self, provider: SqlProvider) -> None:
        """A timer whose message is gone does not fire into a turn."""
        turn = first_turn()
        must_commit(provider, turn)
        fired = evolve(next_turn(turn, e.TimerFired(2, NOW, 2, NOW)), fired_timers=(2,))

        assert [CommitResult.GONE] == commit(provider, fired)


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
    def test_alone(self, provider: SqlProvider, reason: str) -> None:
        """A commit that does not hold is refused with the reason, and leaves no trace."""
        spoil, expected = REFUSALS[reason]
        first = eager_turn()
        must_commit(provider, first)
        before = (events_of(provider), provider.get_instance_info("a"))

        assert [expected] == commit(provider, spoil(finishing_turn(first)))
        assert before == (events_of(provider), provider.get_instance_info("a"))
        assert frozenset([lock_of(activity())]) == provider.held_activity_locks([lock_of(activity())])
        assert [] == provider.audit()

    def test_in_a_batch(self, provider: SqlProvider, reason: str) -> None:
        """A commit that does not hold takes nobody down: the others of its batch are written."""
        spoil, expected = REFUSALS[reason]
        firsts = [eager_turn(instance_id) for instance_id in ("z", "a", "m")]
        must_commit(provider, *firsts)
        before, *others = (finishing_turn(first) for first in firsts)
        batch = [before, spoil(others[0]), others[1]]

        assert [CommitResult.COMMITTED, expected, CommitResult.COMMITTED] == commit(provider, *batch)
        assert [4, 2, 4] == [len(events_of(provider, first.instance_id)) for first in firsts]
        assert [] == provider.audit()


class TestExpiredActivity:
    def test_is_gone(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A completion under an expired lock is not appended: the activity is anybody's by now."""
        first = eager_turn()
        must_commit(provider, first)
        clock.advance(LOCK_MS)

        assert [CommitResult.GONE] == commit(provider, finishing_turn(first))
        assert 1 == len(fetch_work(provider))


class TestEffects:
    def test_eager_activities_are_locked(self, provider: SqlProvider, clock: HeldClock) -> None:
        """Eager activities are nobody else's until their lock expires, and count as delivered once."""
        waiting = activity("a", 3)
        first = first_turn("a", activity("a", 2), waiting, eager=(lock_of(activity("a", 2)),))
        must_commit(provider, first)
        now = fetch_work(provider)
        provider.ack_activities([])
        clock.advance(LOCK_MS)
        later = {item.work.key.activity_id: item.attempt_count for item in fetch_work(provider)}

        assert [(waiting, 1)] == [(item.work, item.attempt_count) for item in now]
        assert {2: 2, 3: 2} == later

    def test_cancelled_activities_go(self, provider: SqlProvider) -> None:
        """Cancelled activities are removed, even those that the same commit inserts; unknown ones are fine."""
        turn = first_turn("a", activity("a", 2), activity("a", 3))
        must_commit(provider, evolve(turn, cancelled_activities=(2,)))
        must_commit(provider, evolve(next_turn(turn, scheduled(4)), cancelled_activities=(3, 77)))

        assert [] == fetch_work(provider)

    def test_messages(self, provider: SqlProvider) -> None:
        """Messages for other instances are enqueued."""
        must_commit(provider, first_turn(messages=(start("b"), start("c"))))

        assert {"b", "c"} == {item.lock.instance_id for item in fetch(provider)}

    def test_fan_out(self, provider: SqlProvider) -> None:
        """A turn may schedule thousands of activities, which come out in order."""
        work = [activity("a", number) for number in range(2, 2002)]
        must_commit(provider, first_turn("a", *work))

        assert work == [item.work for item in fetch_work(provider, 3000)]


class TestReadHistories:
    def test_after(self, provider: SqlProvider) -> None:
        """Only what is missing is read."""
        turn = first_turn()
        must_commit(provider, turn, first_turn("b"))
        must_commit(provider, next_turn(turn, scheduled(2)))
        answers = provider.read_histories(
            [
                HistoryRequest("a", after_event_id=1),
                HistoryRequest("nobody"),
                HistoryRequest("b"),
                HistoryRequest("a", 9),
            ]
        )

        assert [[scheduled(2)], [], [started("b")], []] == list(answers)

    def test_nothing(self, provider: SqlProvider) -> None:
        """No request, no answer."""
        assert [] == list(provider.read_histories([]))
