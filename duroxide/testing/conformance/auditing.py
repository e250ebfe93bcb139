"""
The audit, where a provider has one: a healthy store has no violations, and what breaks the law is named.

A provider with audit has a method ``audit()`` that returns violations, each with ``rule``, ``instance_id`` and
``event_id``.
"""

from __future__ import annotations

from attrs import evolve

from ..._core import events as e
from ..._core.commit import Outgoing
from ..._core.messages import Deliver
from .checks import Checks
from .vocabulary import (
    NOW,
    activity,
    completed,
    ending,
    first_turn,
    must_commit,
    start,
    started,
    timer,
)


CHILD = e.SubOrchestrationScheduled(4, NOW, "child", "a.4", "null")


def message(instance_id: str, event: e.Event) -> Outgoing:
    """A message that delivers *event*."""
    return Outgoing(Deliver(instance_id, 1, event))


class Audit(Checks):
    """What the audit finds of what can be done through the contract."""

    def healthy(self) -> None:
        """Instance "a" waits for activity 2, timer 3 and child 4; "b" has completed."""
        self.needs_audit()
        waiting = first_turn("a", activity(), messages=(timer("a", 3, NOW + 1000), start("a.4")), timers=(3,))
        must_commit(self.provider, evolve(waiting, events=(*waiting.events, CHILD)))
        done = first_turn("b")
        must_commit(self.provider, done)
        must_commit(self.provider, ending(done))

    def test_audit_healthy(self) -> None:
        """A healthy store has no violations."""
        self.healthy()

        assert [] == self.audit()

    def test_audit_doubled_activity(self) -> None:
        """An activity whose completion waits must not be in the worker queue."""
        self.healthy()
        self.provider.enqueue([message("a", completed(0, 2))])

        assert [("activity_doubled", "a", 2)] == self.audit()

    def test_audit_doubled_timer(self) -> None:
        """A timer has one message, not two."""
        self.healthy()
        self.provider.enqueue([timer("a", 3, NOW + 1000)])

        assert [("timer_doubled", "a", 3)] == self.audit()

    def test_audit_unwanted_timer(self) -> None:
        """A turn that ends an execution leaves no timer behind."""
        self.healthy()
        self.provider.enqueue([timer("b", 3, NOW + 1000), timer("ghost", 1, NOW)])

        assert [("timer_unwanted", "b", 3), ("timer_unwanted", "ghost", 1)] == self.audit()

    def test_audit_lost_activity(self) -> None:
        """An activity that history has scheduled, and that is nowhere, is lost; however many instances there are."""
        self.healthy()
        must_commit(self.provider, *(first_turn(f"n{number:03}") for number in range(250)))
        events = (started("zz"), e.ActivityScheduled(2, NOW, "x", "1"))
        must_commit(self.provider, evolve(first_turn("zz"), events=events))

        assert [("activity_lost", "zz", 2)] == self.audit()

    def test_audit_leftover_message(self) -> None:
        """Messages to an ended execution are fine: the next turn throws them away."""
        self.healthy()
        self.provider.enqueue([message("b", completed(0, 1))])

        assert [] == self.audit()
