"""XXX."""

from __future__ import annotations




class VersionFilter(Checks):
    """XXX."""

    RANGE = VersionRange.between("1.0.0", "1.9.9")

    def pinned(self, release: str) -> None:
        """Start an instance under *release*, and send it something."""
        new = NewExecution("fulfil", "1.0.0", None, release)
        turn = first_turn(release)
        must_commit(self.provider, evolve(turn, started=new))
        self.provider.enqueue([raised(release)])

    def test_replayable_bounds(self) -> None:
        """Both ends of the range are in it; the others stay unlocked."""
        for release in ("0.9.9", "1.0.0", "1.9.9", "2.0.0"):
            self.pinned(self.provider, release)
        mine = self.provider.fetch_orchestration_items(10, LOCK_MS, replayable=self.RANGE)
        others = fetch(self.provider)

        assert ["1.0.0", "1.9.9"] == [item.lock.instance_id for item in mine]
        assert ["0.9.9", "2.0.0"] == [item.lock.instance_id for item in others]

    def test_replayable_new_instance(self) -> None:
        """An instance that does not exist yet is for everybody."""
        self.provider.enqueue([start()])

        assert 1 == len(self.provider.fetch_orchestration_items(1, LOCK_MS, replayable=self.RANGE))
