"""Which instances a release is given: `replayable`."""

from __future__ import annotations

from attrs import evolve

from ..._core.commit import (
    NewExecution,
)
from ..._core.versions import VersionRange
from .checks import Checks
from .vocabulary import (
    LOCK_MS,
    fetch,
    fetch_one,
    first_turn,
    must_commit,
    raised,
    start,
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
