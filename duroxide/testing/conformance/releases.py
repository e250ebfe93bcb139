"""Which instances a release is given: `replayable`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve

from ..._core.commit import (
    ExecutionStatus,
    NewExecution,
)
from ..._core.versions import VersionRange
from ...providers.contract import Provider, Release
from .checks import Checks, at_once
from .populations import end
from .vocabulary import (
    LOCK_MS,
    fetch,
    fetch_one,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    started,
)


class VersionFilter(Checks):
    """Instances by the release that started them."""

    RANGE = VersionRange.between("1.0.0", "1.9.9")

    def pinned(self, release: str, instance_id: str | None = None) -> None:
        """Start an instance under *release*, and send it something."""
        new = NewExecution("fulfil", "1.0.0", None, release)
        turn = first_turn(instance_id or release)
        must_commit(self.provider, evolve(turn, started=new))
        self.provider.enqueue([raised(instance_id or release)])

    def test_replayable_bounds(self) -> None:
        """Both ends of the range are in it; the others stay unlocked."""
        for release in ("0.9.9", "1.0.0", "1.9.9", "2.0.0"):
            self.pinned(release)
        mine = self.provider.fetch_orchestration_items(10, LOCK_MS, replayable=self.RANGE)
        others = fetch(self.provider)

        assert ["1.0.0", "1.9.9"] == [item.lock.instance_id for item in mine]
        assert ["0.9.9", "2.0.0"] == [item.lock.instance_id for item in others]

    def test_replayable_new_instance(self) -> None:
        """An instance that does not exist yet is for everybody."""
        self.provider.enqueue([start()])

        assert 1 == len(self.provider.fetch_orchestration_items(1, LOCK_MS, replayable=self.RANGE))

    def test_replayable_skipped_is_untouched(self) -> None:
        """[567] An instance that is skipped keeps its attempt count, and nothing of a batch is lost to it."""
        self.pinned("2.0.0")
        before = self.provider.fetch_orchestration_items(10, LOCK_MS, replayable=self.RANGE)

        assert [] == list(before)
        assert 1 == fetch_one(self.provider).attempt_count

    def test_replayable_does_not_crowd_out(self) -> None:
        """[566] However many wait that are for other releases, the compatible one is found."""
        for number in range(30):
            self.pinned("2.0.0", f"i{number}")
        self.pinned("1.0.0")
        (item,) = self.provider.fetch_orchestration_items(1, LOCK_MS, replayable=self.RANGE)

        assert "1.0.0" == item.lock.instance_id

    def test_replayable_at_once(self) -> None:
        """[573] Those who fetch at the same time, each for its releases, never get an instance twice."""
        for number in range(20):
            self.pinned("1.0.0", f"i{number:02}")
        another = self.make_another()
        providers = (self.provider, another)

        def take(provider: Provider) -> list[str]:
            items = provider.fetch_orchestration_items(3, LOCK_MS, replayable=self.RANGE)
            return [item.lock.instance_id for item in items]

        taken: list[str] = []
        at_once(*(partial(_take_all, partial(take, each), taken) for each in (*providers, *providers)))

        assert [f"i{number:02}" for number in range(20)] == sorted(taken)

    def test_replayable_unreadable(self) -> None:
        """[576] What is in the rows of an instance for others does not matter: it is neither read nor counted."""
        self.pinned("2.0.0")
        self.damage_messages()
        mine = self.provider.fetch_orchestration_items(10, LOCK_MS, replayable=self.RANGE)

        assert [] == list(mine)
        assert 1 == fetch_one(self.provider).unreadable_attempt_count

    def test_replayable_next_execution(self) -> None:
        """[570] A turn leaves the release as it is; the next execution is of the release that starts it."""
        turn = evolve(first_turn(), started=NewExecution("fulfil", "1.0.0", None, "1.5.0"))
        must_commit(self.provider, turn)
        must_commit(self.provider, turn := next_turn(turn, scheduled(2)))
        self.provider.enqueue([raised()])
        (item,) = self.provider.fetch_orchestration_items(1, LOCK_MS, replayable=self.RANGE)
        self.provider.release_orchestration_items([Release(item.lock)])
        end(self.provider, turn, ExecutionStatus.CONTINUED_AS_NEW)
        new = NewExecution("fulfil", "1.0.0", None, "2.0.0")
        must_commit(self.provider, evolve(first_turn(), execution_id=2, started=new, events=(started("a", 2),)))

        assert [] == list(self.provider.fetch_orchestration_items(1, LOCK_MS, replayable=self.RANGE))
        assert 1 == len(fetch(self.provider))


def _take_all(take: Callable[[], list[str]], taken: list[str]) -> None:
    """Add to *taken* what *take* gives until it gives nothing."""
    while some := take():
        taken.extend(some)
