"""Reasons: why an instance was passed on is told of the same delivery again, and of nothing else."""

from __future__ import annotations

from attrs import evolve

from duroxide._core.commit import InstanceLock
from duroxide._runtime import reasons
from duroxide._runtime.reasons import Reasons
from duroxide.providers.contract import OrchestrationItem


def item(instance_id: str = "a") -> OrchestrationItem:
    """A fetched instance."""
    lock = InstanceLock(instance_id, "token")
    return OrchestrationItem(lock=lock, messages=(), execution_id=2, last_event_id=7, incarnation=5)


def test_last_reason_once() -> None:
    """The last reason counts, and is told once."""
    known = Reasons()
    known.note(item(), "it was busy")
    known.note(item(), "it is broken")

    assert ["it is broken", None] == [known.of(item()), known.of(item())]


def test_explains() -> None:
    """What was passed on is known, without its reason being told, until it has gone on."""
    known = Reasons()
    known.note(item(), "it was busy")

    assert [True, False, False] == [
        known.explains(each) for each in (item(), item("b"), evolve(item(), last_event_id=8))
    ]
    assert "it was busy" == known.of(item())


def test_another_place() -> None:
    """When the instance has gone on since, or is another one of its id, the reason is none any more."""
    for other in (evolve(item(), last_event_id=8), evolve(item(), execution_id=3), evolve(item(), incarnation=6)):
        known = Reasons()
        known.note(item(), "it was broken")

        assert known.of(other) is None


def test_few_are_remembered(monkeypatch) -> None:
    """The reasons that were noted last are remembered."""
    monkeypatch.setattr(reasons, "_MOST", 2)
    known = Reasons()
    for instance_id in "abac":
        known.note(item(instance_id), instance_id)

    assert ["a", None, "c"] == [known.of(item(instance_id)) for instance_id in "abc"]
