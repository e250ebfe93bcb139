"""Commits that are sent before their answer is collected: they behave like those that somebody waits for."""

from __future__ import annotations

from unittest import SkipTest

from attrs import evolve

from ..._core.commit import CommitResult
from ...providers.contract import Provider
from ...providers.pipelined import Pipelined
from .checks import Checks
from .vocabulary import (
    LOCK_MS,
    activity,
    commit,
    completed,
    eager_turn,
    events_of,
    fetch_one,
    finishing_turn,
    first_turn,
    lock_of,
    must_commit,
    scheduled,
    start,
    started,
    under,
)


class Pipelining(Checks):
    """What `Pipelined` promises, where a provider is."""

    def pipelined(self, provider: Provider | None = None) -> Pipelined:
        """Return the provider, or another one, which has to be able to send: else the check is skipped."""
        provider = self.provider if provider is None else provider
        if not isinstance(provider, Pipelined):
            reason = "this provider does not send commits ahead"
            raise SkipTest(reason)
        return provider

    def test_sent_turns_are_committed(self) -> None:
        """The results are in the order of the batch, and what was accepted is written."""
        turns = [eager_turn(instance_id) for instance_id in ("m", "a", "z")]
        sent = self.pipelined().send_turns(turns, lock_ms=LOCK_MS)

        assert [CommitResult.COMMITTED] * 3 == list(sent.results())
        assert [[started(each.instance_id), scheduled(2)] for each in turns] == [
            events_of(self.provider, each.instance_id) for each in turns
        ]
        must_commit(self.provider, *[finishing_turn(each) for each in turns])
        assert [] == self.audit()

    def test_sent_turns_release_the_lock(self) -> None:
        """On the general path, the messages are consumed and the instance is free."""
        pipelined = self.pipelined()
        self.provider.enqueue([start()])
        item = fetch_one(self.provider)
        sent = pipelined.send_turns([under(item, first_turn())], lock_ms=LOCK_MS)

        assert [CommitResult.COMMITTED] == list(sent.results())
        assert frozenset() == self.provider.renew_instance_locks([item.lock], LOCK_MS)

    def test_sent_turns_are_refused_alone(self) -> None:
        """One that does not hold is refused by name, leaves no trace, and takes nobody else down."""
        turns = [eager_turn(instance_id) for instance_id in ("a", "b", "c", "d")]
        must_commit(self.provider, *turns)
        one, stale, gone, other = (finishing_turn(turn) for turn in turns)
        foreign = lock_of(activity("c"), "somebody else's")
        batch = [one, evolve(stale, last_event_id=1), evolve(gone, finished_activities=(foreign,)), other]
        sent = self.pipelined().send_turns(batch, lock_ms=LOCK_MS)

        expected = [CommitResult.COMMITTED, CommitResult.STALE, CommitResult.GONE, CommitResult.COMMITTED]
        assert expected == list(sent.results())
        assert [4, 2, 2, 4] == [len(events_of(self.provider, each.instance_id)) for each in batch]
        assert [] == self.audit()

    def test_sent_turns_again(self) -> None:
        """Sent again, what was committed is refused."""
        turn = finishing_turn(eager_turn())
        must_commit(self.provider, eager_turn())
        pipelined = self.pipelined()
        results = [pipelined.send_turns([turn], lock_ms=LOCK_MS).results() for _ in range(2)]

        assert [[CommitResult.COMMITTED], [CommitResult.STALE]] == [list(each) for each in results]
        assert 4 == len(events_of(self.provider))

    def test_sent_turns_of_nobody(self) -> None:
        """An empty batch has no results."""
        assert [] == list(self.pipelined().send_turns([], lock_ms=LOCK_MS).results())

    def test_sent_turns_beside_each_other(self) -> None:
        """Batches of different instances are under way at once, and one of several providers waits for no other."""
        must_commit(self.provider, eager_turn("a"), eager_turn("b"))
        one, other = self.pipelined(), self.pipelined(self.make_another())
        first = one.send_turns([finishing_turn(eager_turn("a"))], lock_ms=LOCK_MS)
        second = other.send_turns([finishing_turn(eager_turn("b"))], lock_ms=LOCK_MS)

        assert [CommitResult.COMMITTED] == list(second.results())
        assert [CommitResult.COMMITTED] == list(first.results())
        assert [4, 4] == [len(events_of(self.provider, instance_id)) for instance_id in ("a", "b")]

    def test_sent_turns_race(self) -> None:
        """Of two turns from one history, sent at the same time, one is committed."""
        must_commit(self.provider, eager_turn())
        turn = finishing_turn(eager_turn())
        sent = [
            self.pipelined(provider).send_turns([turn], lock_ms=LOCK_MS)
            for provider in (self.provider, self.make_another())
        ]
        results = [result for each in sent for result in each.results()]

        assert {CommitResult.COMMITTED, CommitResult.STALE} == set(results)
        assert [started(), scheduled(2), completed(3, 2), scheduled(4)] == events_of(self.provider)
        assert [] == self.audit()

    def test_sent_turns_wake_when_collected(self) -> None:
        """Whoever collects the results wakes those who wait."""
        woken: list[str] = []
        pipelined = self.pipelined()
        self.until_the_end(self.provider.wakeups.on_activities(lambda: woken.append("activities")))
        sent = pipelined.send_turns([first_turn("a", activity("a"))], lock_ms=LOCK_MS)

        before = len(woken)
        assert [CommitResult.COMMITTED] == list(sent.results())
        assert before < len(woken)
        assert [CommitResult.STALE] == commit(self.provider, first_turn("a"))
