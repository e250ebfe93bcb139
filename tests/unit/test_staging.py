"""Messages become events: what is kept, what is dropped, and what cannot be true."""

from __future__ import annotations

from duroxide._core import events as e
from duroxide._core.ledger import Ledger
from duroxide._core.messages import Deliver
from duroxide._core.staging import Staged, stage

from .histories import (
    activity,
    cancel,
    child,
    child_completed,
    completed,
    dropped,
    enqueued,
    failed,
    fired,
    raised,
    started,
    summary,
    timer,
)


def staged(*events: e.Event, history: tuple[e.Event, ...] = (), is_cancelled: bool = False) -> Staged:
    """Stage *events* for execution 1, whose history ends at event 9."""
    messages = [Deliver("i", 1 if isinstance(event, e.CompletionEvent) else None, event) for event in events]
    ledger = Ledger([started(), *history])
    return stage(messages, ledger, execution_id=1, first_event_id=10, timestamp_ms=5, is_cancelled=is_cancelled)


HISTORY = (activity(2), timer(3), child(4))


class TestStage:
    def test_numbers_and_times(self) -> None:
        """[43] [44] [46] [51] Completions become events in batch order, with ids and the time of the turn."""
        result = staged(fired(0, 3), completed(0, 2), child_completed(0, 4), history=HISTORY)

        assert summary(result.events) == [
            (10, "TimerFired", 3), (11, "ActivityCompleted", 2), (12, "SubOrchestrationCompleted", 4),
        ]  # fmt: skip
        assert {event.timestamp_ms for event in result.events} == {5}

    def test_keeps_the_rest(self) -> None:
        """A staged event is the delivered one, but for its place."""
        assert staged(enqueued(0, "Q", "x")).events == [e.QueueEventDelivered(10, 5, "Q", '"x"')]

    def test_answered_in_history(self) -> None:
        """[47] [97] What has been answered is not answered again, and the reason is told."""
        result = staged(completed(0, 2), history=(*HISTORY, completed(5, 2)))

        assert result.events == []
        assert result.dropped == ("ActivityCompleted for event 2, which has been answered",)

    def test_twice_in_a_batch(self) -> None:
        """[48] The first of two answers in one batch counts."""
        assert summary(staged(failed(0, 2), completed(0, 2), history=HISTORY).events) == [(10, "ActivityFailed", 2)]

    def test_after_a_breadcrumb(self) -> None:
        """A late answer to what was given up is kept."""
        result = staged(completed(0, 2), history=(*HISTORY, dropped(e.ActivityCancelRequested, 5, 2)))

        assert summary(result.events) == [(10, "ActivityCompleted", 2)]

    def test_impossible(self) -> None:
        """[54] [57] What cannot be true is not staged; what comes with it is."""
        result = staged(completed(0, 99), completed(0, 3), raised(0), history=HISTORY)

        assert summary(result.events) == [(10, "ExternalEvent")]
        assert "no matching schedule 99" in result.impossible[0]
        assert "kind mismatch" in result.impossible[1]

    def test_content_is_never_compared(self) -> None:
        """[52] Sending the same twice means twice."""
        assert len(staged(raised(0), raised(0), enqueued(0), enqueued(0)).events) == 4

    def test_first_cancel_counts(self) -> None:
        """Of several cancel requests the first one is kept."""
        assert staged(cancel(0, "a"), cancel(0, "b")).events == [e.OrchestrationCancelRequested(10, 5, "a")]
        assert staged(cancel(0, "c"), is_cancelled=True).events == []

    def test_only_the_own_parent_cancels(self) -> None:
        """A parent whose explicit child id was taken cannot cancel the stranger that has it."""
        own, other = e.Parent("p", 1, 2), e.Parent("q", 1, 2)
        request = e.OrchestrationCancelRequested(0, 0, "parent canceled", own)

        def outcome(parent: e.Parent | None) -> int:
            result = stage(
                [Deliver("i", None, request)],
                Ledger(HISTORY),
                execution_id=1,
                first_event_id=10,
                timestamp_ms=5,
                is_cancelled=False,
                parent=parent,
            )
            return len(result.events)

        assert (outcome(own), outcome(other), outcome(None)) == (1, 0, 0)

    def test_other_execution(self) -> None:
        """[272] Completions for another execution are dropped; events have none and stay."""
        message = Deliver("i", 2, completed(0, 2))
        result = stage(
            [message], Ledger(HISTORY), execution_id=1, first_event_id=10, timestamp_ms=5, is_cancelled=False
        )

        assert (result.events, len(result.dropped)) == ([], 1)


class TestLedger:
    def test_open(self) -> None:
        """[185] [186] Only what is neither answered nor given up is wanted."""
        ledger = Ledger([started(), *HISTORY, activity(5), completed(6, 2), dropped(e.ActivityCancelRequested, 7, 5)])

        assert list(ledger.wanted()) == [child(4)]
        assert list(ledger.timers()) == [3]
        assert list(ledger.open) == [3, 4, 5]

    def test_nothing_open(self) -> None:
        """[185] All answered: nothing is wanted."""
        assert list(Ledger([activity(2), completed(3, 2)]).wanted()) == []

    def test_remembers_kinds(self) -> None:
        """The kind of a schedule is known after its answer, too; other ids have none."""
        ledger = Ledger([activity(2), completed(3, 2)])

        assert [ledger.kind_of(event_id) for event_id in (-1, 2, 3, 99)] == [None, e.ActivityScheduled, None, None]

    def test_unknown_breadcrumb(self) -> None:
        """[183] A breadcrumb without a schedule is harmless."""
        assert list(Ledger([dropped(e.QueueSubscriptionCancelled, 3, 2)]).open) == []
