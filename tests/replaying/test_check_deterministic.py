"""`check_deterministic`: one history, replayed whole, cut anywhere, and twice."""

from __future__ import annotations

import json
import time

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hypothesis import given, settings

from duroxide import ActivityContext, InvalidInput, Orchestration, OrchestrationContext, events
from duroxide._core.exports import ExportedInstance
from duroxide.testing import Divergence, ReplayDiverged, check_deterministic
from duroxide.testing.determinism import MOST_CUTS
from duroxide.testing.histories import Replayer, first_divergence
from duroxide.testing.strategies.stories import Story, stories

from ..unit.histories import activity, completed, fired, started, timer
from .flows import CHANGES, Fn, pay, recorded


def found_in(fn: Callable[..., Any], history: Sequence[events.Event], **options: Any) -> Divergence:
    """Return what `check_deterministic` raises."""
    with pytest.raises(ReplayDiverged) as caught:
        check_deterministic(fn, history, **options)
    (found,) = caught.value.divergences
    assert str(found) == str(caught.value)
    return found


class TestProper:
    def test_recorded(self) -> None:
        """The code that recorded a history is deterministic, whole and in every part of it."""
        history = recorded()
        for length in range(1, len(history) + 1):
            check_deterministic(pay, history[:length])

    @settings(max_examples=50)
    @given(stories())
    def test_generated(self, story: Story) -> None:
        """No generated program is accused, nor is any prefix of what was committed."""
        for told in story.executions:
            check_deterministic(told.program.function(), told.history)
            for end in [advance.before for advance in told.advances[1:]] + [len(told.history)]:
                assert first_divergence(told.history[:end], told.program.function(), Replayer()) is None

    @settings(max_examples=50)
    @given(stories())
    def test_exported(self, story: Story) -> None:
        """Every history survives being exported."""
        exported = ExportedInstance.of([told.history for told in story.executions])

        assert exported == ExportedInstance.from_document(json.loads(json.dumps(exported.to_document())))

    def test_by_hand(self) -> None:
        """A history put together by hand may end where the code has more to ask for."""

        def two(ctx: OrchestrationContext) -> Orchestration[str]:
            yield from ctx.schedule_activity("A")
            yield from ctx.schedule_activity("B")
            return "done"

        check_deterministic(two, [started(), activity(2), completed(3, 2)])

    def test_long(self) -> None:
        """A long history is cut at some places only, so that it takes seconds and not minutes."""
        steps = MOST_CUTS * 5

        def loops(ctx: OrchestrationContext) -> Orchestration[None]:
            for _ in range(steps):
                yield from ctx.schedule_timer(1)

        history = [started()]
        for step in range(steps):
            history += [timer(2 * step + 2), fired(2 * step + 3, 2 * step + 2)]

        check_deterministic(loops, history)

    def test_wide(self) -> None:
        """A wide fan-out costs what it has, not its square."""
        width = 5_000

        def fans_out(ctx: OrchestrationContext) -> Orchestration[int]:
            return len((yield from ctx.join(*(ctx.schedule_activity("A") for _ in range(width)))))

        history = [started(), *(activity(2 + number) for number in range(width))]
        history += [completed(2 + width + number, 2 + number) for number in range(width)]

        assert first_divergence(history, fans_out, Replayer(), is_whole=False) is None


class TestDivergences:
    @pytest.mark.parametrize(("changed", "event_id", "said"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
    def test_changed(self, changed: Fn, event_id: int, said: str) -> None:
        """What replaying finds is found here, too."""
        found = found_in(changed, recorded())

        assert event_id == found.event_id
        assert said in str(found)

    def test_counts_runs(self) -> None:
        """State that outlives a run shows in the second one."""
        runs = []

        def counts(ctx: OrchestrationContext) -> Orchestration[int]:
            runs.append(ctx.instance_id)
            yield from ctx.schedule_activity("A", len(runs))
            return len(runs)

        found = found_in(counts, [started()])

        assert "i" == found.instance_id
        assert 1 == found.event_id
        assert "event 2 ActivityScheduled(name='A', input='2', attempt=1)" == found.expected
        again = found.expected.replace("'2'", "'3'")
        assert f"in another run of the same history: {again}" == found.got

    def test_looks_whether_it_replays(self) -> None:
        """Code that decides by is_replaying decides something else when it is."""

        def looks(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(1)
            if not ctx.is_replaying:
                yield from ctx.schedule_activity("notify")

        found = found_in(looks, [started(), timer(2), fired(3, 2), activity(4, "notify"), completed(5, 4)])

        assert 4 == found.event_id

    def test_guards(self) -> None:
        """A clock that makes no difference to what is asked for is found by the guard, unless that is off."""

        def reads(ctx: OrchestrationContext) -> Orchestration[bool]:
            yield from ctx.schedule_timer(1)
            return time.time() > 0  # noqa: TID251  # that is the mistake

        history = [started(), timer(2), fired(3, 2)]

        assert "time.time" in found_in(reads, history).got
        check_deterministic(reads, history, guard=False)

    def test_failures_of_the_code(self) -> None:
        """An exception is a decision like others."""

        def fails(ctx: OrchestrationContext) -> Orchestration[None]:
            yield from ctx.schedule_timer(1)
            raise ValueError(f"{object()}")

        found = found_in(fails, [started(), timer(2), fired(3, 2)], guard=False)

        assert "the code fails with ValueError: <object object at" in found.expected


class TestInput:
    def test_no_history(self) -> None:
        """A history without its beginning is refused."""
        with pytest.raises(InvalidInput, match="the history is empty"):
            check_deterministic(pay, [])
        with pytest.raises(InvalidInput, match=r"begins with event 2 TimerCreated"):
            check_deterministic(pay, [timer(2)])

    @pytest.mark.parametrize("history", [{"executions": []}, iter([]), "events", [5], None])
    def test_something_else(self, history: Any) -> None:
        """What is no sequence of events is refused: a document, say, or an iterator."""
        with pytest.raises(InvalidInput, match="is no history: give the events of one execution"):
            check_deterministic(pay, history)

    def test_exceptions(self) -> None:
        """Registered exceptions come back as themselves, as in a runtime."""
        from duroxide import Registry, Runtime, SqlProvider

        class OutOfStock(Exception):
            pass

        registry = Registry()
        registry.exception(OutOfStock)

        @registry.activity
        def fetch(ctx: ActivityContext) -> None:
            raise OutOfStock("none left")

        @registry.orchestration
        def order(ctx: OrchestrationContext) -> Orchestration[str]:
            try:
                yield from ctx.schedule_activity(fetch)
            except OutOfStock:
                return "another day"
            return "today"

        with SqlProvider.in_memory() as provider, Runtime(provider, registry) as runtime:
            runtime.client.start_orchestration("i", order)
            runtime.client.wait_for_result("i")
            history = runtime.client.read_execution_history("i")

        check_deterministic(order, history, exceptions=registry.exceptions)
        assert "OutOfStock" in found_in(order, history).got
