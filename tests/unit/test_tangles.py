"""Code that ties knots: what it builds ends with a clear message, or just works, and never hangs or breaks the engine."""

from __future__ import annotations

import gc
import sys

from collections.abc import Callable
from typing import Any

import pytest

from hypothesis import given, settings
from hypothesis import strategies as st

from duroxide._core import scheduler
from duroxide._core.executor import Executor
from duroxide._core.retry import RetryPolicy
from duroxide._core.turn import run_turn
from duroxide._core.verdicts import Completed, Continue, Failed, Turn
from duroxide.errors import ErrorKind, OrchestrationMisuse

from .histories import Instance, Steps, activity, completed, fired, started, timer, turn


def complaint(result: Turn) -> str:
    """Return the message of a turn that failed because the code broke a rule."""
    assert isinstance(result.verdict, Failed), result
    assert result.verdict.details.kind is ErrorKind.PANICKED
    return result.verdict.details.message


def block(ctx: Any, *names: str) -> Steps:
    """Call activities one after the other."""
    results = []
    for name in names:
        results += [(yield ctx.schedule_activity(name))]
    return results


class TestGenerators:
    """A generator is one branch, once."""

    @staticmethod
    def twice_in_one(ctx: Any) -> Steps:
        """Join one generator with itself."""
        branch = block(ctx, "A", "B")
        yield ctx.join(branch, branch)

    @staticmethod
    def twice(ctx: Any) -> Steps:
        """Join one generator in two joins."""
        branch = block(ctx, "A", "B")
        ctx.join(branch)
        yield ctx.select(branch)

    @staticmethod
    def begun(ctx: Any) -> Steps:
        """Join a generator that has been begun by hand."""
        branch = block(ctx, "A", "B")
        next(branch)
        yield ctx.join(branch)

    @staticmethod
    def closed(ctx: Any) -> Steps:
        """Join a generator that has been closed."""
        branch = block(ctx, "A", "B")
        branch.close()
        yield ctx.join(branch)

    @staticmethod
    def itself(ctx: Any) -> Steps:
        """Join a generator in itself."""
        branches: list[Any] = []

        def joins() -> Steps:
            yield ctx.join(branches[0])

        branches.append(joins())
        yield ctx.join(branches[0])

    @pytest.mark.parametrize("wrong", [twice_in_one, twice, begun, closed, itself])
    def test_not_fresh(self, wrong: Callable[[Any], Steps]) -> None:
        """A generator that was begun or closed cannot be a branch, and the message says what to do."""
        message = complaint(turn(wrong))

        assert "has been begun or closed already, so it cannot be a branch" in message
        assert "Call the generator function once for each branch" in message

    def test_caught(self) -> None:
        """The error is raised where the mistake is made."""

        def catches(ctx: Any) -> Steps:
            branch = block(ctx, "A")
            joined = ctx.join(branch)
            with pytest.raises(OrchestrationMisuse, match="begun or closed already"):
                ctx.join(branch)
            return (yield joined)

        assert turn(catches, activity(2), completed(3, 2)).verdict == Completed('[["ok"]]')

    def test_yielded_from(self) -> None:
        """A generator that is a branch is not to be gone on with by `yield from`, however deep."""

        def inner(branch: Steps) -> Steps:
            return (yield from branch)

        def wrong(ctx: Any) -> Steps:
            branch = block(ctx, "A", "B")
            ctx.join(branch)
            yield from inner(branch)

        assert "`yield from` was given a generator that is a branch already" in complaint(turn(wrong, activity(2)))

    def test_helpers(self) -> None:
        """Branches may go through helpers of their own, and so may the code beside them."""

        def helps(ctx: Any) -> Steps:
            joined = ctx.join(block(ctx, "A"))
            first = yield from block(ctx, "B")
            return [first, (yield from joined)]

        history = (activity(2), activity(3, "B"), completed(4, 3, "b"), completed(5, 2, "a"))

        assert turn(helps, *history).verdict == Completed('[["b"],[["a"]]]')

    def test_actions(self) -> None:
        """An action may be passed as often as one likes."""

        def joins(ctx: Any) -> Steps:
            action = ctx.schedule_activity("A")
            return (yield ctx.join(action, action, ctx.join(action)))

        assert turn(joins, activity(2), completed(3, 2)).verdict == Completed('["ok","ok",["ok"]]')


class TestWaitingForOneself:
    @pytest.mark.parametrize("combinator", ["join", "select"])
    def test_its_own(self, combinator: str) -> None:
        """A branch that waits for what it is a part of is told so: there is no answer before it ends."""

        def knot(ctx: Any, parts: list[Any]) -> Steps:
            yield ctx.schedule_timer(1)
            yield parts[0]

        def wrong(ctx: Any) -> Steps:
            parts: list[Any] = []
            parts.append(getattr(ctx, combinator)(knot(ctx, parts)))
            yield parts[0]

        message = complaint(turn(wrong, timer(2), fired(3, 2)))

        assert "it would wait for ever. Wait for it in the code that started the branch" in message
        assert "test_tangles.py" in message

    def test_each_other(self) -> None:
        """The same for two branches that wait for each other."""

        def knot(ctx: Any, parts: list[Any], other: int) -> Steps:
            yield ctx.schedule_timer(1)
            yield ctx.join(parts[other])

        def wrong(ctx: Any) -> Steps:
            parts: list[Any] = []
            parts.extend([ctx.join(knot(ctx, parts, 1)), ctx.join(knot(ctx, parts, 0))])
            yield ctx.join(*parts)

        history = (timer(2), timer(3), fired(4, 2))
        assert turn(wrong, *history).verdict == Continue()
        assert "it would wait for ever" in complaint(turn(wrong, *history, fired(5, 3)))

    def test_select_that_others_can_end(self) -> None:
        """A select that another part can decide is worth waiting for."""

        def waits(ctx: Any, parts: list[Any]) -> Steps:
            yield ctx.schedule_timer(1)
            return (yield parts[0])

        def fine(ctx: Any) -> Steps:
            parts: list[Any] = []
            branch = ctx.join(waits(ctx, parts))
            parts.append(ctx.select(branch, ctx.schedule_activity("A"), cancel_losers=False))
            [winner] = yield branch
            return winner.index

        assert turn(fine, timer(2), activity(3), fired(4, 2), completed(5, 3)).verdict == Completed("1")


class TestDepth:
    @pytest.mark.parametrize("combinator", ["join", "select"])
    def test_nested(self, combinator: str) -> None:
        """Joins and selects nest as deeply as one likes: their answer comes, and they can be given up."""

        def nests(ctx: Any) -> Steps:
            first = action = ctx.schedule_activity("A")
            for _ in range(5000):
                action = getattr(ctx, combinator)(action)
            given_up = ctx.schedule_activity("B")
            for _ in range(5000):
                given_up = getattr(ctx, combinator)(given_up)
            yield action
            ctx.cancel(given_up)
            return (yield first)

        result = turn(nests, activity(2), activity(3, "B"), completed(4, 2))

        assert (result.verdict, result.cancelled_activities) == (Completed('"ok"'), (3,))

    @pytest.mark.parametrize("ending", ["returns", "loses", "never ends"])
    def test_branches(self, ending: str) -> None:
        """So do branches that start branches as they go on."""
        depth = 1050

        def level(ctx: Any, number: int) -> Steps:
            yield ctx.schedule_activity("A", number)
            if number < depth:
                yield ctx.join(level(ctx, number + 1))

        def nests(ctx: Any) -> Steps:
            outermost = ctx.join(level(ctx, 1))
            if ending == "loses":
                yield ctx.select(outermost, ctx.schedule_timer(1))
            else:
                yield outermost if ending == "returns" else ctx.schedule_timer(1)
            if ending == "never ends":
                yield ctx.schedule_wait("E")

        executor = Executor(nests, started())
        executor.feed()
        history: list[Any] = [activity(2, input=1)] + ([] if ending == "returns" else [timer(3)])
        executor.feed(history)
        event_id, last = len(history) + 1, 2
        for number in range(2, depth + (ending == "returns") * 2):
            events = [completed(event_id + 1, last)]
            last = event_id + 2
            if number <= depth:
                events.append(activity(last, input=number))  # type: ignore[arg-type]  # a list of events
            event_id = last
            result = executor.feed(events)
        if ending != "returns":
            result = executor.feed([fired(event_id + 1, 3)])
        executor.close()

        assert type(result.verdict).__name__ == ("Continue" if ending == "never ends" else "Completed")
        assert result.cancelled_activities == (() if ending in {"returns", "never ends"} else (last,))

    def test_too_deep(self) -> None:
        """What even so is deeper than Python's stack is a failure of the code, never of the turn."""

        def level(ctx: Any, number: int) -> Steps:
            return (yield ctx.join(level(ctx, number + 1)))

        def nests(ctx: Any) -> Steps:
            yield ctx.join(level(ctx, 0))

        assert isinstance(turn(nests).verdict, Failed)

    def test_chain_of_losers(self) -> None:
        """Nor is it the turn's when the engine runs out of stack: thousands of selects that end each other."""

        def chains(ctx: Any) -> Steps:
            loser = ctx.schedule_timer(1)
            first = ctx.select(ctx.schedule_activity("A"), loser)
            for _ in range(2000):
                following = ctx.schedule_timer(1)
                ctx.select(loser, following)
                loser = following
            yield first
            yield ctx.schedule_wait("E")

        history = [activity(3), *(timer(number) for number in (2, *range(4, 2004)))]
        history.sort(key=lambda event: event.event_id)

        result = turn(chains, *history, completed(2004, 3))
        assert isinstance(result.verdict, Failed)
        assert "so deeply that Python's stack does not hold it" in result.verdict.details.message

    @settings(max_examples=50)
    @given(
        st.recursive(st.integers(0, 2), lambda inner: st.tuples(st.booleans(), st.lists(inner, min_size=1, max_size=3)))
    )
    def test_notification(self, shape: Any) -> None:
        """Who waits is told in the order in which telling by recursion would have it: depth first."""

        def build(ctx: Any, actions: list[Any], node: Any) -> Any:
            if isinstance(node, int):
                return actions[node]
            is_join, parts = node
            built = [build(ctx, actions, part) for part in parts]
            return ctx.join(*built) if is_join else ctx.select(*built, cancel_losers=False)

        def tree(ctx: Any) -> Steps:
            order: list[str] = []

            def waits(node: Any) -> Steps:
                yield build(ctx, actions, node)
                order.append(repr(node))

            actions = [ctx.schedule_activity("A", number) for number in range(3)]
            value = yield ctx.join(build(ctx, actions, shape), waits(shape), *map(waits, (0, 1, 2)), waits(shape))
            return [_plain(value), order]

        def output() -> Any:
            instance = Instance(tree)
            instance.deliver(*(completed(0, number + 2, number) for number in range(3)))
            return instance.output

        iterative = output()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(scheduler, "tell", _tell_recursively)
            recursive = output()

        assert recursive == iterative


def _tell_recursively(action: Any) -> None:
    for waiter in action.waiters:
        resolved = waiter.notify(action)
        if resolved is not None:
            _tell_recursively(resolved)
    action.waiters.clear()


def _plain(value: Any) -> Any:
    """Return *value* with winners as pairs."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return [value.index, _plain(value.value)] if hasattr(value, "index") else value


class TestDyingCode:
    @pytest.fixture
    def unraisable(self, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
        """What Python could not raise."""
        noise: list[Any] = []
        monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: noise.append(unraisable.exc_type))
        return noise

    @pytest.mark.parametrize("is_closed", [True, False])
    @pytest.mark.parametrize("what", ["wait", "join", "select", "retry", "key-value", "nothing"])
    def test_bare_except(self, what: str, is_closed: bool, unraisable: list[Any]) -> None:
        """Code that catches everything in a loop, also its own end, does not run for ever: its next yield ends it."""
        rounds = 0

        def swallows(ctx: Any) -> Steps:
            nonlocal rounds
            yield ctx.schedule_timer(1)
            while rounds < 1000:
                rounds += 1
                try:  # noqa: SIM105  # what people write
                    yield self.ask(ctx, what)
                except BaseException:  # noqa: BLE001, S110  # what people write
                    pass

        executor = Executor(swallows, started())
        executor.feed([timer(2), fired(3, 2)])
        if is_closed:
            executor.close()
        del executor
        gc.collect()

        assert rounds < 20
        assert set(unraisable) <= {RuntimeError}

    @staticmethod
    def ask(ctx: Any, what: str) -> Any:
        """Ask for something to wait for."""
        match what:
            case "wait":
                return ctx.schedule_wait("E")
            case "join":
                return ctx.join(ctx.schedule_wait("E"), block(ctx, "A"))
            case "select":
                return ctx.select(ctx.schedule_wait("E"), block(ctx, "A"))
            case "retry":
                return ctx.schedule_activity("A", retry=RetryPolicy(max_attempts=2))
            case "key-value":
                ctx.set_kv_value("k", 1)
                return ctx.schedule_wait("E")
            case _:
                return None

    def test_bare_except_in_a_lost_branch(self, unraisable: list[Any]) -> None:
        """The same for a branch that lost a race and would not end."""
        rounds = 0

        def swallows(ctx: Any) -> Steps:
            nonlocal rounds
            while rounds < 1000:
                rounds += 1
                try:  # noqa: SIM105  # what people write
                    yield ctx.schedule_wait("E")
                except BaseException:  # noqa: BLE001, S110  # what people write
                    pass

        def contest(ctx: Any) -> Steps:
            yield ctx.select(swallows(ctx), ctx.schedule_timer(1))

        instance = Instance(contest)
        instance.deliver(fired(0, 2))
        assert "do not catch GeneratorExit" in str(instance.commit.output)
        instance.execution.close()
        del instance
        gc.collect()

        assert rounds < 20
        assert set(unraisable) <= {RuntimeError}

    def test_clean_up_that_raises(self) -> None:
        """The clean-up of a lost branch that raises has nobody to tell: that is said, and not that it waits."""

        class Broken(Exception):
            def __repr__(self) -> str:
                raise NotImplementedError

        def stumbles(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_wait("E")
            finally:
                raise Broken("key")

        def contest(ctx: Any) -> Steps:
            yield ctx.select(stumbles(ctx), ctx.schedule_timer(1))

        instance = Instance(contest)
        instance.deliver(fired(0, 2))

        said = str(instance.commit.output)
        assert "closing a branch that lost a race raised tests.unit.test_tangles" in said
        assert "Broken: key (" in said
        assert said.endswith("catch it in the branch itself.")

    def test_few_rounds_are_silent(self, unraisable: list[Any]) -> None:
        """Code that catches its end a few times ends without a sound."""

        def swallows(ctx: Any) -> Steps:
            for _ in range(5):
                try:  # noqa: SIM105  # what people write
                    yield ctx.schedule_wait("E")
                except BaseException:  # noqa: BLE001, S110  # what people write
                    pass

        run_turn([started()], swallows)
        gc.collect()

        assert unraisable == []

    def test_exit_while_dying(self) -> None:
        """Nor does code that wants to end the program while it is closed end anything."""

        def exits(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_wait("E")
            finally:
                sys.exit()

        assert turn(exits).verdict == Continue()
