"""Turns with messages that never were in the queue: they overtake none that is there."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve

from ..._core import events as e
from ..._core.commit import CommitResult, TurnCommit
from ..._core.messages import StartOrchestration
from ...providers.contract import Provider, Release
from .checks import Checks, at_once
from .vocabulary import (
    NOW,
    commit,
    ending,
    events_of,
    fetch,
    fetch_one,
    first_turn,
    must_commit,
    next_turn,
    raised,
    start,
    timer,
    under,
)


def handed_over(turn: TurnCommit) -> TurnCommit:
    """The same *turn*, which took in what somebody handed over."""
    return evolve(turn, handed_over=True)


def with_event(turn: TurnCommit) -> TurnCommit:
    """The turn after *turn*, with an event that was handed over."""
    return handed_over(next_turn(turn, _event(2)))


def _event(event_id: int) -> e.ExternalEvent:
    return e.ExternalEvent(event_id, NOW, "approved", "null")


class HandingOver(Checks):
    """Commits that are handed over."""

    def test_handed_over_start(self) -> None:
        """A free id is started by the commit itself, and is taken from then on."""
        must_commit(self.provider, handed_over(first_turn()))

        assert [False] == list(self.provider.start_instances([_starting("a")]))
        assert ([], []) == (fetch(self.provider), self.audit())

    def test_handed_over_event(self) -> None:
        """An event goes into history without having been a message."""
        first = first_turn()
        must_commit(self.provider, first)
        must_commit(self.provider, with_event(first))

        assert 2 == len(events_of(self.provider))
        assert ([], []) == (fetch(self.provider), self.audit())

    def test_handed_over_event_waits_its_turn(self) -> None:
        """An event does not overtake one that waits; nothing of its turn is written, and no other turn suffers."""
        first, other = first_turn(), first_turn("b")
        must_commit(self.provider, first, other)
        self.provider.enqueue([raised()])
        before = events_of(self.provider)

        assert [CommitResult.STALE] == commit(self.provider, with_event(first))
        assert [CommitResult.STALE, CommitResult.COMMITTED] == commit(
            self.provider, with_event(first), with_event(other)
        )
        assert before == events_of(self.provider)
        assert [raised().message] == [queued.message for queued in fetch_one(self.provider).messages]

    def test_handed_over_event_after_the_others(self) -> None:
        """When those that waited are in history, the next one may go in."""
        first = first_turn()
        must_commit(self.provider, first)
        self.provider.enqueue([raised()])
        second = next_turn(first, _event(2))
        item = fetch_one(self.provider)

        assert [CommitResult.LOCK_LOST] == commit(self.provider, with_event(first))
        must_commit(self.provider, under(item, second))
        third = next_turn(second, _event(3))
        must_commit(self.provider, handed_over(third))

    def test_handed_over_event_before_what_is_for_later(self) -> None:
        """A message that is not visible yet is not overtaken: a timer does not keep events waiting."""
        turn = first_turn(messages=(timer("a", 2, NOW + 1000),), timers=(2,))
        must_commit(self.provider, turn)
        event = _event(3)
        must_commit(self.provider, handed_over(next_turn(turn, event)))

        self.clock.advance(1000)
        assert [CommitResult.STALE] == commit(self.provider, handed_over(ending(next_turn(turn, event))))

    def test_handed_over_start_waits_its_turn(self) -> None:
        """An id whose start waits is taken, also while that start is passed on."""
        self.provider.enqueue([start()])
        assert [CommitResult.STALE] == commit(self.provider, handed_over(first_turn()))
        self.provider.release_orchestration_items([Release(fetch_one(self.provider).lock, 1000)])
        assert [CommitResult.STALE, CommitResult.COMMITTED] == commit(
            self.provider, handed_over(first_turn()), handed_over(first_turn("b"))
        )

        assert None is self.provider.get_instance_info("a")
        self.clock.advance(1000)
        assert [start().message] == [queued.message for queued in fetch_one(self.provider).messages]

    def test_handed_over_start_after_an_event(self) -> None:
        """What waits for an instance that is not there yet is not overtaken by its start."""
        self.provider.enqueue([raised()])

        assert [CommitResult.STALE] == commit(self.provider, handed_over(first_turn()))

    def test_handed_over_start_at_once(self) -> None:
        """Of several that start one id at the same time, by a message or by a commit, one succeeds."""
        another = self.make_another()
        for number in range(5):
            answers: list[bool] = []
            starters: tuple[Callable[[Provider, str, list[bool]], None], ...] = (_start, _commit)
            at_once(
                *(
                    partial(starter, provider, f"i{number}", answers)
                    for starter in starters
                    for provider in (self.provider, another)
                )
            )

            assert [False, False, False, True] == sorted(answers)


def _starting(instance_id: str) -> StartOrchestration:
    return StartOrchestration(instance_id, "fulfil", "null")


def _start(provider: Provider, instance_id: str, answers: list[bool]) -> None:
    answers.extend(provider.start_instances([_starting(instance_id)]))


def _commit(provider: Provider, instance_id: str, answers: list[bool]) -> None:
    results = commit(provider, handed_over(first_turn(instance_id)))
    answers.extend(result is CommitResult.COMMITTED for result in results)
