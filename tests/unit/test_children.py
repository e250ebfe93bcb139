"""Children and detached orchestrations."""

from __future__ import annotations

from typing import Any

import pytest

from duroxide._core import events as e
from duroxide._core.verdicts import Completed, Failed, Turn
from duroxide.errors import ErrorDetails

from .histories import Instance, Steps, as_json, cancel, child, child_completed, child_failed, details, started, turn


def ids(*instance_ids: str | None) -> Any:
    """Return an orchestration that starts a child for each id, and waits for all."""

    def parent(ctx: Any) -> Steps:
        return (yield ctx.join(*(ctx.schedule_sub_orchestration("C", instance_id=each) for each in instance_ids)))

    return parent


def scheduled(instance: Instance) -> list[str]:
    """Return the ids of the children in history."""
    return [event.instance_id for event in instance.history if isinstance(event, e.SubOrchestrationScheduled)]


class TestIds:
    def test_automatic(self) -> None:
        """[170] [173] An automatic id is made of the parent's and the event's."""
        assert scheduled(Instance(ids(None, None))) == ["i::sub::2", "i::sub::3"]

    def test_later_executions(self) -> None:
        """[Q3] From the second execution on it names the execution, too."""
        assert scheduled(Instance(ids(None), started(execution_id=2))) == ["i::sub::2_2"]

    def test_explicit(self) -> None:
        """[172] [285] An explicit id stays as it is."""
        assert scheduled(Instance(ids("mine"))) == ["mine"]

    @pytest.mark.parametrize("marker", ["sub::x", "a::sub::x"])
    def test_reserved(self, marker: str) -> None:
        """[Q21] An explicit id that looks automatic is refused, and the message names the marker."""
        verdict = turn(ids(marker)).verdict

        assert isinstance(verdict, Failed)
        assert "sub::" in verdict.details.message


class TestAnswers:
    def test_result(self) -> None:
        """[281] [282] Results of children come in argument order."""
        history = (child(2), child(3), child_completed(4, 3, "b"), child_completed(5, 2, "a"))

        assert turn(ids(None, None), *history) == Turn(Completed(as_json(["a", "b"])))

    @pytest.mark.parametrize(
        ("why", "text"), [(details("no"), "no"), (ErrorDetails.cancelled("by_test_child"), "canceled: by_test_child")]
    )
    def test_failure(self, why: ErrorDetails, text: str) -> None:
        """[103] [284] [308] A child's failure, also its cancellation, is an exception that can be caught."""

        def catches(ctx: Any) -> Steps:
            try:
                yield ctx.schedule_sub_orchestration("C")
            except Exception as error:  # noqa: BLE001
                return str(error)

        assert turn(catches, child(2), child_failed(3, 2, why)) == Turn(Completed(as_json(text)))

    def test_cancelled_parent(self) -> None:
        """[306] A cancelled parent cancels its open children."""
        instance = Instance(ids("a", "b"))
        instance.deliver(child_completed(0, 2))
        instance.deliver(cancel())

        assert [outgoing.message.instance_id for outgoing in instance.commit.messages] == ["b"]
        assert instance.commit.output == "canceled: why"


class TestDetached:
    def test_is_done_at_once(self) -> None:
        """[288] A detached start does not wait; its value is the id."""

        def detaches(ctx: Any) -> Steps:
            action = ctx.schedule_orchestration("D", "d")
            return [action.is_done, (yield action)]

        instance = Instance(detaches)

        assert instance.output == [True, "d"]
        assert [outgoing.message.instance_id for outgoing in instance.commit.messages] == ["d"]

    def test_has_no_parent(self) -> None:
        """[288] It is an instance of its own."""

        def detaches(ctx: Any) -> Steps:
            ctx.schedule_orchestration("D", "d")
            yield ctx.schedule_wait("E")

        (outgoing,) = Instance(detaches).commit.messages

        assert outgoing.message.parent is None  # type: ignore[union-attr]
