"""Retries are activities and timers in history."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from duroxide._core import events as e
from duroxide._core.retry import Fixed, RetryPolicy

from .histories import Function, Instance, Steps, completed, details, failed, fired


def retrying(policy: RetryPolicy, **arguments: Any) -> Function:
    """Return an orchestration that calls A under *policy*, and returns its result or the failure's text."""

    def call(ctx: Any) -> Steps:
        try:
            return (yield ctx.schedule_activity("A", "input", retry=policy, **arguments))
        except Exception as error:  # noqa: BLE001
            return f"{type(error).__mro__[1].__name__}: {error}"

    return call


def fails(instance: Instance, text: str = "boom", *, retryable: bool = True) -> None:
    """Fail the attempt that was scheduled last."""
    instance.deliver(failed(0, last(instance, e.ActivityScheduled), details(text, retryable=retryable)))


def last(instance: Instance, kind: type[e.Event]) -> int:
    """Return the id of the last event of *kind*."""
    return [event.event_id for event in instance.history if isinstance(event, kind)][-1]


def fires(instance: Instance, timer: int | None = None) -> None:
    """Let a timer fire, the last one by default."""
    instance.deliver(fired(0, timer or last(instance, e.TimerCreated)))


AT_ONCE = RetryPolicy(backoff=None)


class TestAttempts:
    def test_first_time(self) -> None:
        """[330] Success at the first attempt: one schedule, no timer."""
        instance = Instance(retrying(RetryPolicy()))
        instance.deliver(completed(0, 2))

        assert (instance.output, instance.kinds.count("TimerCreated")) == ("ok", 0)

    def test_pauses(self) -> None:
        """Between attempts there is a timer, as long as the policy says; attempts are numbered."""
        instance = Instance(retrying(RetryPolicy()))
        fails(instance)
        fires(instance)
        fails(instance)
        timers = [event.fire_at_ms - 1_000_000 for event in instance.history if isinstance(event, e.TimerCreated)]
        fires(instance)
        instance.deliver(completed(0, last(instance, e.ActivityScheduled), "third"))
        attempts = [event.attempt for event in instance.history if isinstance(event, e.ActivityScheduled)]

        assert (timers, attempts, instance.output) == ([100, 200], [1, 2, 3], "third")

    def test_exhausted(self) -> None:
        """[332] The last failure is raised after exactly max_attempts attempts; without a backoff there is no timer."""
        instance = Instance(retrying(AT_ONCE))
        for number in range(3):
            fails(instance, f"failure {number}")

        assert instance.output == "ActivityFailed: failure 2"
        assert (instance.kinds.count("ActivityScheduled"), instance.kinds.count("TimerCreated")) == (3, 0)

    def test_single(self) -> None:
        """[333] One attempt: its failure at once."""
        instance = Instance(retrying(RetryPolicy(max_attempts=1)))
        fails(instance)

        assert instance.output == "ActivityFailed: boom"

    def test_not_retryable(self) -> None:
        """A failure that is marked as final is not tried again."""
        instance = Instance(retrying(AT_ONCE))
        fails(instance, retryable=False)

        assert instance.kinds.count("ActivityScheduled") == 1

    @pytest.mark.parametrize(("wanted", "attempts"), [("ValueError", 3), ("KeyError", 1)])
    def test_retry_if(self, wanted: str, attempts: int) -> None:
        """retry_if is given the exception and decides."""
        policy = RetryPolicy(backoff=None, retry_if=lambda error: type(error).__name__ == wanted)
        instance = Instance(retrying(policy))
        while instance.commit.output is None:
            fails(instance)

        assert instance.kinds.count("ActivityScheduled") == attempts

    def test_session_and_tag(self) -> None:
        """[341] All attempts go to the same session and tag, with the same input."""
        instance = Instance(retrying(AT_ONCE, session_id="s", tag="t"))
        fails(instance)
        fails(instance)
        scheduled = [event for event in instance.history if isinstance(event, e.ActivityScheduled)]

        assert {(event.session_id, event.tag, event.input) for event in scheduled} == {("s", "t", '"input"')}

    def test_jitter_replays(self) -> None:
        """Jitter comes from the history: a rebuilt instance pauses as long as the first."""
        policy = RetryPolicy(backoff=Fixed(10), jitter=1.0)
        live, again = Instance(retrying(policy)), Instance(retrying(policy))
        again.rebuild()
        fails(live)
        fails(again)

        assert live.history == again.history
        assert live.history[-1].fire_at_ms < 1_010_000  # type: ignore[attr-defined]

    def test_chance_is_left_to_the_code(self) -> None:
        """A policy without jitter draws no number: the code goes on with those that it would have drawn without it."""

        def draws(ctx: Any) -> Steps:
            yield ctx.schedule_activity("A", retry=AT_ONCE)
            return ctx.random.random()

        lucky, tried_again = Instance(draws), Instance(draws)
        fails(tried_again)
        for each in (lucky, tried_again):
            each.deliver(completed(0, last(each, e.ActivityScheduled)))

        assert lucky.output == tried_again.output


class TestTimeouts:
    def test_too_slow(self) -> None:
        """[335] An attempt that is too slow is the last one, though there are attempts left; it is cancelled."""
        instance = Instance(retrying(RetryPolicy(timeout=timedelta(seconds=5))))
        fires(instance)

        assert instance.output.endswith("timeout: activity timed out")
        assert instance.commit.cancelled_activities == (2,)
        assert instance.kinds.count("ActivityScheduled") == 1

    def test_is_a_timeout_error(self) -> None:
        """`except TimeoutError` catches it."""

        def catches(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_activity("A", retry=RetryPolicy(timeout=5))
            except TimeoutError:
                return "caught"

        instance = Instance(catches)
        fires(instance)

        assert instance.output == "caught"

    def test_fast_enough(self) -> None:
        """[337] An attempt that is fast enough gives its value."""
        instance = Instance(retrying(RetryPolicy(timeout=5)))
        instance.deliver(completed(0, 2))

        assert instance.output == "ok"

    def test_total(self) -> None:
        """The total timeout ends the pause between two attempts, too."""
        instance = Instance(retrying(RetryPolicy(backoff=Fixed(10), total_timeout=15)))
        deadline = last(instance, e.TimerCreated)
        fails(instance)
        fires(instance, deadline)

        assert instance.output.endswith("timeout: activity timed out in all its attempts")

    def test_total_during_an_attempt(self) -> None:
        """The total timeout cancels the attempt that runs."""
        instance = Instance(retrying(RetryPolicy(backoff=None, total_timeout=15)))
        fails(instance)
        fires(instance)

        assert instance.output.endswith("in all its attempts")
        assert instance.commit.cancelled_activities == (last(instance, e.ActivityScheduled),)

    def test_restart(self) -> None:
        """[338] Every step replays: rebuilt between all turns, the same history."""
        policy = RetryPolicy(backoff=Fixed(1), timeout=5, total_timeout=60)
        live, rebuilt = Instance(retrying(policy)), Instance(retrying(policy))
        for instance in (live, rebuilt):
            for _ in range(2):
                for step in (fails, fires):
                    if instance is rebuilt:
                        instance.rebuild()
                    step(instance)

        assert live.history == rebuilt.history

    def test_cancelled_while_retrying(self) -> None:
        """Cancelling the action cancels the attempt that runs, and stops trying."""

        def gives_up(ctx: Any) -> Steps:
            action = ctx.schedule_activity("A", retry=AT_ONCE)
            yield ctx.schedule_wait("E")
            ctx.cancel(action)
            yield ctx.schedule_wait("E")

        instance = Instance(gives_up)
        instance.deliver(e.ExternalEvent(0, 0, "E", "1"))

        assert instance.commit.cancelled_activities == (2,)
