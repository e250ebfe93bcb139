"""The orchestrator queue: order, visibility, messages for nobody, messages that nobody can read, what is due."""

from __future__ import annotations

from attrs import evolve

from ..._core.commit import (
    ExecutionStatus,
    Outgoing,
    TurnCommit,
)
from ...errors import UnreadableHistory
from ...providers.contract import HistoryRequest, Release
from .checks import Checks
from .populations import end
from .vocabulary import (
    LOCK_MS,
    NOW,
    activity,
    fetch,
    fetch_one,
    fetch_work,
    first_turn,
    must_commit,
    raised,
    start,
    timer,
)


class Queues(Checks):
    """Messages come in order, and not before their time."""

    def test_enqueue_makes_no_instance(self) -> None:
        """A start message alone brings no instance to life."""
        self.provider.enqueue([start()])

        assert None is self.provider.get_instance_info("a")

    def test_enqueue_keeps_order(self) -> None:
        """Messages are delivered in the order in which they were enqueued."""
        self.provider.enqueue([start(), raised(data="1"), raised(data="2")])
        self.provider.enqueue([raised(data="3")])

        messages = [item.message for item in fetch_one(self.provider).messages]

        assert [start().message, *(raised(data=str(n)).message for n in (1, 2, 3))] == messages

    def test_enqueue_nothing(self) -> None:
        """Enqueueing nothing is allowed."""
        self.provider.enqueue([])

        assert [] == fetch(self.provider)

    def test_enqueue_timer_waits(self) -> None:
        """A message that becomes visible later is not delivered before, and is from then on."""
        must_commit(self.provider, first_turn(messages=(timer("a", 2, NOW + 1000),), timers=(2,)))

        before = fetch(self.provider)
        self.clock.advance(1000)

        assert ([], "a") == (before, fetch_one(self.provider).lock.instance_id)


class Orphans(Checks):
    """Messages for an instance that does not exist, with no start among them."""

    def test_orphans_are_dropped(self) -> None:
        """[521][646] Messages for nobody are removed, and keep nobody waiting."""
        self.provider.enqueue([raised("ghost"), raised("ghost"), raised("another"), start("b")])
        found = [item.lock.instance_id for item in fetch(self.provider, 1)]
        must_commit(self.provider, first_turn("ghost"), first_turn("another"))

        assert ["b"] == found
        assert [] == fetch(self.provider)

    def test_orphans_leave_no_lock(self) -> None:
        """Once its orphans are dropped, the id can be started at once."""
        self.provider.enqueue([raised()])
        fetch(self.provider)
        self.provider.enqueue([start()])

        assert 1 == len(fetch_one(self.provider).messages)


class StartsToCome(Checks):
    """Messages before the start that they are for: the clock of who wrote that may be ahead."""

    def test_start_to_come(self) -> None:
        """What is visible before the start of its instance waits for it, and counts as not tried; nobody else does."""
        self.provider.enqueue([Outgoing(start().message, NOW + 5), raised(), start("b")])
        found = [item.lock.instance_id for item in fetch(self.provider, 1)]
        again, due_ms = fetch(self.provider), self.provider.next_due_ms()
        self.clock.advance(5)
        item = fetch_one(self.provider)

        assert (["b"], [], NOW + 5) == (found, again, due_ms)
        assert [start(), raised()] == [Outgoing(queued.message) for queued in item.messages]
        assert [1, 1] == [queued.attempt_count for queued in item.messages]

    def test_start_to_come_of_the_next_execution(self) -> None:
        """Nor is anything fetched for an execution that has continued as new before the next one can begin."""
        turn = first_turn()
        next_one = evolve(start().message, execution_id=2)
        must_commit(self.provider, turn)
        end(self.provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        self.provider.enqueue([Outgoing(next_one, NOW + 5), raised(), start()])
        before = fetch(self.provider)
        self.clock.advance(5)
        messages = [queued.message for queued in fetch_one(self.provider).messages]

        assert [] == before
        assert [next_one, raised().message, start().message] == messages

    def test_start_to_come_tells_when(self) -> None:
        """Who would have fetched it is told when to come again."""
        self.provider.enqueue([Outgoing(start().message, NOW + 5), raised()])
        dues: list[int | None] = []
        self.until_the_end(self.provider.wakeups.on_messages(dues.append))
        fetch(self.provider)

        assert NOW + 5 in dues


class Unreadable(Checks):
    """Messages and histories that cannot be read, and throwing messages away."""

    def test_unreadable_is_reported(self) -> None:
        """A message that cannot be read is named with the reason, and stays until it is consumed."""
        self.provider.enqueue([start()])
        self.damage_messages()
        item = fetch_one(self.provider)

        assert () == item.messages
        assert 1 == len(item.unreadable_messages)
        assert "StartOrchestration" in (item.unreadable_reason or "")

    def test_unreadable_can_be_thrown_away(self) -> None:
        """A commit of an instance that does not exist removes messages, and nothing else."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        turn = TurnCommit(
            instance_id="a",
            execution_id=0,
            incarnation=0,
            last_event_id=0,
            lock=item.lock,
            consumed_messages=tuple(message.id for message in item.messages),
        )
        must_commit(self.provider, turn)
        self.clock.advance(LOCK_MS)

        assert ([], None) == (fetch(self.provider), self.provider.get_instance_info("a"))

    def test_unreadable_history(self) -> None:
        """[575] A history that cannot be read is answered, not raised, and fetching neither reads nor minds it."""
        must_commit(self.provider, first_turn())
        self.damage_histories()
        (answer, nothing) = self.provider.read_histories([HistoryRequest("a"), HistoryRequest("nobody")])
        self.provider.enqueue([raised()])
        counts = []
        for _ in range(3):
            item = fetch_one(self.provider)
            counts.append(item.attempt_count)
            self.provider.release_orchestration_items([Release(item.lock)])

        assert isinstance(answer, UnreadableHistory)
        assert [] == nothing
        assert [1, 2, 3] == counts


class NextDue(Checks):
    """What there is to wait for."""

    def test_next_due_nothing(self) -> None:
        """With nothing waiting there is nothing to wait for."""
        self.provider.enqueue([start()])

        assert None is self.provider.next_due_ms()

    def test_next_due_earliest(self) -> None:
        """The earliest of all that is not visible yet."""
        self.provider.enqueue([Outgoing(raised(name="x").message, NOW + 900), Outgoing(raised().message, NOW + 400)])

        assert NOW + 400 == self.provider.next_due_ms()

    def test_next_due_lock_of_an_instance(self) -> None:
        """When a lock expires, its messages are due: its owner may be dead."""
        self.provider.enqueue([start()])
        fetch(self.provider)

        assert NOW + LOCK_MS == self.provider.next_due_ms()

    def test_next_due_activity(self) -> None:
        """A locked activity is due when its lock expires."""
        must_commit(self.provider, first_turn("a", activity()))
        fetch_work(self.provider)

        assert NOW + LOCK_MS == self.provider.next_due_ms()

    def test_next_due_activities_only(self) -> None:
        """Whoever waits for activities is told of no message, and of no lock of an instance."""
        must_commit(self.provider, first_turn("a", activity()))
        self.provider.enqueue([Outgoing(raised().message, NOW + 400), start("b")])
        fetch(self.provider)
        nothing = self.provider.next_due_ms(activities_only=True)
        (item,) = fetch_work(self.provider)
        self.provider.release_activities([Release(item.lock, delay_ms=LOCK_MS + 5)])

        assert (None, NOW + 400) == (nothing, self.provider.next_due_ms())
        assert NOW + LOCK_MS + 5 == self.provider.next_due_ms(activities_only=True)

    def test_next_due_after(self) -> None:
        """Whoever asks for what comes after an earlier time learns of what has become visible since."""
        self.provider.enqueue([Outgoing(raised().message, NOW + 400)])
        self.clock.advance(400)

        assert (None, NOW + 400) == (self.provider.next_due_ms(), self.provider.next_due_ms(NOW + 399))


class Ending(Checks):
    """The end of a provider."""

    def test_close_twice(self) -> None:
        """Closing is idempotent."""
        self.provider.enqueue([start()])
        self.provider.close()
        self.provider.close()

    def test_initialize_twice(self) -> None:
        """Initializing what is initialized changes nothing."""
        self.provider.enqueue([start()])
        self.provider.initialize()

        assert "a" == fetch_one(self.provider).lock.instance_id
