"""Joins, races, branches, and giving up."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide._core import events as e
from duroxide._core.verdicts import Completed, Continue, Failed, Turn
from duroxide.errors import ErrorKind

from .histories import (
    Instance,
    Steps,
    activity,
    as_json,
    child,
    completed,
    dequeues,
    dropped,
    enqueued,
    failed,
    fired,
    raised,
    summary,
    timer,
    turn,
    waits,
)


def race(ctx: Any) -> Steps:
    """Run A against a timer."""
    winner = yield ctx.select(ctx.schedule_activity("A"), ctx.schedule_timer(1))
    return [winner.index, winner.value]


def join(ctx: Any) -> Steps:
    """Wait for A, B and C."""
    return (yield ctx.join(*(ctx.schedule_activity(name) for name in "ABC")))


def output(value: object) -> Completed:
    """The verdict of an orchestration that returned *value*."""
    return Completed(as_json(value))


class TestSelect:
    def test_activity_first(self) -> None:
        """[112] [120] The activity comes first: its branch; a lost timer costs nothing."""
        assert turn(race, activity(2), timer(3), completed(4, 2)) == Turn(output([0, "ok"]))

    def test_timer_first(self) -> None:
        """[113] [119] [129] The timer comes first: its branch; the activity is to be cancelled, on every replay."""
        result = turn(race, activity(2), timer(3), fired(4, 3))

        assert result.verdict == output([1, None])
        assert summary(result.events) == [(5, "ActivityCancelRequested", 2)]
        assert result.cancelled_activities == (2,)

    def test_nothing_ready(self) -> None:
        """[114] Nothing is ready: both are scheduled."""
        assert turn(race) == Turn(Continue(), (activity(2), timer(3)))

    def test_order_of_history_decides(self) -> None:
        """[122] [250] Of two answers in one batch the earlier in history wins, whatever the argument order."""
        result = turn(race, activity(2), timer(3), fired(4, 3), completed(5, 2))

        assert (result.verdict, result.cancelled_activities) == (output([1, None]), ())

    def test_argument_order_breaks_ties(self) -> None:
        """Among those that are ready when the race begins the first argument wins."""

        def late(ctx: Any) -> Steps:
            first, second = ctx.schedule_activity("A"), ctx.schedule_activity("B")
            yield ctx.schedule_wait("E")
            winner = yield ctx.select(first, second)
            return winner.index

        history = (activity(2), activity(3, "B"), waits(4), completed(5, 3), completed(6, 2), raised(7))

        assert turn(late, *history) == Turn(output(0))

    def test_error_wins(self) -> None:
        """A failure that comes first is raised."""

        def catches(ctx: Any) -> Steps:
            try:
                yield ctx.select(ctx.schedule_activity("A"), ctx.schedule_timer(1))
            except ValueError as error:
                return str(error)

        assert turn(catches, activity(2), timer(3), failed(4, 2, "no")).verdict == output("no")

    def test_keep_losers(self) -> None:
        """Without cancel_losers the loser goes on and can be waited for."""

        def both(ctx: Any) -> Steps:
            slow = ctx.schedule_activity("A")
            yield ctx.select(slow, ctx.schedule_timer(1), cancel_losers=False)
            return (yield slow)

        history = (activity(2), timer(3), fired(4, 3))
        assert turn(both, *history) == Turn(Continue())
        assert turn(both, *history, completed(5, 2)) == Turn(output("ok"))

    def test_keeps_no_old_races(self) -> None:
        """What goes on for long does not keep all the races that it was in, nor the messages that won them."""
        waiters: list[int] = []

        def serves(ctx: Any) -> Steps:
            stop = ctx.schedule_wait("stop")
            for _ in range(5):
                yield ctx.select(stop, stop, ctx.dequeue_event("Q"), cancel_losers=False)
                waiters.append(len(stop.waiters))

        instance = Instance(serves)
        for number in range(5):
            instance.deliver(enqueued(0, data=number))

        assert waiters == [0] * 5

    def test_nothing_to_wait_for(self) -> None:
        """An empty race would never end, and says so."""

        def empty(ctx: Any) -> Steps:
            yield ctx.select()

        verdict = turn(empty).verdict
        assert isinstance(verdict, Failed)
        assert "at least one" in verdict.details.message

    def test_waiting_for_a_loser(self) -> None:
        """Waiting for an action that lost raises ActionCancelled, with the remedy."""

        def waits_for_loser(ctx: Any) -> Steps:
            slow = ctx.schedule_activity("A")
            yield ctx.select(slow, ctx.schedule_timer(1))
            yield slow

        verdict = turn(waits_for_loser, activity(2), timer(3), fired(4, 3)).verdict
        assert isinstance(verdict, Failed)
        assert "cancel_losers=False" in verdict.details.message

    def test_race_then_new_activity(self) -> None:
        """[300] The worked example: a lost activity, then a new one, its late answer and the end."""

        def example(ctx: Any) -> Steps:
            yield from race(ctx)
            return (yield ctx.schedule_activity("B"))

        instance = Instance(example)
        instance.deliver(fired(0, 3))
        assert summary(instance.commit.events) == [
            (4, "TimerFired", 3), (5, "ActivityScheduled"), (6, "ActivityCancelRequested", 2),
        ]  # fmt: skip
        assert instance.commit.cancelled_activities == (2,)
        instance.deliver(completed(0, 5, "b"), completed(0, 2))
        assert summary(instance.commit.events) == [
            (7, "ActivityCompleted", 5), (8, "ActivityCompleted", 2), (9, "OrchestrationCompleted"),
        ]  # fmt: skip

    def test_lost_in_a_turn_that_asks_for_nothing(self) -> None:
        """A loser is given up in the turn in which it loses, not with the next thing that is asked for."""

        def goes_on_waiting(ctx: Any) -> Steps:
            kept = ctx.schedule_activity("K")
            yield from race(ctx)
            yield kept

        instance = Instance(goes_on_waiting)
        instance.deliver(fired(0, 4))

        assert summary(instance.commit.events) == [(5, "TimerFired", 4), (6, "ActivityCancelRequested", 3)]
        assert instance.commit.cancelled_activities == (3,)

    def test_nobody_goes_on_after_the_end(self) -> None:
        """A branch that got the same answer as the function, which returns with it, does not go on."""
        went_on = []

        def ends(ctx: Any) -> Steps:
            shared, other = ctx.schedule_activity("S"), ctx.schedule_activity("O")

            def branch() -> Steps:
                yield other
                yield shared
                went_on.append(True)

            ctx.join(branch())
            return (yield shared)

        instance = Instance(ends)
        instance.deliver(completed(0, 3))
        instance.deliver(completed(0, 2))

        assert (instance.output, went_on) == ("ok", [])

    @pytest.mark.parametrize(
        ("lose", "recorded", "kind"),
        [
            (lambda ctx: ctx.schedule_activity("A"), activity(2), e.ActivityCancelRequested),
            (lambda ctx: ctx.schedule_wait("E"), waits(2), e.ExternalSubscribedCancelled),
            (lambda ctx: ctx.dequeue_event("Q"), dequeues(2), e.QueueSubscriptionCancelled),
            (lambda ctx: ctx.schedule_sub_orchestration("C"), child(2), e.SubOrchestrationCancelRequested),
        ],
    )
    def test_breadcrumb_once(self, lose: Any, recorded: e.Event, kind: Any) -> None:
        """[125] [128] [135] [136] [244] [259] A loser leaves one breadcrumb, and none when history has it."""

        def loses(ctx: Any) -> Steps:
            yield ctx.select(lose(ctx), ctx.schedule_timer(1))
            yield ctx.schedule_wait("end")

        crumb = dropped(kind, 6, 2)
        result = turn(loses, recorded, timer(3), fired(4, 3))

        assert result.events == (waits(5, "end"), crumb)
        assert result.cancelled_children == (("i::sub::2",) if kind is e.SubOrchestrationCancelRequested else ())
        assert turn(loses, recorded, timer(3), fired(4, 3), waits(5, "end"), crumb) == Turn(Continue())


class TestJoin:
    def test_fresh(self) -> None:
        """[117] Joining three activities schedules three."""
        assert len(turn(join).events) == 3

    def test_one_missing(self) -> None:
        """[116] As long as one is missing the join waits."""
        history = (activity(2), activity(3, "B"), activity(4, "C"))

        assert turn(join, *history, completed(5, 2), completed(6, 4)) == Turn(Continue())

    def test_argument_order(self) -> None:
        """[282] [299] The results stand in argument order, however they came."""
        history = (activity(2), activity(3, "B"), activity(4, "C"))
        answers = (completed(5, 4, "c"), completed(6, 2, "a"), completed(7, 3, "b"))

        assert turn(join, *history, *answers) == Turn(output(["a", "b", "c"]))

    def test_empty(self) -> None:
        """Joining nothing is done at once."""

        def nothing(ctx: Any) -> Steps:
            return (yield ctx.join())

        assert turn(nothing) == Turn(output([]))

    def test_first_error_in_argument_order(self) -> None:
        """A failure stops nothing; when all are done the first error in argument order is raised."""
        history = (activity(2), activity(3, "B"), activity(4, "C"), failed(5, 4, "c"))
        assert turn(join, *history) == Turn(Continue())

        verdict = turn(join, *history, completed(6, 2), failed(7, 3, "b")).verdict
        assert isinstance(verdict, Failed)
        assert verdict.details.message == "b"

    def test_return_exceptions(self) -> None:
        """[305] Errors stand in the list, if asked for."""

        def errors(ctx: Any) -> Steps:
            results = yield ctx.join(*(ctx.schedule_activity(name) for name in "AB"), return_exceptions=True)
            return [str(result) for result in results]

        assert turn(errors, activity(2), activity(3, "B"), failed(4, 2, "a"), completed(5, 3, "b")) == Turn(
            output(["a", "b"])
        )

    def test_same_action_twice(self) -> None:
        """An action may be joined with itself, and waited for again."""

        def twice(ctx: Any) -> Steps:
            action = ctx.schedule_activity("A")
            both = yield ctx.join(action, action)
            return [*both, (yield action), (yield from action)]

        assert turn(twice, activity(2), completed(3, 2, 1)) == Turn(output([1, 1, 1, 1]))

    def test_mixed(self) -> None:
        """[630] An activity, a timer, an event and a message can be joined."""

        def mixed(ctx: Any) -> Steps:
            return (
                yield ctx.join(
                    ctx.schedule_activity("A"), ctx.schedule_timer(1), ctx.schedule_wait("E"), ctx.dequeue_event("Q")
                )
            )

        history = (activity(2), timer(3), waits(4), dequeues(5))
        answers = (enqueued(6, data="q"), raised(7, data="e"), fired(8, 3), completed(9, 2, "a"))

        assert turn(mixed, *history, *answers) == Turn(output(["a", None, "e", "q"]))

    def test_two_thousand(self) -> None:
        """[666] [Q26] Joining 2,000 activities completes."""

        def many(ctx: Any) -> Steps:
            return sum((yield ctx.join(*(ctx.schedule_activity("A", number) for number in range(2000)))))

        instance = Instance(many)
        instance.deliver(*(completed(0, number + 2, 1) for number in range(2000)))

        assert instance.output == 2000

    def test_not_an_action(self) -> None:
        """Joining what is no action says which argument it was, and what to pass."""

        def wrong(ctx: Any) -> Steps:
            yield ctx.join(ctx.schedule_activity("A"), "B")

        verdict = turn(wrong).verdict
        assert isinstance(verdict, Failed)
        assert verdict.details.kind is ErrorKind.PANICKED
        assert "argument 1 of join() is 'B'" in verdict.details.message


def block(ctx: Any, *names: str) -> Steps:
    """Call activities one after the other."""
    results = []
    for name in names:
        results += [(yield ctx.schedule_activity(name))]
    return results


class TestBranches:
    def test_joined(self) -> None:
        """[291] [292] Branches run beside each other, each in its own order."""

        def both(ctx: Any) -> Steps:
            return (yield ctx.join(block(ctx, "A", "B"), block(ctx, "C")))

        history = (activity(2), activity(3, "C"), completed(4, 3, "c"), completed(5, 2, "a"))
        assert turn(both, *history).events == (activity(6, "B"),)
        assert turn(both, *history, activity(6, "B"), completed(7, 6, "b")) == Turn(output([["a", "b"], ["c"]]))

    def test_lost_branch(self) -> None:
        """[293] A lost branch is closed: what it has open is cancelled, what it never reached never scheduled."""
        closed: list[str] = []

        def slow(ctx: Any) -> Steps:
            try:
                yield from block(ctx, "A", "never")
            finally:
                closed.append("slow")

        def contest(ctx: Any) -> Steps:
            winner = yield ctx.select(slow(ctx), block(ctx, "B"))
            return winner.index

        result = turn(contest, activity(2), activity(3, "B"), completed(4, 3))

        assert (result.verdict, result.cancelled_activities, closed) == (output(1), (2,), ["slow"])

    def test_three_way_race(self) -> None:
        """[295] The fastest of three blocks with timers wins."""

        def sleeper(ctx: Any, seconds: int) -> Steps:
            yield ctx.schedule_timer(seconds)
            return seconds

        def contest(ctx: Any) -> Steps:
            winner = yield ctx.select(*(sleeper(ctx, seconds) for seconds in (3, 1, 2)))
            return [winner.index, winner.value]

        assert turn(contest, timer(2), timer(3), timer(4), fired(5, 3)) == Turn(output([1, 1]))

    def test_join_in_a_race(self) -> None:
        """[296] A join inside a race, and a race inside a join."""

        def nested(ctx: Any) -> Steps:
            inner = ctx.select(ctx.schedule_activity("A"), ctx.schedule_timer(1))
            winner = yield ctx.select(ctx.join(inner, block(ctx, "B")), ctx.schedule_wait("E"))
            return [winner.value[0].index, winner.value[1]]

        result = turn(nested, activity(2), timer(3), activity(4, "B"), waits(5), fired(6, 3), completed(7, 4, "b"))

        assert result.verdict == output([1, ["b"]])
        assert summary(result.events) == [
            (8, "ActivityCancelRequested", 2), (9, "ExternalSubscribedCancelled", 5),
        ]  # fmt: skip

    def test_finishes_at_once(self) -> None:
        """A branch without a wait wins a race at once; its rival is started and given up."""

        def immediate() -> Steps:
            return "now"
            yield

        def contest(ctx: Any) -> Steps:
            winner = yield ctx.select(immediate(), block(ctx, "A"))
            return winner.value

        result = turn(contest)

        assert result.verdict == output("now")
        assert summary(result.events) == [(2, "ActivityScheduled"), (3, "ActivityCancelRequested", 2)]

    def test_hand_over(self) -> None:
        """What a finished branch started and did not wait for belongs to its parent: it lives on."""

        def starts(ctx: Any, kept: list[Any]) -> Steps:
            kept.append(ctx.schedule_activity("A"))
            yield ctx.schedule_activity("B")

        def parent(ctx: Any) -> Steps:
            kept: list[Any] = []
            yield ctx.join(starts(ctx, kept))
            return (yield kept[0])

        history = (activity(2), activity(3, "B"), completed(4, 3))

        assert turn(parent, *history) == Turn(Continue())
        assert turn(parent, *history, completed(5, 2)) == Turn(output("ok"))

    def test_branch_that_yields_while_closed(self) -> None:
        """A branch that yields while it is closed is a panic, which names the rule."""

        def stubborn(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_activity("A")
            finally:
                yield ctx.schedule_activity("B")

        def contest(ctx: Any) -> Steps:
            yield ctx.select(stubborn(ctx), ctx.schedule_timer(1))

        verdict = turn(contest, timer(2), activity(3), fired(4, 2)).verdict
        assert isinstance(verdict, Failed)
        assert verdict.details.kind is ErrorKind.PANICKED
        assert "do not yield in its `finally`" in verdict.details.message

    def test_a_branch_gives_itself_up(self) -> None:
        """A branch that cancels a race it runs in is told so; it is closed with the rest, and its `finally` runs then."""
        ended: list[bool] = []

        def suicidal(ctx: Any, races: list[Any]) -> Steps:
            try:
                yield ctx.schedule_activity("A")
                ctx.cancel(races[0])
                yield ctx.schedule_timer(9)
            finally:
                ctx.set_kv_value("ended", 1)
                ended.append(True)

        def wrong(ctx: Any) -> Steps:
            races: list[Any] = []
            races.append(ctx.select(suicidal(ctx, races), ctx.schedule_timer(1)))
            yield races[0]

        verdict = turn(wrong, timer(2), activity(3), completed(4, 3)).verdict
        assert isinstance(verdict, Failed)
        assert "a branch gave itself up while it ran" in verdict.details.message
        assert ended == [True]

    def test_generator_yielded(self) -> None:
        """Yielding a generator says to write `yield from`."""

        def wrong(ctx: Any) -> Steps:
            yield block(ctx, "A")

        verdict = turn(wrong).verdict
        assert isinstance(verdict, Failed)
        assert "`yield from`" in verdict.details.message

    @pytest.mark.parametrize("what", ["activity", "join", "key-value"])
    def test_finally_of_ended_code(self, what: str) -> None:
        """What the `finally` of an unfinished branch asks for after the return has no effect."""

        def lingering(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_timer(9)
            finally:
                if what == "activity":
                    ctx.schedule_activity("late")
                elif what == "join":
                    ctx.join(block(ctx, "late"))
                else:
                    ctx.set_kv_value("late", 1)

        def returns(ctx: Any) -> Steps:
            ctx.set_kv_value("early", 1)
            yield ctx.select(lingering(ctx), ctx.schedule_activity("A"), cancel_losers=False)
            ctx.clear_kv_value("early")

        instance = Instance(returns)
        instance.deliver(completed(0, 3))

        assert instance.kinds[-2:] == ["KeyValueCleared", "OrchestrationCompleted"]
        assert instance.commit.kv == {"early": None}
        assert instance.commit.cancelled_timers == (4,)


class TestCancel:
    @pytest.mark.parametrize(
        ("schedule", "kind"),
        [
            (lambda ctx: ctx.schedule_activity("A"), "ActivityCancelRequested"),
            (lambda ctx: ctx.schedule_wait("E"), "ExternalSubscribedCancelled"),
            (lambda ctx: ctx.dequeue_event("Q"), "QueueSubscriptionCancelled"),
            (lambda ctx: ctx.schedule_sub_orchestration("C"), "SubOrchestrationCancelRequested"),
            (lambda ctx: ctx.schedule_timer(1), None),
        ],
    )
    def test_then_return(self, schedule: Any, kind: str | None) -> None:
        """[123] [124] [125] [127] What is cancelled leaves a schedule and a breadcrumb; a timer only a schedule."""

        def gives_up(ctx: Any) -> None:
            ctx.cancel(schedule(ctx))

        result = turn(gives_up)

        assert summary(result.events)[1:] == ([(3, kind, 2)] if kind else [])
        assert result.cancelled_activities == ((2,) if kind == "ActivityCancelRequested" else ())
        assert result.cancelled_children == (("i::sub::2",) if kind == "SubOrchestrationCancelRequested" else ())
        assert result.left_open == ()

    def test_then_suspend(self) -> None:
        """[131] What is cancelled is cancelled in this turn, though the code goes on."""

        def goes_on(ctx: Any) -> Steps:
            ctx.cancel(ctx.schedule_activity("A"))
            yield ctx.schedule_timer(1)

        assert summary(turn(goes_on).events) == [
            (2, "ActivityScheduled"), (3, "TimerCreated"), (4, "ActivityCancelRequested", 2),
        ]  # fmt: skip

    def test_done(self) -> None:
        """[122] Cancelling what is done has no effect."""

        def late(ctx: Any) -> Steps:
            action = ctx.schedule_activity("A")
            yield action
            ctx.cancel(action)
            return (yield action)

        assert turn(late, activity(2), completed(3, 2)) == Turn(output("ok"))

    def test_many_in_order(self) -> None:
        """[652] [Q9] Breadcrumbs come in the order of their schedules, in whatever order the code gives up."""

        def gives_up(ctx: Any) -> Steps:
            actions = [ctx.schedule_activity("A", number) for number in range(20)]
            for action in reversed(actions):
                ctx.cancel(action)
            yield ctx.schedule_wait("E")

        crumbs = [event for event in turn(gives_up).events if isinstance(event, e.Breadcrumb)]

        assert [event.source_event_id for event in crumbs] == list(range(2, 22))

    def test_join(self) -> None:
        """Cancelling a join cancels its parts, and whoever waits for it gets ActionCancelled."""

        def gives_up(ctx: Any) -> Steps:
            both = ctx.join(ctx.schedule_activity("A"), block(ctx, "B"))
            ctx.cancel(both)
            yield both

        result = turn(gives_up)

        assert isinstance(result.verdict, Failed)
        assert result.verdict.details.type == "duroxide.errors.ActionCancelled"
        assert result.cancelled_activities == (2, 3)

    def test_not_an_action(self) -> None:
        """Cancelling what is no action says what to pass."""

        def wrong(ctx: Any) -> None:
            ctx.cancel("A")

        verdict = turn(wrong).verdict
        assert isinstance(verdict, Failed)
        assert "cancel() takes an action" in verdict.details.message


class TestEndInABatch:
    def test_answer_after_the_return(self) -> None:
        """What is answered in the batch in which the code returns is not given up as well."""
        instance = Instance(race)
        instance.deliver(fired(0, 3), completed(0, 2))

        assert summary(instance.commit.events)[2:] == [(6, "OrchestrationCompleted")]
        assert instance.commit.cancelled_activities == ()

    def test_unawaited_answered_after_the_return(self) -> None:
        """The same for what nobody ever waited for."""

        def forgets(ctx: Any) -> Steps:
            ctx.schedule_activity("A")
            yield ctx.schedule_timer(1)

        instance = Instance(forgets)
        instance.deliver(fired(0, 3), completed(0, 2))

        assert summary(instance.commit.events)[2:] == [(6, "OrchestrationCompleted")]
