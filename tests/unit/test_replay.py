"""Turns over hand-written histories: what is asked for, what is matched, and what does not fit."""

from __future__ import annotations

import inspect
import json

from collections import deque
from decimal import Decimal, getcontext, localcontext
from typing import Any

import pytest

from duroxide._core import events as e
from duroxide._core.execution import Execution
from duroxide._core.executor import Executor
from duroxide._core.messages import Deliver
from duroxide._core.turn import run_turn
from duroxide._core.verdicts import Cancelled, Completed, Continue, ContinuesAsNew, Failed, Turn
from duroxide.errors import ErrorCategory, ErrorKind

from .histories import (
    Instance,
    Steps,
    T,
    activity,
    as_json,
    cancel,
    chained,
    child,
    child_completed,
    child_failed,
    completed,
    dequeues,
    details,
    dropped,
    enqueued,
    failed,
    fired,
    kv_set,
    nondeterminism,
    raised,
    started,
    summary,
    timer,
    turn,
    waits,
)


NOTHING = Turn(Continue())


def one_activity(ctx: Any) -> Steps:
    """Call A."""
    return (yield ctx.schedule_activity("A"))


def one_timer(ctx: Any) -> Steps:
    """Sleep for a second."""
    return (yield ctx.schedule_timer(1))


def one_wait(ctx: Any) -> Steps:
    """Wait for E."""
    return (yield ctx.schedule_wait("E"))


def one_dequeue(ctx: Any) -> Steps:
    """Take from Q."""
    return (yield ctx.dequeue_event("Q"))


def one_child(ctx: Any) -> Steps:
    """Run C."""
    return (yield ctx.schedule_sub_orchestration("C"))


def waits_for_nothing_else(ctx: Any) -> Steps:
    """Wait for another event."""
    return (yield ctx.schedule_wait("unrelated"))


def two_activities(ctx: Any) -> Steps:
    """Call A, then B."""
    first = yield ctx.schedule_activity("A")
    second = yield ctx.schedule_activity("B")
    return f"{first},{second}"


def returns(ctx: Any) -> str:
    """Return at once."""
    return "success"


class TestFreshTurns:
    def test_returns(self) -> None:
        """[1] [633] A function that asks for nothing completes with what it returns."""
        assert turn(returns) == Turn(Completed('"success"'))

    def test_raises(self) -> None:
        """[2] A function that raises fails with the message, and trying again does not help."""

        def fails(ctx: Any) -> Steps:
            raise ValueError("failure")
            yield

        verdict = turn(fails).verdict

        assert isinstance(verdict, Failed)
        assert verdict.details.kind is ErrorKind.ORCHESTRATION_FAILED
        assert (verdict.details.message, verdict.details.type, verdict.details.retryable) == (
            "failure", "ValueError", False,
        )  # fmt: skip
        assert "raise ValueError" in (verdict.details.traceback or "")

    def test_activity(self) -> None:
        """[3] Waiting for an activity schedules it, with its name and input."""

        def greet(ctx: Any) -> Steps:
            return (yield ctx.schedule_activity("Greet", "Alice"))

        assert turn(greet) == Turn(Continue(), (activity(2, "Greet", "Alice"),))

    @pytest.mark.parametrize(
        ("fn", "expected"),
        [(one_wait, waits(2)), (one_dequeue, dequeues(2)), (one_child, child(2)), (one_timer, timer(2))],
    )
    def test_each_kind(self, fn: Any, expected: e.Event) -> None:
        """[5] [6] Every kind of request becomes one event of its kind."""
        assert turn(fn) == Turn(Continue(), (expected,))

    def test_detached(self) -> None:
        """[7] A detached start is recorded exactly, also by a turn that completes."""

        def detach(ctx: Any) -> Steps:
            return (yield ctx.schedule_orchestration("D", "d", {"x": 1}))

        assert turn(detach) == Turn(Completed('"d"'), (chained(2, "D", "d", {"x": 1}),))

    def test_child_then_continue_as_new(self) -> None:
        """[9] What was asked for before continuing as new is recorded."""

        def chain(ctx: Any) -> Steps:
            ctx.schedule_sub_orchestration("C")
            yield ctx.continue_as_new(1)

        result = turn(chain)

        assert (result.verdict, result.events) == (ContinuesAsNew("1", None), (child(2),))

    def test_unawaited(self) -> None:
        """[10] What nobody waited for at the return is recorded, and given up."""

        def forget(ctx: Any) -> None:
            for name in "ABC":
                ctx.schedule_activity(name)

        result = turn(forget)

        assert summary(result.events) == [
            (2, "ActivityScheduled"), (3, "ActivityScheduled"), (4, "ActivityScheduled"),
            (5, "ActivityCancelRequested", 2), (6, "ActivityCancelRequested", 3), (7, "ActivityCancelRequested", 4),
        ]  # fmt: skip
        assert {event.reason for event in result.events[3:] if isinstance(event, e.Breadcrumb)} == {"dropped_future"}
        assert result.cancelled_activities == (2, 3, 4)

    def test_session_and_tag(self) -> None:
        """[11] Session and tag are recorded."""

        def tagged(ctx: Any) -> Steps:
            yield ctx.schedule_activity("A", session_id="sess-1", tag="gpu")

        assert turn(tagged).events == (activity(2, session_id="sess-1", tag="gpu"),)

    def test_order(self) -> None:
        """[13] [14] [17] Requests of one turn are recorded in order, with contiguous ids."""

        def everything(ctx: Any) -> Steps:
            ctx.schedule_activity("A")
            ctx.schedule_timer(1)
            ctx.schedule_wait("E")
            ctx.schedule_sub_orchestration("C")
            ctx.schedule_orchestration("D", "d")
            yield ctx.dequeue_event("Q")

        assert turn(everything).events == (activity(2), timer(3), waits(4), child(5), chained(6), dequeues(7))

    def test_gaps(self) -> None:
        """[16] [88] New ids follow the highest one of the history."""
        history = (started(), e.ExternalEvent(5, 1_000_000, "x", "1"))

        assert [event.event_id for event in run_turn(history, one_activity).events] == [6]

    def test_detached_then_activity(self) -> None:
        """[18] [289] A detached start followed by an activity replays."""

        def both(ctx: Any) -> Steps:
            ctx.schedule_orchestration("D", "d")
            return (yield ctx.schedule_activity("A"))

        assert turn(both, chained(2), activity(3), completed(4, 3)) == Turn(Completed('"ok"'))


class TestReplay:
    @pytest.mark.parametrize(
        ("fn", "history", "output"),
        [
            (one_activity, [activity(2), completed(3, 2, "r")], "r"),
            (one_timer, [timer(2), fired(3, 2)], None),
            (one_wait, [waits(2), raised(3)], "data"),
            (one_wait, [waits(2), raised(3, data="")], ""),
            (one_wait, [waits(2), raised(3, data="a"), raised(4, data="b")], "a"),
            (one_dequeue, [dequeues(2), enqueued(3)], "data"),
            (one_child, [child(2), child_completed(3, 2, "r")], "r"),
            (two_activities, [activity(2), completed(3, 2, "r1"), activity(4, "B"), completed(5, 4, "r2")], "r1,r2"),
            (one_activity, [activity(2), completed(3, 2, "x" * 1_000_000)], "x" * 1_000_000),
            (one_activity, [activity(2), completed(3, 2, "🎉 \0\n\t")], "🎉 \0\n\t"),
        ],
        ids=["activity", "timer", "event", "empty", "two events", "queue", "child", "sequence", "1 MB", "unicode"],
    )
    def test_complete(self, fn: Any, history: list[e.Event], output: Any) -> None:
        """[19] [21] [22] [23] [29] [37] [40] [41] [98] A complete history replays to its result."""
        assert turn(fn, *history) == Turn(Completed(as_json(output)))

    @pytest.mark.parametrize(
        ("fn", "event"),
        [
            (one_activity, activity(2)), (one_timer, timer(2)), (one_wait, waits(2)), (one_dequeue, dequeues(2)),
            (one_child, child(2)),
        ],
    )  # fmt: skip
    def test_pending(self, fn: Any, event: e.Event) -> None:
        """[24] [26] [27] What has been asked for is not asked for again."""
        assert turn(fn, event) == NOTHING

    def test_next_step(self) -> None:
        """[28] [32] Only the step after the last completed one is new."""
        assert turn(two_activities, activity(2), completed(3, 2)).events == (activity(4, "B"),)

    def test_identical_activities(self) -> None:
        """[31] Equal activities around a timer get their own results, though every turn is a replay."""

        def twice(ctx: Any) -> Steps:
            first = yield ctx.schedule_activity("A")
            yield ctx.schedule_timer(1)
            return [first, (yield ctx.schedule_activity("A"))]

        instance = Instance(twice)
        for answer in (completed(0, 2, "one"), fired(0, 4), completed(0, 6, "two")):
            instance.rebuild()
            instance.deliver(answer)

        assert instance.output == ["one", "two"]

    def test_ten(self) -> None:
        """[34] [626] Ten activities in sequence take 2 events each, and one for each end."""

        def ten(ctx: Any) -> Steps:
            results = []
            for number in range(10):
                results += [(yield ctx.schedule_activity("A", number))]
            return results

        instance = Instance(ten)
        for number in range(10):
            instance.deliver(completed(0, 2 + 2 * number, number))

        assert (instance.output, len(instance.history)) == (list(range(10)), 22)
        assert turn(ten, *instance.history[:-1]) == Turn(Completed(as_json(list(range(10)))))

    def test_zero_timer(self) -> None:
        """[35] A timer of no time is still a timer: it ends in a later turn."""

        def zero(ctx: Any) -> Steps:
            yield ctx.schedule_timer(0)

        assert turn(zero) == Turn(Continue(), (timer(2, 1_000_000),))

    def test_empty_name_and_input(self) -> None:
        """[36] [98] An empty input is an input, and an empty name a name."""

        def empty(ctx: Any) -> Steps:
            return (yield ctx.schedule_activity("", ""))

        assert turn(empty, activity(2, "", input=""), completed(3, 2, "")) == Turn(Completed('""'))

    def test_runs_once(self) -> None:
        """[39] Replay makes the generator once."""
        calls: list[int] = []

        def counted(ctx: Any) -> Steps:
            calls.append(1)
            return (yield ctx.schedule_activity("A"))

        turn(counted, activity(2), completed(3, 2))

        assert calls == [1]

    def test_input(self) -> None:
        """The input arrives as the annotated type."""

        def double(ctx: Any, number: int) -> int:
            return 2 * number

        assert turn(double, started(input=21)) == Turn(Completed("42"))

    def test_bad_input_fails(self) -> None:
        """An input of another type fails the instance, and says where it was."""

        def double(ctx: Any, number: int) -> int:
            return 2 * number

        verdict = turn(double, started(input=["x"])).verdict

        assert isinstance(verdict, Failed)
        assert "input of orchestration 'fn'" in verdict.details.message


class TestIsReplaying:
    @staticmethod
    def flags(*history: e.Event, persisted: int) -> list[bool]:
        """Replay, and return what the flag was at each step."""
        seen: list[bool] = []

        def look(ctx: Any) -> Steps:
            seen.append(ctx.is_replaying)
            for name in "AB":
                yield ctx.schedule_activity(name)
                seen.append(ctx.is_replaying)

        run_turn([started(), *history], look, persisted=persisted)
        return seen

    def test_first_statement(self) -> None:
        """[142] With a persisted start the first statement replays; without, it does not."""
        assert (self.flags(persisted=1), self.flags(persisted=0)) == ([True], [False])

    def test_last_persisted(self) -> None:
        """[144] What reacts to the last event of the past is new."""
        assert self.flags(activity(2), completed(3, 2), persisted=3) == [True, False]

    def test_boundary(self) -> None:
        """[145] The flag is off from the first event on that was not persisted."""
        history = (activity(2), completed(3, 2), activity(4, "B"), completed(5, 4))

        assert self.flags(*history, persisted=4) == [True, True, False]

    def test_rebuilt(self) -> None:
        """An execution that is rebuilt from the store replays all that led to something that is stored."""
        seen: list[bool] = []

        def look(ctx: Any) -> Steps:
            for name in "AB":
                seen.append(ctx.is_replaying)
                yield ctx.schedule_activity(name)
            seen.append(ctx.is_replaying)

        instance = Instance(look)
        instance.deliver(completed(0, 2))
        instance.rebuild()
        instance.deliver(completed(0, 4))

        assert seen == [False, False, True, True, False]


MISMATCHES = [
    pytest.param(one_timer, activity(2), id="n1 activity, timer"),
    pytest.param(one_activity, timer(2), id="n1 timer, activity"),
    pytest.param(one_child, activity(2), id="n1 activity, child"),
    pytest.param(one_wait, dequeues(2), id="n1 queue, event"),
]


class TestNondeterminism:
    @pytest.mark.parametrize(("fn", "event"), MISMATCHES)
    def test_n1_kind(self, fn: Any, event: e.Event) -> None:
        """[62] [635] N1: another kind of request than the recorded one."""
        message = nondeterminism(turn(fn, event))

        assert f"event 2 {type(event).__name__}" in message

    def test_full_message(self) -> None:
        """The message names the event, what was recorded, what the code did, where, the usual cause and the remedy."""

        def charge(ctx: Any) -> Steps:
            yield ctx.schedule_timer(1)

        lines, first = inspect.getsourcelines(charge)
        del lines

        assert nondeterminism(turn(charge, activity(2, "pay", 7))) == (
            "history recorded event 2 ActivityScheduled(name='pay', input='7', attempt=1), but the code asked for"
            f" CreateTimer(fire_at_ms=1001000) in its place (it is at {__file__}:{first + 1} in charge). This happens"
            " when the code of an orchestration, or a class that it passes on, is changed under a running instance, or"
            " depends on something that is not in its history: a clock, a random number, the environment, a global, the order of a set. Register"
            " changed code as a new version, and use ctx.utc_now(), ctx.new_guid(), ctx.random or an activity for the"
            " rest."
        )

    @pytest.mark.parametrize(
        ("recorded", "differs"),
        [
            pytest.param(activity(2, "B"), "name='B'", id="n2 name"),
            pytest.param(activity(2, input=1), "input='1'", id="n3 input"),
            pytest.param(activity(2, session_id="s"), "session_id='s'", id="n4 session"),
            pytest.param(activity(2, tag="t"), "tag='t'", id="n5 tag removed"),
        ],
    )
    def test_n2_n3_n4_n5_activity(self, recorded: e.Event, differs: str) -> None:
        """[64] [65] [68] N2 to N5: name, input, session and tag of an activity must agree."""
        assert differs in nondeterminism(turn(one_activity, recorded))

    @pytest.mark.parametrize("recorded", [None, "cpu"])
    def test_n5_tag_added_or_changed(self, recorded: str | None) -> None:
        """[68] N5: a tag that was added or changed."""

        def tagged(ctx: Any) -> Steps:
            yield ctx.schedule_activity("A", tag="gpu")

        assert "tag='gpu'" in nondeterminism(turn(tagged, activity(2, tag=recorded)))

    @pytest.mark.parametrize(("fn", "recorded"), [(one_wait, waits(2, "F")), (one_dequeue, dequeues(2, "F"))])
    def test_n6_event_name(self, fn: Any, recorded: e.Event) -> None:
        """[66] N6: the name of an event or a queue differs."""
        assert "name='F'" in nondeterminism(turn(fn, recorded))

    @pytest.mark.parametrize("recorded", [child(2, "X"), child(2, input=1)])
    def test_n7_child(self, recorded: e.Event) -> None:
        """N7: the name or the input of a child differs."""
        assert "SubOrchestrationScheduled" in nondeterminism(turn(one_child, recorded))

    @pytest.mark.parametrize("recorded", [chained(2, "X"), chained(2, instance_id="x"), chained(2, input=1)])
    def test_n8_detached(self, recorded: e.Event) -> None:
        """N8: name, instance or input of a detached start differ."""

        def detach(ctx: Any) -> Steps:
            ctx.schedule_orchestration("D", "d")
            yield ctx.schedule_wait("E")

        assert "OrchestrationChained" in nondeterminism(turn(detach, recorded))

    def test_n9_detached_not_asked_for(self) -> None:
        """[70] N9: history has a detached start, the code waits without having asked for it."""
        message = nondeterminism(turn(waits_for_nothing_else, waits(2, "unrelated"), chained(3)))

        assert "the code asked for nothing in its place: it waits at" in message

    def test_n10_schedule_not_asked_for(self) -> None:
        """N10: history has one schedule more than the code asked for; the message says where the code waits."""
        lines, first = inspect.getsourcelines(waits_for_nothing_else)
        message = nondeterminism(turn(waits_for_nothing_else, waits(2, "unrelated"), activity(3)))

        assert "event 3 ActivityScheduled(name='A'" in message
        assert f"it waits at {__file__}:{first + len(lines) - 1} in waits_for_nothing_else" in message

    @pytest.mark.parametrize(("fn", "event"), [(one_activity, activity), (one_timer, timer)])
    def test_n11_duplicate_schedule(self, fn: Any, event: Any) -> None:
        """[78] [79] N11: a schedule event is there twice."""
        assert "asked for nothing" in nondeterminism(turn(fn, event(2), event(3)))

    @pytest.mark.parametrize(
        "answer", [completed(0, 999), failed(0, 999), fired(0, 999), child_completed(0, 999), child_failed(0, 999)]
    )
    def test_n12_unknown_completion(self, answer: e.Event) -> None:
        """[54] [55] [56] [274] N12: a completion message for an id that was never scheduled fails the instance."""
        instance = Instance(one_activity)
        instance.deliver(answer)

        assert instance.commit.output is not None
        assert "no matching schedule 999" in instance.commit.output
        assert type(answer).__name__ in instance.commit.output
        assert instance.kinds == [
            "OrchestrationStarted", "ActivityScheduled", "ActivityCancelRequested", "OrchestrationFailed",
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("fn", "answer", "scheduled"),
        [
            (one_timer, completed(0, 2), "TimerCreated"),
            (one_timer, failed(0, 2), "TimerCreated"),
            (one_timer, child_completed(0, 2), "TimerCreated"),
            (one_activity, fired(0, 2), "ActivityScheduled"),
            (one_activity, child_completed(0, 2), "ActivityScheduled"),
            (one_activity, child_failed(0, 2), "ActivityScheduled"),
            (one_child, fired(0, 2), "SubOrchestrationScheduled"),
            (one_child, completed(0, 2), "SubOrchestrationScheduled"),
            (one_wait, completed(0, 2), "ExternalSubscribed"),
        ],
    )
    def test_n13_wrong_kind(self, fn: Any, answer: e.Event, scheduled: str) -> None:
        """[57] [59] [60] [61] N13: a completion message of another kind than its schedule names both kinds."""
        instance = Instance(fn)
        instance.deliver(answer)

        assert instance.commit.output is not None
        assert type(answer).__name__ in instance.commit.output
        assert scheduled in instance.commit.output
        assert "kind mismatch" in instance.commit.output

    @pytest.mark.parametrize(
        ("fn", "history", "says"),
        [
            (one_activity, [activity(2), completed(3, 9)], "There is no schedule event 9"),
            (one_timer, [fired(2, 3), timer(3)], "There is no schedule event 3"),
            (one_activity, [completed(2, 3), activity(3)], "There is no schedule event 3"),
            (one_timer, [timer(2), completed(3, 2)], "kind mismatch"),
        ],
        ids=["unknown", "early timer", "early activity", "kind"],
    )
    def test_n14_completion_without_schedule(self, fn: Any, history: list[e.Event], says: str) -> None:
        """[72] [81] [82] [90] N14: a completion in history without an open schedule of its kind before it."""
        message = nondeterminism(turn(fn, *history))

        assert says in message
        assert "The history is damaged" in message

    @pytest.mark.parametrize(
        ("fn", "schedule", "first", "second"),
        [
            (one_activity, activity(2), completed(3, 2), completed(5, 2)),
            (one_activity, activity(2), completed(3, 2), failed(5, 2)),
            (one_timer, timer(2), fired(3, 2), fired(5, 2)),
            (one_child, child(2), child_completed(3, 2), child_completed(5, 2)),
            (one_child, child(2), child_completed(3, 2), child_failed(5, 2)),
        ],
    )
    def test_n14_second_completion(self, fn: Any, schedule: e.Event, first: e.Event, second: e.Event) -> None:
        """[73] [74] [75] [77] N14: a second completion in history, while the code waits for something else."""

        def then_waits(ctx: Any) -> Steps:
            yield from fn(ctx)
            yield ctx.schedule_wait("E")

        message = nondeterminism(turn(then_waits, schedule, first, waits(4), second))

        assert "Event 2 was answered before" in message

    @pytest.mark.parametrize(
        ("change", "recorded"),
        [
            (lambda ctx: ctx.set_kv_value("other", "v"), kv_set(2)),
            (lambda ctx: ctx.set_kv_value("k", "other"), kv_set(2)),
            (lambda ctx: ctx.clear_kv_value("other"), e.KeyValueCleared(2, 0, "k")),
            (lambda ctx: ctx.schedule_activity("A"), e.KeyValueCleared(2, 0, "k")),
            (lambda ctx: ctx.schedule_activity("A"), kv_set(2)),
            (lambda ctx: ctx.schedule_activity("A"), e.KeyValuesCleared(2, 0)),
        ],
    )
    def test_n15_key_values(self, change: Any, recorded: e.Event) -> None:
        """[154] [161] [163] N15: another key, another value, or something else than a change of key-values."""

        def changes(ctx: Any) -> Steps:
            change(ctx)
            yield ctx.schedule_wait("E")

        assert type(recorded).__name__ in nondeterminism(turn(changes, recorded))

    def test_n16_status(self) -> None:
        """N16: history has a status change where the code asks for something else."""
        assert "CustomStatusUpdated" in nondeterminism(turn(one_activity, e.CustomStatusUpdated(2, 0, "s")))

    @pytest.mark.parametrize(
        ("fn", "schedule", "kind", "says"),
        [
            (one_activity, activity(2), e.ActivityCancelRequested, "activity"),
            (one_child, child(2), e.SubOrchestrationCancelRequested, "sub-orchestration"),
            (one_wait, waits(2), e.ExternalSubscribedCancelled, "external event"),
            (one_dequeue, dequeues(2), e.QueueSubscriptionCancelled, "queue"),
        ],
    )
    def test_n17_not_dropped_any_more(self, fn: Any, schedule: e.Event, kind: Any, says: str) -> None:
        """[133] N17: history says that something was given up, and the code still waits for it. It is not given up twice."""
        result = turn(fn, schedule, dropped(kind, 3, 2))
        message = nondeterminism(result)

        assert result.left_open == ()
        assert message.startswith(f"cancellation mismatch ({says}): history recorded event 3 {kind.__name__}")
        assert "but the code still wants" in message

    @pytest.mark.parametrize(
        ("history", "says"),
        [
            ([timer(2)], "asked for CallActivity(name='A', input='null', "),
            ([activity(2), timer(3)], "the code asked for nothing in its place: it waits at "),
            ([activity(2), dropped(e.ActivityCancelRequested, 3, 2)], "the code still wants CallActivity(name='A', "),
        ],
        ids=["mismatch", "extra", "cancellation"],
    )
    def test_every_message_is_complete(self, history: list[e.Event], says: str) -> None:
        """Whatever does not fit: the event and its fields, what the code did, file and line, cause and remedy."""
        lines, first = inspect.getsourcelines(one_activity)
        message = nondeterminism(turn(one_activity, *history))

        assert f"event {history[-1].event_id} {type(history[-1]).__name__}(" in message
        assert says in message
        assert f"{__file__}:{first + len(lines) - 1} in one_activity" in message
        assert "or a class that it passes on, is changed under a running instance" in message
        assert "Register changed code as a new version, and use ctx.utc_now()" in message

    def test_long_inputs(self) -> None:
        """Of inputs that are the same for a while, the message shows where they are not."""
        recorded, asked_for = ({"items": "x" * 1000, "priority": priority} for priority in (1, 2))

        def passes_on(ctx: Any) -> Steps:
            yield ctx.schedule_activity("A", asked_for)

        result = turn(passes_on, activity(2, input=recorded))

        message = nondeterminism(result)
        assert """xxx","priority":1}' (1027 characters)""" in message
        assert """xxx","priority":2}' (1027 characters)""" in message
        assert message.count("input=…xxx") == 2

    def test_repeated_id(self) -> None:
        """Of two open schedules with one id nobody knows which is answered."""

        def race(ctx: Any) -> Steps:
            yield ctx.select(ctx.schedule_activity("A"), ctx.schedule_timer(1))

        message = nondeterminism(turn(race, activity(2), timer(2), fired(3, 2)))

        assert "event 2 TimerCreated" in message
        assert "another schedule of that id has no answer yet" in message

    def test_n18_empty(self) -> None:
        """[85] N18: an empty history."""
        assert "empty" in nondeterminism(run_turn([], one_activity))

    @pytest.mark.parametrize("history", [[activity(2)], [activity(1), started()]])
    def test_n19_no_start(self, history: list[e.Event]) -> None:
        """[86] N19: the first event is not a start."""
        assert "OrchestrationStarted" in nondeterminism(run_turn(history, one_activity))

    def test_ends_what_history_started(self) -> None:
        """[645] [Q4] What is open is ended even when the code never asked for it."""
        result = turn(one_timer, child(2), activity(3))

        assert [event.event_id for event in result.left_open] == [2, 3]

    def test_continuation_in_place_of_a_schedule(self) -> None:
        """Continuing as new where history has a schedule does not fit, and the message says so."""

        def chain(ctx: Any) -> Steps:
            yield ctx.continue_as_new(1)

        assert "ContinueAsNew(input='1')" in nondeterminism(turn(chain, activity(2)))


class TestTolerated:
    @pytest.mark.parametrize("extra", [(activity(2),), (activity(2), completed(3, 2)), (activity(2), completed(3, 9))])
    def test_t1_early_return(self, extra: tuple[e.Event, ...]) -> None:
        """[69] T1: code that returns early leaves the rest of history unexamined."""
        assert turn(returns, *extra).verdict == Completed('"success"')

    def test_t1_early_return_ends_what_is_open(self) -> None:
        """T1: what history started is ended when the code returns without it."""
        assert turn(returns, activity(2)).left_open == (activity(2),)

    def test_t2_timer_duration(self) -> None:
        """T2: another duration; the recorded time counts."""
        assert turn(one_timer, timer(2, 5), fired(3, 2, 5)) == Turn(Completed("null"))

    def test_t3_status_text(self) -> None:
        """[84] T3: another status text."""

        def status(ctx: Any) -> Steps:
            ctx.set_custom_status("new text")
            return (yield ctx.schedule_activity("A"))

        assert turn(status, e.CustomStatusUpdated(2, 0, "old"), activity(3), completed(4, 3)).verdict == Completed(
            '"ok"'
        )

    def test_t4_kv_timestamp(self) -> None:
        """[164] T4: another time of a key-value."""

        def keep(ctx: Any) -> Steps:
            ctx.set_kv_value("k", "v")
            return (yield ctx.schedule_activity("A"))

        assert turn(keep, kv_set(2, updated_at_ms=5), activity(3)) == NOTHING

    def test_t5_child_id_and_version(self) -> None:
        """T5: another child id or version in the code; history's count."""

        def other(ctx: Any) -> Steps:
            return (yield ctx.schedule_sub_orchestration("C", instance_id="new", version="2.0.0"))

        result = turn(other, child(2, instance_id="old", version="1.0.0"), child_completed(3, 2))

        assert result == Turn(Completed('"ok"'))

    @pytest.mark.parametrize("execution_id", [0, 2, 999])
    def test_t6_other_execution(self, execution_id: int) -> None:
        """[272] T6: a completion for another execution is dropped, and said to be."""
        instance = Instance(one_activity)
        instance.deliver(completed(0, 2), execution_id=execution_id)

        assert instance.commit.events == ()
        assert f"for execution {execution_id}, now 1" in instance.staged.dropped[0]

    @pytest.mark.parametrize("again", [completed(0, 2), failed(0, 2)])
    def test_t7_redelivered(self, again: e.Event) -> None:
        """[47] [97] [649] T7: a redelivered completion, of whatever flavour, is dropped."""
        instance = Instance(two_activities)
        instance.deliver(completed(0, 2))
        instance.deliver(again)

        assert instance.commit.events == ()

    def test_t8_twice_in_a_batch(self) -> None:
        """[48] T8: of two completions of one schedule in one batch the first counts."""
        instance = Instance(two_activities)
        instance.deliver(failed(0, 2, "first"), completed(0, 2))

        assert summary(instance.commit.events)[0] == (3, "ActivityFailed", 2)
        assert instance.kinds.count("ActivityCompleted") == 0

    def test_t9_nobody_waits(self) -> None:
        """[50] T9: an event nobody waits for is recorded, and disturbs nobody."""
        instance = Instance(one_activity)
        instance.deliver(raised(0), enqueued(0))

        assert summary(instance.commit.events) == [(3, "ExternalEvent"), (4, "QueueEventDelivered")]

    def test_t10_identical_arrivals(self) -> None:
        """[52] T10: identical arrivals are two arrivals."""
        instance = Instance(one_activity)
        instance.deliver(raised(0), raised(0))

        assert instance.kinds.count("ExternalEvent") == 2

    def test_t11_completion_after_cancel_request(self) -> None:
        """[132] T11: a completion after its breadcrumb changes nothing."""
        assert turn(
            race, activity(2), timer(3), fired(4, 3), activity(5, "B"), dropped(e.ActivityCancelRequested, 6, 2),
            completed(7, 2), completed(8, 5, "b"),
        ) == Turn(Completed('"b"'))  # fmt: skip

    @pytest.mark.parametrize(
        ("lose", "recorded", "kind"),
        [
            (lambda ctx: ctx.schedule_activity("A"), activity(2), e.ActivityCancelRequested),
            (lambda ctx: ctx.schedule_sub_orchestration("C"), child(2), e.SubOrchestrationCancelRequested),
        ],
        ids=["activity", "child"],
    )
    def test_t12_duplicate_breadcrumbs(self, lose: Any, recorded: e.Event, kind: Any) -> None:
        """[139] [140] T12: duplicate breadcrumbs are harmless."""

        def loses(ctx: Any) -> Steps:
            yield ctx.select(lose(ctx), ctx.schedule_timer(1))
            return (yield ctx.schedule_activity("B"))

        crumbs = [dropped(kind, event_id, 2) for event_id in (6, 7, 8)]

        assert turn(loses, recorded, timer(3), fired(4, 3), activity(5, "B"), *crumbs) == NOTHING

    @pytest.mark.parametrize(
        ("recorded", "kind", "lose"),
        [
            (waits(2), e.ExternalSubscribedCancelled, lambda ctx: ctx.schedule_wait("E")),
            (activity(2), e.ActivityCancelRequested, lambda ctx: ctx.schedule_activity("A")),
        ],
    )
    def test_t12_breadcrumb_of_another_reason(self, recorded: e.Event, kind: Any, lose: Any) -> None:
        """What has a breadcrumb of any reason gets no other when the code gives it up."""

        def loses(ctx: Any) -> Steps:
            yield ctx.select(lose(ctx), ctx.schedule_timer(1))

        crumb = kind(4, T, 2, "orchestration_terminal")

        assert turn(loses, recorded, timer(3), crumb, fired(5, 3)) == Turn(Completed("null"))

    def test_t13_new_drops(self) -> None:
        """[138] T13: drops that come after recorded ones are the only new ones."""

        def two_drops(ctx: Any) -> Steps:
            ctx.cancel(ctx.schedule_activity("A"))
            yield ctx.schedule_timer(1)
            ctx.cancel(ctx.schedule_activity("B"))
            yield ctx.schedule_wait("E")

        result = turn(two_drops, activity(2), timer(3), dropped(e.ActivityCancelRequested, 4, 2), fired(5, 3))

        assert summary(result.events) == [
            (6, "ActivityScheduled"), (7, "ExternalSubscribed"), (8, "ActivityCancelRequested", 6),
        ]  # fmt: skip
        assert result.cancelled_activities == (6,)

    @pytest.mark.parametrize("ids", [(5, 9), (0, 7), (9, 3)])
    def test_t14_odd_ids(self, ids: tuple[int, int]) -> None:
        """[88] [89] T14: gaps, id 0 and ids that go down: no crash, and the result arrives."""
        assert turn(one_activity, activity(ids[0]), completed(ids[1], ids[0])) == Turn(Completed('"ok"'))

    def test_t15_unawaited_completion(self) -> None:
        """[141] T15: the completion of something nobody waits for yet blocks nobody."""

        def later(ctx: Any) -> Steps:
            first, second = ctx.schedule_activity("A"), ctx.schedule_activity("B")
            return [(yield second), (yield first)]

        history = (activity(2), activity(3, "B"), completed(4, 2, "a"), completed(5, 3, "b"))

        assert turn(later, *history) == Turn(Completed('["b","a"]'))

    @pytest.mark.parametrize(
        "ending",
        [
            e.OrchestrationCompleted(3, 0, "1"),
            e.OrchestrationFailed(3, 0, details()),
            e.OrchestrationContinuedAsNew(3, 0, "1"),
        ],
    )
    def test_t16_after_the_end(self, ending: e.Event) -> None:
        """[92] [93] [94] T16: after a terminal event nothing is asked for, whatever follows it."""
        assert turn(one_activity, activity(2), ending) == NOTHING
        assert turn(one_activity, activity(2), ending, completed(4, 2), ending) == NOTHING

    def test_t16_messages_after_the_end(self) -> None:
        """[96] T16: messages to an execution that has ended add nothing to history."""
        instance = Instance(one_activity)
        instance.deliver(completed(0, 2))
        instance.rebuild()
        instance.deliver(cancel(), raised(0), completed(0, 2))

        assert instance.commit.events == ()
        assert len(instance.staged.dropped) == 3

    def test_t17_second_cancel(self) -> None:
        """T17: only the first cancel request counts."""
        assert turn(one_activity, activity(2), cancel(3, "a"), cancel(4, "b")).verdict == Cancelled("a")


def race(ctx: Any) -> Steps:
    """The worked example of the semantics: A against a timer, then B."""
    yield ctx.select(ctx.schedule_activity("A"), ctx.schedule_timer(1))
    return (yield ctx.schedule_activity("B"))


class TestFailures:
    def test_caught(self) -> None:
        """[99] [632] An activity's failure is raised at the yield, as its own type, and can be caught."""

        def catches(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_activity("A")
            except ValueError as error:
                return str(error)

        assert turn(catches, activity(2), failed(3, 2, "no")) == Turn(Completed('"no"'))

    def test_uncaught(self) -> None:
        """[99] [632] An uncaught failure ends the orchestration with the same message, and the activity's as cause."""
        verdict = turn(one_activity, activity(2), failed(3, 2, "no")).verdict

        assert isinstance(verdict, Failed)
        assert (verdict.details.kind, verdict.details.message) == (ErrorKind.ORCHESTRATION_FAILED, "no")
        assert verdict.details.cause == details("no")

    @pytest.mark.parametrize("category", [ErrorCategory.CONFIGURATION, ErrorCategory.INFRASTRUCTURE])
    @pytest.mark.parametrize(
        ("fn", "schedule", "answer"), [(one_activity, activity(2), failed), (one_child, child(2), child_failed)]
    )
    def test_system_error(self, category: ErrorCategory, fn: Any, schedule: e.Event, answer: Any) -> None:
        """[101] [102] A system error ends the orchestration with that very error, uncatchable."""
        why = details("broken", category=category)

        def catches(ctx: Any) -> Steps:
            try:
                yield from fn(ctx)
            except Exception:  # noqa: BLE001
                return "caught"

        assert turn(catches, schedule, answer(3, 2, why)).verdict == Failed(why)

    def test_system_error_goes_on_counting(self) -> None:
        """What was answered after a system error is not ended a second time."""

        def two(ctx: Any) -> Steps:
            yield ctx.join(ctx.schedule_activity("A"), ctx.schedule_activity("B"))

        why = details("broken", category=ErrorCategory.CONFIGURATION)

        assert turn(two, activity(2), activity(3, "B"), failed(4, 2, why), completed(5, 3)).left_open == ()

    def test_misuse(self) -> None:
        """[105] Yielding what is not an action is a panic, which says what to yield instead and where."""

        def wrong(ctx: Any) -> Steps:
            yield 42

        verdict = turn(wrong).verdict

        assert isinstance(verdict, Failed)
        assert verdict.details.kind is ErrorKind.PANICKED
        assert "yielded 42, which is not an action" in verdict.details.message
        assert f"{__file__}:" in verdict.details.message

    @pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
    def test_base_exception(self, error: BaseException) -> None:
        """[106] A BaseException after a completed activity is a panic; it does not reach the dispatcher."""

        def leaves(ctx: Any) -> Steps:
            yield ctx.schedule_activity("A")
            raise error

        verdict = turn(leaves, activity(2), completed(3, 2)).verdict

        assert isinstance(verdict, Failed)
        assert verdict.details.kind is ErrorKind.PANICKED

    def test_unencodable_output(self) -> None:
        """An output that is not JSON fails the instance, and says what it was."""

        def bad(ctx: Any) -> object:
            return object()

        verdict = turn(bad).verdict

        assert isinstance(verdict, Failed)
        assert "result of orchestration 'fn'" in verdict.details.message


class TestCancellation:
    @pytest.mark.parametrize(
        ("fn", "history"),
        [
            (returns, [cancel(2)]),
            (one_activity, [activity(2), cancel(3), completed(4, 2)]),
            (one_activity, [activity(2), completed(3, 2), cancel(4)]),
            (one_activity, [activity(2), cancel(3)]),
        ],
        ids=["return", "before a completion", "after a completion", "pending"],
    )
    def test_beats_everything(self, fn: Any, history: list[e.Event]) -> None:
        """[107] [109] [110] A cancel request beats whatever the code does in the turn, and records no decision."""
        result = turn(fn, *history)

        assert (result.verdict, result.events) == (Cancelled("why"), ())

    def test_beats_continue_as_new(self) -> None:
        """A cancel request beats continue-as-new."""

        def chain(ctx: Any) -> Steps:
            yield ctx.continue_as_new(1)

        assert turn(chain, cancel(2)).verdict == Cancelled("why")


class TestExecutor:
    def test_other_execution_s_action(self) -> None:
        """An action of another execution cannot be waited for."""
        kept: list[Any] = []

        def keeps(ctx: Any) -> Steps:
            kept.append(ctx.schedule_activity("A"))
            yield kept[0]

        turn(keeps)
        verdict = turn(keeps).verdict

        assert isinstance(verdict, Failed)
        assert "another execution" in verdict.details.message

    def test_feed_is_idempotent(self) -> None:
        """Feeding nothing decides the same again."""
        executor = Executor(one_activity, started())

        assert executor.feed() == executor.feed()

    def test_any_sequence(self) -> None:
        """A history may be any sequence, also one that cannot be sliced."""
        history = [started(), timer(2), fired(3, 2)]

        assert run_turn(deque(history), one_timer) == run_turn(history, one_timer) == Turn(Completed("null"))

    def test_time(self) -> None:
        """The time is that of the event being processed, and never goes backwards."""
        seen: list[int] = []

        def looks(ctx: Any) -> Steps:
            for name in "ABC":
                seen.append(int(ctx.utc_now().timestamp() * 1000))
                yield ctx.schedule_wait(name)

        times = [5_000_000, 4_000_000]
        history = [started(), waits(2, "A"), e.ExternalEvent(3, times[0], "A", "1"), waits(4, "B")]
        run_turn([*history, e.ExternalEvent(5, times[1], "B", "1")], looks)

        assert seen == [1_000_000, 5_000_000, 5_000_000]

    def test_guids(self) -> None:
        """[378] [663] Ids are UUIDs of version 4's form, differ from each other, and are the same in replay."""

        def ids(ctx: Any) -> list[str]:
            return [ctx.new_guid(), ctx.new_guid()]

        first, second = turn(ids), turn(ids)
        assert first == second
        assert isinstance(first.verdict, Completed)
        one, other = json.loads(first.verdict.output)
        assert one != other
        assert (one[14], one[19] in "89ab") == ("4", True)

    def test_logs_only_once(self) -> None:
        """The logger is silent in replay."""
        lines: list[str] = []

        def talks(ctx: Any) -> Steps:
            ctx.logger.info("begin")
            yield ctx.schedule_activity("A")
            ctx.logger.info("done")

        def sink(level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
            lines.append(message)

        run_turn([started(), activity(2), completed(3, 2)], talks, persisted=2, log=sink)

        assert lines == ["done"]

    def test_logs_only_once_in_memory(self) -> None:
        """What is replayed from the store was done when it was stored, also what came of its last event."""
        lines: list[str] = []

        def step(ctx: Any, name: str) -> Steps:
            yield ctx.schedule_wait(name)
            ctx.logger.info(name)

        def talks(ctx: Any) -> Steps:
            ctx.logger.info("begin")
            yield ctx.join(*(step(ctx, name) for name in "ABC"))

        def sink(level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
            lines.append(message)

        execution = Execution(Executor(talks, started(), log=sink), incarnation=1, is_new=False)
        execution.catch_up([waits(2, "A"), waits(3, "B"), waits(4, "C"), raised(5, "A")])
        execution.catch_up([raised(6, "B")])
        assert lines == []

        execution.advance([Deliver("i", None, raised(0, "C"))], now_ms=T)
        assert lines == ["C"]

    @pytest.mark.parametrize(
        ("last", "logged"), [(raised(4, "F"), []), (cancel(4), ["over"])], ids=["waits", "cancelled"]
    )
    def test_logs_nothing_when_forgotten(self, last: e.Event, logged: list[str]) -> None:
        """Code that is closed although it would go on, and does so elsewhere or later, has not come to its end."""
        lines: list[str] = []

        def step(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_wait("E")
            finally:
                ctx.logger.info("over")

        def talks(ctx: Any) -> Steps:
            yield ctx.join(step(ctx), ctx.schedule_wait("F"))

        def sink(level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
            lines.append(message)

        executor = Executor(talks, started(), log=sink)
        executor.feed([waits(2, "F"), waits(3), last])
        executor.close()

        assert lines == logged

    def test_context_variables(self) -> None:
        """What code sets for its context, for a while or for good, is seen by no other execution, and again in replay."""

        def share(ctx: Any) -> str:
            return str(Decimal(1) / 3)

        def rounds(ctx: Any) -> Steps:
            with localcontext() as local:
                local.prec = 3
                yield ctx.schedule_activity("A")
                getcontext().prec = 5
                yield ctx.schedule_activity("B")
                return share(ctx)

        history = [started(), activity(2), completed(3, 2), activity(4, "B")]
        live = Executor(rounds, started())
        live.feed(history[1:])
        beside, ending = turn(share).verdict, [*history, completed(5, 4)]

        assert isinstance(beside, Completed)
        assert beside.output == as_json("0." + "3" * 28)
        assert live.feed(ending[-1:]) == run_turn(ending, rounds)
        assert share(None) == "0." + "3" * 28
        live.close()
