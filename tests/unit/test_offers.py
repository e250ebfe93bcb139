"""What a client offers to hand over: who may still change his mind, and what both sides are told."""

from __future__ import annotations

import threading

from collections.abc import Callable
from typing import Any

import pytest

from duroxide._core.events import ExternalEvent
from duroxide._core.messages import Deliver
from duroxide._runtime import offers
from duroxide._runtime.offers import COUNTED, CROWD, SHORT, Desk
from duroxide.errors import ProviderError
from duroxide.providers.handover import Offer, Outcome
from duroxide.providers.wakeups import Wakeups

from ..patience import PATIENCE


LOST = ProviderError("commit_turns", "the connection was lost", retryable=True)
IMPOSSIBLE = ProviderError("commit_turns", "that cannot be stored", retryable=False)


def offer_of(count: int) -> Offer:
    """An offer of *count* messages."""
    return Offer([Deliver(f"i{number}", None, ExternalEvent(0, 0, "go", "null")) for number in range(count)])


def in_a_thread(work: Callable[[], None]) -> None:
    """Run *work* in a thread of its own, to its end."""
    thread = threading.Thread(target=work)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def crowd_comes(desk: Desk, clients: int) -> None:
    """Let so many threads, all alive at the same time, lay down an offer each."""
    all_came = threading.Barrier(clients + 1)

    def come() -> None:
        desk.lay_down(offer_of(1))
        all_came.wait(PATIENCE)

    threads = [threading.Thread(target=come) for _ in range(clients)]
    for thread in threads:
        thread.start()
    all_came.wait(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)


class TestOffer:
    def test_declined(self) -> None:
        """What is declined need not be waited for."""
        offer = offer_of(2)
        for each in offer:
            each.declined()

        assert offer.outcome(PATIENCE) == Outcome([False, False])

    def test_stored(self) -> None:
        """Each message has its own fate."""
        offer = offer_of(3)
        first, second, third = offer
        assert offer.begin_writing()
        third.stored()
        first.stored()
        second.declined()

        assert offer.outcome(PATIENCE) == Outcome([True, False, True])

    def test_withdrawn(self) -> None:
        """An offer of which nothing has come in time is withdrawn, and may not be written any more."""
        offer = offer_of(1)

        assert offer.outcome(0) == Outcome([False])
        assert offer.is_withdrawn
        assert not offer.begin_writing()

    def test_withdrawn_although_some_are_declined(self) -> None:
        """Nothing is stored of an offer that is withdrawn, whatever was said of some of its messages."""
        offer = offer_of(2)
        next(iter(offer)).declined()

        assert offer.outcome(0) == Outcome([False, False])
        assert not offer.begin_writing()

    def test_being_written(self) -> None:
        """Who has let the writing begin waits for its end, however long that takes."""
        offer = offer_of(1)
        assert offer.begin_writing()
        outcomes: list[Outcome] = []
        client = threading.Thread(target=lambda: outcomes.append(offer.outcome(0)))
        client.start()
        in_a_thread(next(iter(offer)).stored)
        client.join(PATIENCE)

        assert outcomes == [Outcome([True])]
        assert not offer.is_withdrawn

    def test_first_word_counts(self) -> None:
        """What was stored stays stored, and what has failed stays failed, when everything is taken back afterwards."""
        offer = offer_of(2)
        first, second = offer
        assert offer.begin_writing()
        first.stored()
        first.declined()
        second.failed(LOST)
        second.declined()

        assert offer.outcome(PATIENCE) == Outcome([True, False], LOST)

    def test_failed(self) -> None:
        """A failure that may pass leaves open what has happened; one that may not says that nothing has."""
        lost, impossible = offer_of(1), offer_of(1)
        for offer, error in ((lost, LOST), (impossible, IMPOSSIBLE)):
            assert offer.begin_writing()
            next(iter(offer)).failed(error)

        assert lost.outcome(PATIENCE) == Outcome([False], LOST)
        assert impossible.outcome(PATIENCE) == Outcome([False])

    def test_failed_before_the_writing(self) -> None:
        """Nothing has happened of what was never begun to be written."""
        offer = offer_of(1)
        next(iter(offer)).failed(LOST)

        assert offer.outcome(PATIENCE) == Outcome([False])


class TestDesk:
    def test_open(self) -> None:
        """Offers are taken from the opening to the end of the round, and wake the dispatcher."""
        woken: list[bool] = []
        desk, offers = Desk(10, lambda: woken.append(True)), [offer_of(1) for _ in range(4)]
        taken = [desk.lay_down(offers[0])]
        desk.open()
        taken += [desk.lay_down(offers[1]), desk.lay_down(offers[2])]
        desk.after_round(1, 0.0)
        taken.append(desk.lay_down(offers[3]))

        assert taken == [False, True, True, False]
        assert woken == [True, True]
        assert desk.has_offers
        assert desk.take() == offers[1:3]
        assert not desk.has_offers

    @pytest.mark.parametrize(
        ("clients", "turns", "seconds", "takes"),
        [
            (CROWD, CROWD, SHORT / 2, True),
            (CROWD - 1, 1, SHORT / 2, False),
            (CROWD, CROWD + 1, SHORT / 2, False),
            (CROWD, CROWD, SHORT, False),
            (0, 0, 0.0, False),
        ],
    )
    def test_crowd(self, clients: int, turns: int, seconds: float, takes: bool) -> None:
        """A busy dispatcher takes offers after a short round that a crowd was behind, whether it was served or not."""
        desk = Desk(100, lambda: None)
        crowd_comes(desk, clients)
        desk.after_round(turns, seconds)

        assert desk.lay_down(offer_of(1)) is takes

    def test_one_is_no_crowd(self) -> None:
        """One client that comes again and again gets more done beside a busy dispatcher."""
        desk = Desk(100, lambda: None)
        for _ in range(2 * CROWD):
            desk.lay_down(offer_of(1))
        desk.after_round(1, 0.0)

        assert not desk.lay_down(offer_of(1))

    def test_crowd_is_remembered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who came is counted for a while, since nobody comes in each round; and then no more."""
        now = 1000.0
        monkeypatch.setattr("duroxide._runtime.offers.monotonic", lambda: now)
        desk = Desk(100, lambda: None)
        desk.after_round(1, 0.0)
        crowd_comes(desk, CROWD)
        opened = []
        for seconds in (0.0, 1.01 * COUNTED, COUNTED, COUNTED):
            now += seconds
            desk.after_round(1, 0.0)
            opened.append(desk.is_open)

        assert opened == [True, True, True, False]

    def test_no_more_than_a_round(self) -> None:
        """What does not fit into a round with what is there already is not taken."""
        desk = Desk(5, lambda: None)
        desk.open()

        assert [desk.lay_down(offer_of(count)) for count in (6, 3, 3, 2, 1)] == [False, True, False, True, False]

    def test_rest(self) -> None:
        """Who rests takes nothing, until the rest is over."""
        desk = Desk(5, lambda: None)
        desk.open()
        desk.rest(3600)
        taken = [desk.lay_down(offer_of(1))]
        desk.open()
        taken.append(desk.lay_down(offer_of(1)))
        desk.rest(0)
        desk.open()
        taken.append(desk.lay_down(offer_of(1)))

        assert taken == [False, False, True]


class TestDoors:
    def test_first_who_takes(self) -> None:
        """An offer goes to the first who takes it, among those who have come by the same door."""
        wakeups, asked, door = Wakeups(), list[str](), object()

        def taker(name: str, *, takes: bool) -> Callable[[Offer], bool]:
            return lambda _: asked.append(name) is None and takes

        wakeups.on_offers(taker("elsewhere", takes=True), door=object())
        wakeups.on_offers(taker("busy", takes=False), door=door)
        idle = wakeups.on_offers(taker("idle", takes=True), door=door)
        wakeups.on_offers(taker("not needed", takes=True), door=door)

        assert wakeups.hand_over(offer_of(1), door=door)
        assert asked == ["busy", "idle"]
        idle.close()
        assert not wakeups.hand_over(offer_of(1), door=None)
        assert wakeups.hand_over(offer_of(1), door=door)
        assert asked[2:] == ["busy", "not needed"]


def test_ids_that_were_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which ids were to be started is remembered of the last ones only."""
    monkeypatch.setattr(offers, "REMEMBERED", 3)
    unused: Any = None
    cache: Any = {"in memory"}
    known = offers.Offers(unused, unused, cache)

    assert [True, True, True, True] == [known._is_new(instance_id) for instance_id in "abcd"]
    assert [False, False, True] == [known._is_new(instance_id) for instance_id in ["d", "in memory", "a"]]
    assert 3 == len(known._tried)
