"""Key-values and the custom status, as code sees them and as they are recorded."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from duroxide._core import events as e
from duroxide._core import limits
from duroxide._core.commit import CustomStatusChange
from duroxide._core.verdicts import Completed, Continue, Failed, Turn

from .histories import Instance, Steps, T, activity, as_json, completed, kv_set, raised, started, summary, turn, waits


class TestKeyValues:
    def test_order_and_reads(self) -> None:
        """[146] [157] Changes become events in order, and are readable at once."""

        def changes(ctx: Any) -> Any:
            ctx.set_kv_value("X", 1)
            ctx.clear_kv_value("Z")
            ctx.clear_all_kv_values()
            ctx.set_kv_value("A", "value")
            return [ctx.get_kv_value("A"), ctx.get_kv_value("X"), ctx.get_kv_all_keys(), ctx.get_kv_length()]

        result = turn(changes)

        assert result.verdict == Completed(as_json(["value", None, ["A"], 1]))
        assert summary(result.events) == [
            (2, "KeyValueSet"), (3, "KeyValueCleared"), (4, "KeyValuesCleared"), (5, "KeyValueSet"),
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "left"),
        [
            (lambda ctx: (ctx.set_kv_value("k", 1), ctx.set_kv_value("k", 2)), {"k": 2}),
            (lambda ctx: (ctx.set_kv_value("a", 1), ctx.clear_all_kv_values(), ctx.set_kv_value("b", 2)), {"b": 2}),
            (lambda ctx: (ctx.set_kv_value("a", 1), ctx.set_kv_value("b", 2), ctx.clear_kv_value("a")), {"b": 2}),
            (lambda ctx: (ctx.set_kv_value("", ""), ctx.set_kv_value("🎉", "é")), {"": "", "🎉": "é"}),
        ],
    )
    def test_replayed(self, change: Any, left: dict[str, Any]) -> None:
        """[148] [149] [150] [160] [367] Changes of an earlier turn are there after replay."""

        def changes(ctx: Any) -> Steps:
            change(ctx)
            yield ctx.schedule_wait("E")
            return ctx.get_kv_all_values()

        instance = Instance(changes)
        instance.rebuild()
        instance.deliver(raised(0))

        assert instance.output == left

    @pytest.mark.parametrize(
        ("change", "event"),
        [
            (lambda ctx: ctx.set_kv_value("k", "v"), kv_set(2)),
            (lambda ctx: ctx.clear_all_kv_values(), e.KeyValuesCleared(2, 0)),
            (lambda ctx: ctx.clear_kv_value("k"), e.KeyValueCleared(2, 0, "k")),
        ],
    )
    def test_same_as_recorded(self, change: Any, event: e.Event) -> None:
        """[151] [153] [154] The same change as the recorded one replays."""

        def changes(ctx: Any) -> Steps:
            change(ctx)
            yield ctx.schedule_wait("E")

        assert turn(changes, event, waits(3)) == Turn(Continue())

    def test_no_longer_asked_for(self) -> None:
        """A recorded change that the code does not make any more, with nothing in its place, is skipped."""

        def waiting(ctx: Any) -> Steps:
            yield ctx.schedule_wait("E")

        assert turn(waiting, waits(2), kv_set(3)) == Turn(Continue())

    def test_interleaved(self) -> None:
        """[155] Key-values between activities replay with them."""

        def mixed(ctx: Any) -> Steps:
            ctx.set_kv_value("k", (yield ctx.schedule_activity("A")))
            ctx.set_kv_value("k", [ctx.get_kv_value("k"), (yield ctx.schedule_activity("B"))])
            return ctx.get_kv_value("k")

        instance = Instance(mixed)
        instance.deliver(completed(0, 2, 1))
        instance.rebuild()
        instance.deliver(completed(0, 5, 2))

        assert instance.output == [1, 2]

    def test_inherited(self) -> None:
        """[158] [168] [169] What is inherited is there before any change, and changes are told from it."""

        def counts(ctx: Any) -> Steps:
            before = ctx.get_kv_all_values()
            ctx.clear_kv_value("session")
            ctx.set_kv_value("counter", ctx.get_kv_value("counter") + 1)
            yield ctx.schedule_wait("E")
            return [before, ctx.get_kv_all_values()]

        instance = Instance(counts, started(kv={"session": "s", "counter": 3}))

        assert instance.commit.kv == {"session": None, "counter": e.KvEntry("4", T)}
        instance.deliver(raised(0))
        assert instance.output == [{"counter": 3, "session": "s"}, {"counter": 4}]

    def test_clear_all_inherited(self) -> None:
        """[168] Clearing everything removes what was inherited."""

        def clears(ctx: Any) -> None:
            ctx.clear_all_kv_values()
            ctx.set_kv_value("x", "new")

        assert Instance(clears, started(kv={"old": 1})).commit.kv == {"old": None, "x": e.KvEntry('"new"', T)}

    @pytest.mark.parametrize(
        ("change", "written"),
        [
            (lambda ctx: ctx.set_kv_value("new", 2), {"new": e.KvEntry("2", T)}),
            (lambda ctx: ctx.set_kv_value("old", 2), {"old": e.KvEntry("2", T)}),
            (lambda ctx: ctx.clear_kv_value("old"), {"old": None}),
            (lambda ctx: ctx.clear_all_kv_values(), {"old": None, "inherited": None}),
        ],
        ids=["set", "replace", "clear", "clear all"],
    )
    def test_added_by_changed_code(self, change: Any, written: dict[str, e.KvEntry | None]) -> None:
        """What changed code asks for behind all that is recorded gets into the store as well as into history."""
        is_changed = False

        def changed(ctx: Any) -> Steps:
            ctx.set_kv_value("old", 1)
            waiting = ctx.schedule_wait("E")
            if is_changed:
                change(ctx)
            yield waiting

        instance = Instance(changed, started(kv={"inherited": 0}))
        is_changed = True
        instance.rebuild()

        assert instance.deliver(raised(0)).kv == written

    def test_counter(self) -> None:
        """[165] [166] [374] Read-modify-write on every turn counts right, rebuilt or not."""

        def counts(ctx: Any) -> Steps:
            while True:
                ctx.set_kv_value("n", (ctx.get_kv_value("n") or 0) + 1)
                yield ctx.schedule_wait("E")

        instance = Instance(counts)
        for turns in range(2, 6):
            instance.rebuild()
            instance.deliver(raised(0))
            assert instance.commit.kv == {"n": e.KvEntry(str(turns), T)}

    def test_typed(self) -> None:
        """[357] Values come back as the type that is asked for."""

        def typed(ctx: Any) -> bool:
            ctx.set_kv_value("when", datetime(2024, 1, 1, tzinfo=UTC))
            return ctx.get_kv_value("when", type=datetime) == datetime(2024, 1, 1, tzinfo=UTC)  # type: ignore[no-any-return]

        assert turn(typed).verdict == Completed("true")


class TestPruning:
    @pytest.mark.parametrize(
        ("cutoff", "pruned"),
        [(0, 0), (T - 1000, 0), (T, 2), (2**63 - 1, 3), (datetime.fromtimestamp(T / 1000, UTC), 2)],
    )
    def test_by_age(self, cutoff: Any, pruned: int) -> None:
        """[370] [371] [373] Keys that were set before the cutoff go, strictly; also those of this very turn."""

        def prunes(ctx: Any) -> int:
            ctx.set_kv_value("new", 1)
            count: int = ctx.prune_kv_values_updated_before(cutoff)
            return count

        assert turn(prunes, started(kv={"b": 1, "a": 1})).verdict == Completed(str(pruned))

    def test_sorted_and_replayed(self) -> None:
        """[654] [Q11] Keys go in sorted order, and replay prunes the same ones although time has passed."""

        def prunes(ctx: Any) -> Steps:
            for key in "cab":
                ctx.set_kv_value(key, 1)
            yield ctx.schedule_wait("E")
            ctx.prune_kv_values_updated_before(ctx.utc_now())
            yield ctx.schedule_wait("E")

        instance = Instance(prunes)
        instance.deliver(raised(0), now_ms=T + 5000)
        cleared = [event.key for event in instance.history if isinstance(event, e.KeyValueCleared)]
        instance.rebuild()

        assert cleared == ["a", "b", "c"]
        assert turn(prunes, *instance.history) == Turn(Continue())

    def test_recorded_age(self) -> None:
        """[Q11] The age of a key is the one that was recorded; of two settings, that of the last."""

        def prunes(ctx: Any) -> Steps:
            for value in (1, 2):
                ctx.set_kv_value("old", value)
                ctx.set_kv_value("new", value)
            yield ctx.schedule_wait("E")
            return ctx.prune_kv_values_updated_before(T - 10)

        ages = {"old": (T, T - 20), "new": (T - 20, T)}
        sets = [
            e.KeyValueSet(2 + 2 * step + place, T, key, str(step + 1), ages[key][step])
            for step in (0, 1)
            for place, key in enumerate(ages)
        ]
        result = turn(prunes, *sets, waits(6), raised(7))

        assert result.verdict == Completed("1")
        assert [event.key for event in result.events if isinstance(event, e.KeyValueCleared)] == ["old"]

    def test_naive_cutoff(self) -> None:
        """A cutoff without a time zone is refused, with the remedy."""

        def prunes(ctx: Any) -> None:
            ctx.prune_kv_values_updated_before(datetime(2024, 1, 1))  # noqa: DTZ001

        verdict = turn(prunes).verdict
        assert isinstance(verdict, Failed)
        assert "time zone" in verdict.details.message


class TestLimits:
    @pytest.mark.parametrize(("more", "is_ok"), [(0, True), (1, False)])
    def test_number_of_keys(self, more: int, is_ok: bool) -> None:
        """[362] [Q10] Exactly as many keys as allowed are fine, over all turns; one more raises in the code."""

        def fills(ctx: Any) -> Steps:
            for number in range(100):
                ctx.set_kv_value(f"first {number}", 1)
            yield ctx.schedule_wait("E")
            for number in range(limits.MAX_KV_KEYS - 100 + more):
                ctx.set_kv_value(f"second {number}", 1)

        instance = Instance(fills)
        instance.deliver(raised(0))

        assert instance.commit.output is not None
        assert ("KV key count" in instance.commit.output) is not is_ok

    def test_clear_makes_room(self) -> None:
        """[362] As many keys again after clearing all are fine."""

        def refills(ctx: Any) -> None:
            for _ in range(2):
                for number in range(limits.MAX_KV_KEYS):
                    ctx.set_kv_value(f"{number}", 1)
                ctx.clear_all_kv_values()

        assert turn(refills).verdict == Completed("null")

    @pytest.mark.parametrize(
        ("act", "says"),
        [
            (lambda ctx: ctx.set_kv_value("k", "x" * (limits.MAX_KV_VALUE_BYTES + 1)), "KV value size"),
            (lambda ctx: ctx.set_kv_value("k", ["x" * (limits.MAX_KV_VALUE_BYTES - 3)]), "KV value size"),
            (lambda ctx: ctx.set_custom_status("x" * (limits.MAX_CUSTOM_STATUS_BYTES + 1)), "Custom status size"),
            (lambda ctx: ctx.schedule_activity("A", tag="x" * 257), "tag size"),
        ],
    )
    def test_catchable(self, act: Any, says: str) -> None:
        """[349] A value over its limit raises where it is used; nothing of it is recorded, and code may catch it."""

        def catches(ctx: Any) -> Any:
            try:
                act(ctx)
            except ValueError as error:
                return str(error)

        result = turn(catches)

        assert isinstance(result.verdict, Completed)
        assert says in result.verdict.output
        assert "exceeds limit" in result.verdict.output
        assert result.events == ()

    def test_exactly(self) -> None:
        """[349] Exactly at the limit is fine."""

        def exactly(ctx: Any) -> None:
            ctx.set_custom_status("x" * limits.MAX_CUSTOM_STATUS_BYTES)
            ctx.set_kv_value("k", "é" * (limits.MAX_KV_VALUE_BYTES // 2))
            ctx.set_kv_value("l", ["x" * (limits.MAX_KV_VALUE_BYTES - 4)])

        assert turn(exactly).verdict == Completed("null")


class TestStatus:
    def test_last_one_counts(self) -> None:
        """[344] Of three changes in one turn the last is stored; all are in history."""

        def shows(ctx: Any) -> Steps:
            for text in "abc":
                ctx.set_custom_status(text)
            yield ctx.schedule_wait("E")

        instance = Instance(shows)

        assert instance.commit.custom_status == CustomStatusChange("c")
        assert instance.kinds.count("CustomStatusUpdated") == 3

    def test_untouched(self) -> None:
        """[345] A turn that does not change it stores nothing."""

        def shows(ctx: Any) -> Steps:
            ctx.set_custom_status("a")
            yield ctx.schedule_wait("E")
            return ctx.get_custom_status()

        instance = Instance(shows)
        instance.rebuild()
        instance.deliver(raised(0))

        assert (instance.commit.custom_status, instance.output) == (None, "a")

    def test_reset(self) -> None:
        """[350] [352] An inherited status can be read and reset."""

        def resets(ctx: Any) -> Any:
            before = ctx.get_custom_status()
            ctx.reset_custom_status()
            return [before, ctx.get_custom_status()]

        instance = Instance(resets, started(status="old"))

        assert (instance.output, instance.commit.custom_status) == (["old", None], CustomStatusChange(None))


def test_value_of_another_instance() -> None:
    """Another instance's value is read by a built-in activity."""

    def reads(ctx: Any) -> Steps:
        return (yield ctx.get_kv_value_from_instance("other", "k"))

    scheduled = activity(2, "__duroxide_syscall:get_kv_value", ["other", "k"])

    assert turn(reads) == Turn(Continue(), (scheduled,))
    assert turn(reads, scheduled, completed(3, 2, None)) == Turn(Completed("null"))
