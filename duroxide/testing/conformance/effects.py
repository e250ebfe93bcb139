"""What a commit sends out, and reading histories back."""

from __future__ import annotations

from attrs import evolve

from ..._core.commit import ExecutionStatus
from ...providers.contract import (
    HistoryRequest,
)
from .checks import Checks
from .populations import end
from .vocabulary import (
    LOCK_MS,
    NEW,
    activity,
    events_of,
    fetch,
    fetch_work,
    first_turn,
    lock_of,
    must_commit,
    next_turn,
    scheduled,
    start,
    started,
)


class Effects(Checks):
    """Activities and messages of a commit."""

    def test_effects_eager_activities_are_locked(self) -> None:
        """Eager activities are nobody else's until their lock expires, and count as delivered once."""
        waiting = activity("a", 3)
        first = first_turn("a", activity("a", 2), waiting, eager=(lock_of(activity("a", 2)),))
        must_commit(self.provider, first)
        now = fetch_work(self.provider)
        self.provider.ack_activities([])
        self.clock.advance(LOCK_MS)
        later = {item.work.key.activity_id: item.attempt_count for item in fetch_work(self.provider)}

        assert [(waiting, 1)] == [(item.work, item.attempt_count) for item in now]
        assert {2: 2, 3: 2} == later

    def test_effects_cancelled_activities_go(self) -> None:
        """Cancelled activities are removed, even those that the same commit inserts; unknown ones are fine."""
        turn = first_turn("a", activity("a", 2), activity("a", 3))
        must_commit(self.provider, evolve(turn, cancelled_activities=(2,)))
        must_commit(self.provider, evolve(next_turn(turn, scheduled(4)), cancelled_activities=(3, 77)))

        assert [] == fetch_work(self.provider)

    def test_effects_messages(self) -> None:
        """Messages for other instances are enqueued."""
        must_commit(self.provider, first_turn(messages=(start("b"), start("c"))))

        assert {"b", "c"} == {item.lock.instance_id for item in fetch(self.provider)}

    def test_effects_fan_out(self) -> None:
        """A turn may schedule thousands of activities, which come out in order."""
        work = [activity("a", number) for number in range(2, 2002)]
        must_commit(self.provider, first_turn("a", *work))

        assert work == [item.work for item in fetch_work(self.provider, 3000)]


class Histories(Checks):
    """Reading histories."""

    def test_read_histories_after(self) -> None:
        """Only what is missing is read."""
        turn = first_turn()
        must_commit(self.provider, turn, first_turn("b"))
        must_commit(self.provider, next_turn(turn, scheduled(2)))
        answers = self.provider.read_histories(
            [
                HistoryRequest("a", after_event_id=1),
                HistoryRequest("nobody"),
                HistoryRequest("b"),
                HistoryRequest("a", 9),
            ]
        )

        assert [[scheduled(2)], [], [started("b")], []] == list(answers)

    def test_read_histories_nothing(self) -> None:
        """No request, no answer."""
        assert [] == list(self.provider.read_histories([]))

    def test_read_histories_current(self) -> None:
        """Without an execution, the current one is meant; an execution that is not there has no events."""
        turn = first_turn()
        must_commit(self.provider, turn)
        end(self.provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        second = evolve(turn, execution_id=2, started=NEW, events=(started("a", 2),))
        must_commit(self.provider, second)
        answers = self.provider.read_histories([HistoryRequest("a"), HistoryRequest("a", 3), HistoryRequest("a", 1, 1)])

        assert [1, 0, 1] == [len(answer) for answer in answers if not isinstance(answer, Exception)]
        assert [started("a", 2)] == events_of(self.provider)

    def test_questions_about_nobody(self) -> None:
        """[485] [602] What is unknown is answered with nothing, never with an error."""
        must_commit(self.provider, first_turn("a"))

        assert self.provider.get_instance_info("nobody") is None
        assert self.provider.get_kv_value("nobody", "key") is None
        assert {} == dict(self.provider.get_kv_all_values("nobody"))
        assert [] == events_of(self.provider, "nobody")
