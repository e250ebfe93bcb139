"""Wake-ups in this process: whoever waits is told, after the commit and never before."""

from __future__ import annotations

import threading

from collections.abc import Callable

from attrs import evolve

from ..._core.commit import CustomStatusChange, ExecutionStatus, Outgoing
from ..._core.events import KvEntry
from ..._core.messages import StartOrchestration
from ...providers.contract import ActivityAck, Release, SessionClaim
from .checks import PATIENCE, Checks
from .vocabulary import (
    ANY_TAG,
    LOCK_MS,
    NOW,
    activity,
    completed,
    ending,
    fetch,
    fetch_one,
    fetch_work,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    under,
)


#: Seconds that a look at the store may take while somebody is being woken; it takes milliseconds.
A_LOOK = 5.0


class Waker:
    """
    What somebody sees who looks at the store at the moment of being woken.

    The look is taken in another thread, as whoever waits is in another one; a publisher that still holds what the look
    needs lets it see nothing in time.
    """

    def __init__(self, look: Callable[[], object]) -> None:
        self._look = look
        self._seen: list[object] = []
        self.dues: list[int] = []
        self._lock = threading.Lock()

    def __call__(self, due_ms: int | None = None) -> None:
        """Look at once, unless what there is to see is to come later."""
        if due_ms is not None:
            self.dues.append(due_ms)
            return
        too_late = threading.Event()

        def look() -> None:
            with self._lock:
                seen = self._look()
                if seen and not too_late.is_set():
                    self._seen.append(seen)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        thread.join(A_LOOK)
        too_late.set()

    @property
    def saw(self) -> object:
        """What there was to see the first time that somebody was woken and saw something; None: nothing ever."""
        return self._seen[0] if self._seen else None


class WakeUps(Checks):
    """Who is woken by what, and sees it."""

    def waits_for_messages(self) -> Waker:
        """Somebody who fetches when messages are there."""
        waker = Waker(lambda: [item.lock.instance_id for item in fetch(self.provider)])
        self.until_the_end(self.provider.wakeups.on_messages(waker))
        return waker

    def waits_for_activities(self) -> Waker:
        """Somebody who fetches when activities are there."""
        waker = Waker(lambda: [item.work.key.activity_id for item in fetch_work(self.provider)])
        self.until_the_end(self.provider.wakeups.on_activities(waker))
        return waker

    def waits_for_instance(self, look: Callable[[], object]) -> Waker:
        """Somebody who looks at instance "a" when it changes."""
        waker = Waker(look)
        self.until_the_end(self.provider.wakeups.on_instance("a", lambda output: waker()))
        return waker

    def test_wake_enqueue(self) -> None:
        """An enqueued message wakes those who wait for messages, and they find it."""
        waker = self.waits_for_messages()
        self.provider.enqueue([start()])

        assert ["a"] == waker.saw

    def test_wake_start(self) -> None:
        """So does a started instance."""
        waker = self.waits_for_messages()
        self.provider.start_instances([StartOrchestration("a", "fulfil", "null")])

        assert ["a"] == waker.saw

    def test_wake_later(self) -> None:
        """A message of the future tells when: the earliest of them."""
        waker = self.waits_for_messages()
        later = [(start(), NOW + 20), (raised(), NOW + 10), (raised(), NOW + 30)]
        self.provider.enqueue([Outgoing(each.message, visible_at_ms) for each, visible_at_ms in later])

        assert NOW + 10 in waker.dues

    def test_wake_commit(self) -> None:
        """A commit that sends messages wakes those who wait for messages, and they find them."""
        waker = self.waits_for_messages()
        must_commit(self.provider, first_turn(messages=(start("b"),)))

        assert ["b"] == waker.saw

    def test_wake_activities(self) -> None:
        """A commit with activities for anybody wakes the workers, and they find them."""
        waker = self.waits_for_activities()
        must_commit(self.provider, first_turn("a", activity()))

        assert [2] == waker.saw

    def test_wake_released_activity(self) -> None:
        """An activity that is given back wakes the workers, and they find it."""
        must_commit(self.provider, first_turn("a", activity()))
        (item,) = fetch_work(self.provider)
        waker = self.waits_for_activities()
        self.provider.release_activities([Release(item.lock)])

        assert [2] == waker.saw

    def test_wake_ended_sessions(self) -> None:
        """When the sessions of one worker end, the others are woken, and find what waits for those sessions."""
        alice, bob = SessionClaim("alice", LOCK_MS), SessionClaim("bob", LOCK_MS)
        works = [activity("a", number, session_id="s") for number in (2, 3)]
        must_commit(self.provider, first_turn("a", *works))
        self.provider.fetch_activities(1, LOCK_MS, tags=ANY_TAG, session=alice)
        waker = Waker(lambda: self.provider.fetch_activities(10, LOCK_MS, tags=ANY_TAG, session=bob))
        self.until_the_end(self.provider.wakeups.on_activities(waker))
        self.provider.renew_sessions("alice", 0, LOCK_MS)

        assert waker.saw

    def test_wake_ack(self) -> None:
        """A finished activity wakes those who wait for messages, and they find its completion."""
        must_commit(self.provider, first_turn("a", activity()))
        (item,) = fetch_work(self.provider)
        waker = self.waits_for_messages()
        self.provider.ack_activities([ActivityAck(item.lock, completed(0, 2))])

        assert ["a"] == waker.saw

    def test_wake_release(self) -> None:
        """An instance that is given back wakes those who wait for messages, and they find it."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        waker = self.waits_for_messages()
        self.provider.release_orchestration_items([Release(item.lock)])

        assert ["a"] == waker.saw

    def test_wake_delayed_release(self) -> None:
        """An instance that will be back later is told of with the time."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        waker = self.waits_for_messages()
        self.provider.release_orchestration_items([Release(item.lock, delay_ms=70)])

        assert NOW + 70 in waker.dues

    def test_wake_message_during_the_lock(self) -> None:
        """A message that came while the instance was locked is told of again when the lock is given back."""
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        self.provider.enqueue([raised()])
        waker = self.waits_for_messages()
        must_commit(self.provider, under(item, first_turn()))

        assert ["a"] == waker.saw

    def test_wake_status(self) -> None:
        """The end of an instance wakes those who wait for it, and they see it."""
        turn = first_turn()
        must_commit(self.provider, turn)
        waker = self.waits_for_instance(self.is_completed)
        must_commit(self.provider, ending(turn))

        assert waker.saw

    def test_wake_custom_status(self) -> None:
        """A custom status wakes those who wait for the instance, and they see it."""
        turn = first_turn()
        must_commit(self.provider, turn)
        waker = self.waits_for_instance(self.custom_status)
        must_commit(self.provider, evolve(next_turn(turn, scheduled(2)), custom_status=CustomStatusChange("x")))

        assert "x" == waker.saw

    def test_wake_key_value(self) -> None:
        """A key-value wakes those who wait for the instance, and they see it."""
        turn = first_turn()
        must_commit(self.provider, turn)
        waker = self.waits_for_instance(lambda: dict(self.provider.get_kv_all_values("a")))
        must_commit(self.provider, evolve(next_turn(turn, scheduled(2)), kv={"k": KvEntry("1", NOW)}))

        assert {"k": KvEntry("1", NOW)} == waker.saw

    def test_wake_across_providers(self) -> None:
        """Two providers on one store in one process share one signal."""
        another = self.make_another()
        waker = self.waits_for_messages()
        another.enqueue([start()])

        assert another.wakeups is self.provider.wakeups
        assert ["a"] == waker.saw

    def test_wake_nobody_any_more(self) -> None:
        """Whoever has closed the subscription is not called any more."""
        calls: list[int | None] = []
        self.provider.wakeups.on_messages(calls.append).close()
        woken = threading.Event()
        self.until_the_end(self.provider.wakeups.on_messages(lambda due_ms: woken.set()))
        self.provider.enqueue([start()])
        assert woken.wait(PATIENCE)
        late = len(calls)  # a call that was under way when it was closed may have finished

        woken.clear()
        self.provider.enqueue([start("b")])
        assert woken.wait(PATIENCE)
        assert late == len(calls)

    def is_completed(self) -> bool:
        """Whether "a" has completed."""
        info = self.provider.get_instance_info("a")
        return info is not None and info.status is ExecutionStatus.COMPLETED

    def custom_status(self) -> str | None:
        """Return the custom status of "a"."""
        info = self.provider.get_instance_info("a")
        return None if info is None else info.custom_status
