"""The law that everything rests on, for generated orchestrations in a generated world."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus
from duroxide._core.executor import Executor
from duroxide._core.turn import run_turn
from duroxide._core.verdicts import Continue, Turn
from duroxide.testing.strategies import Program, orchestrations
from duroxide.testing.strategies.stories import HOWS, Move, Story, moves, rebuilt, stories, tell

from .histories import fed


NOTHING_NEW = Turn(Continue())


class TestLaw:
    @settings(max_examples=200)
    @given(stories(), st.data())
    def test_any_prefix_cut_anywhere(self, story: Story, data: st.DataObject) -> None:
        """Feeding any prefix of a history in any pieces, and replaying it whole, give the same decisions."""
        for told in story.executions:
            length = data.draw(st.integers(1, len(told.history)), label="length")
            prefix = told.history[:length]
            cuts = sorted(data.draw(st.lists(st.integers(1, length), max_size=4), label="cuts"))

            assert run_turn(prefix, told.program.function()) == fed(told.program.function(), told.started, prefix, cuts)

    @settings(max_examples=100)
    @given(stories())
    def test_event_by_event(self, story: Story) -> None:
        """An executor that is fed one event at a time decides after each what a replay of all of them decides."""
        for told in story.executions:
            executor = Executor(told.program.function(), told.started)
            turn = executor.feed()
            for length in range(1, len(told.history) + 1):
                if length > 1:
                    turn = executor.feed([told.history[length - 1]])

                assert run_turn(told.history[:length], told.program.function()) == turn
            executor.close()

    @settings(max_examples=100)
    @given(stories())
    def test_rebuilt_executions_commit_the_same(self, story: Story) -> None:
        """An execution rebuilt from the store writes what the one that stayed in memory writes, turn by turn."""
        for told in story.executions:
            for advance in told.advances:
                execution = rebuilt(told, advance.before)
                commit, _ = execution.advance(advance.messages, now_ms=advance.now_ms)
                execution.close()

                assert advance.commit == commit

    @settings(max_examples=100)
    @given(stories())
    def test_custom_status_is_not_overlooked(self, story: Story) -> None:
        """Whoever waits for an output need not look for a custom status exactly if there never was one."""
        for told in story.executions:
            has_status = told.started.execution_id > 1
            has_status = has_status or any(isinstance(event, e.CustomStatusUpdated) for event in told.history)
            last = told.advances[-1].commit

            assert last.status is not ExecutionStatus.COMPLETED or last.may_have_status is has_status

    @settings(max_examples=100)
    @given(stories())
    def test_committed_histories_ask_for_nothing_new(self, story: Story) -> None:
        """Replaying what has been committed decides nothing, while the execution runs and when it is over."""
        for told in story.executions:
            for end in [advance.before for advance in told.advances[1:]] + [len(told.history)]:
                assert run_turn(told.history[:end], told.program.function()) == NOTHING_NEW

    @settings(max_examples=100)
    @given(stories())
    def test_confirming_equals_replay(self, story: Story) -> None:
        """Feeding a turn's own events back leaves nothing to decide, after every turn."""
        for told in story.executions:
            executor = Executor(told.program.function(), told.started)
            executor.feed()
            for advance in told.advances:
                executor.feed([event for event in advance.commit.events if event.event_id > executor.last_event_id])

                assert executor.feed() == NOTHING_NEW
            executor.close()

    @settings(max_examples=100)
    @given(stories())
    def test_input_is_never_changed(self, story: Story) -> None:
        """A turn changes neither the history nor the messages that it is given."""
        for told in story.executions:
            history, last = list(told.history), told.advances[-1]
            before = repr((history, last.messages))
            run_turn(history, told.program.function())
            execution = rebuilt(told, last.before)
            execution.advance(last.messages, now_ms=last.now_ms)
            execution.close()

            assert repr((history, last.messages)) == before


@st.composite
def damages(draw: st.DrawFn, history: Sequence[e.Event]) -> list[e.Event]:
    """Draw *history* with some of its events lost, repeated, moved or changed; the start event aside."""
    damaged = list(history)
    for _ in range(draw(st.integers(1, 3))):
        place, other = (draw(st.integers(1, max(len(damaged) - 1, 1))) for _ in range(2))
        number = draw(st.sampled_from([each.event_id for each in history]) | st.sampled_from([-1, 0, 999]))
        damage = draw(st.sampled_from(DAMAGES))
        if place < len(damaged) and other < len(damaged):
            damaged = damage(damaged, place, damaged[other], number)
    return damaged


DAMAGES: tuple[Callable[[list[e.Event], int, e.Event, int], list[e.Event]], ...] = (
    lambda events, place, other, number: events[:place] + events[place + 1 :],
    lambda events, place, other, number: [*events[:place], other, *events[place:]],
    lambda events, place, other, number: [*events[:place], evolve(events[place], event_id=number), *events[place + 1 :]],
    lambda events, place, other, number: [*events[:place], e.ActivityCompleted(number, 5, number, "1"), *events[place:]],
    lambda events, place, other, number: [*events[:place], e.TimerFired(number, 5, number, 5), *events[place:]],
    lambda events, place, other, number: [*events[:place], e.ActivityScheduled(number, 5, "a", "null"), *events[place:]],
    lambda events, place, other, number: [
        *events[:place], e.ExternalSubscribedCancelled(number, 5, number, "mended"), *events[place:]
    ],
    lambda events, place, other, number: [
        *events[:place], e.ActivityCancelRequested(number, 5, number, e.DROPPED), *events[place:]
    ],
)  # fmt: skip


class TestDamage:
    @settings(max_examples=300)
    @given(stories(), st.data())
    def test_any_damage(self, story: Story, data: st.DataObject) -> None:
        """Whatever has become of a history, a turn says how it stands, and the same however the history is cut."""
        told = story.executions[0]
        damaged = data.draw(damages(told.history), label="damaged")
        cuts = sorted(data.draw(st.lists(st.integers(1, len(damaged)), max_size=4), label="cuts"))

        assert run_turn(damaged, told.program.function()) == fed(told.program.function(), told.started, damaged, cuts)


class TestHistories:
    @settings(max_examples=100)
    @given(stories())
    def test_ids_are_contiguous(self, story: Story) -> None:
        """[623] Event ids start at 1 and have no gaps; time never goes backwards."""
        for told in story.executions:
            assert [event.event_id for event in told.history] == list(range(1, len(told.history) + 1))
            times = [event.timestamp_ms for event in told.history]
            assert times == sorted(times)

    @settings(max_examples=100)
    @given(stories())
    def test_one_completion_and_one_breadcrumb(self, story: Story) -> None:
        """[625] Every schedule has at most one completion and at most one breadcrumb, and they follow it."""
        for told in story.executions:
            for kind in (e.CompletionEvent, e.Breadcrumb):
                sources = [event.source_event_id for event in told.history if isinstance(event, kind)]
                assert len(sources) == len(set(sources))
            scheduled: set[int] = set()
            for event in told.history:
                if isinstance(event, e.CompletionEvent | e.Breadcrumb):
                    assert event.source_event_id in scheduled
                elif isinstance(event, e.ScheduleEvent):
                    scheduled.add(event.event_id)

    @settings(max_examples=100)
    @given(stories())
    def test_one_ending(self, story: Story) -> None:
        """An execution has one terminal event, the last one, when it has ended; and its status says so."""
        for told in story.executions:
            endings = [position for position, event in enumerate(told.history) if isinstance(event, e.TERMINAL_EVENTS)]

            assert endings == ([] if told.status is ExecutionStatus.RUNNING else [len(told.history) - 1])

    @settings(max_examples=100)
    @given(stories())
    def test_work_is_conserved(self, story: Story) -> None:
        """What is open in a running execution was handed out and not taken back; an ended one leaves nothing open."""
        for told in story.executions:
            activities: set[int] = set()
            wanted: set[int] = set()
            for advance in told.advances:
                commit = advance.commit
                activities |= {activity.key.activity_id for activity in commit.activities}
                activities -= set(commit.cancelled_activities)
                for event in commit.events:
                    if isinstance(event, e.ActivityScheduled):
                        wanted.add(event.event_id)
                    elif isinstance(event, e.CompletionEvent | e.ActivityCancelRequested):
                        wanted.discard(event.source_event_id)
                        activities.discard(event.source_event_id)
                assert activities == wanted
            if told.status is not ExecutionStatus.RUNNING:
                assert not wanted


class TestBatching:
    @settings(max_examples=100)
    @given(
        orchestrations(positional=False, rounds=False, times=False),
        st.lists(st.lists(moves("answer", "answer", "enqueue"), max_size=5), min_size=1, max_size=10),
    )
    def test_batches_do_not_matter(self, program: Program, batches: list[list[Move]]) -> None:
        """The same answers in the same order, one per turn or many, ask for the same and give the same result."""
        together = tell(program, batches)
        one_by_one = tell(program, [[_exactly(*answer)] for answer in together.answers])

        assert _result(together) == _result(one_by_one)


def _exactly(what: int | str, number: int) -> Move:
    """Return the move that gives this very answer."""
    return Move("exactly", what * HOWS + number) if isinstance(what, int) else Move("enqueue", number)


def _result(story: Story) -> tuple[object, ...]:
    """Return how an instance stands, and what it asked for, without ids."""
    (told,) = story.executions
    asked = [
        (type(event), *(getattr(event, name) for name in e.payload_fields(type(event)) if name != "instance_id"))
        for event in told.history
        if isinstance(event, e.ScheduleEvent)
    ]
    return told.status, told.advances[-1].commit.output, asked
