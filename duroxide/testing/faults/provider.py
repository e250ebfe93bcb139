"""The provider that follows a plan, and that can be out of order as a whole."""

from __future__ import annotations

import threading

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import evolve

from ..._clock import monotonic
from ..._core.commit import TurnCommit
from ..._core.durations import Duration, duration_ms
from ...errors import InvalidInput
from ...providers.contract import Provider
from ...providers.pipelined import Pipelined, SentTurns
from ...providers.wrapping import Collected, WrappedProvider
from .kinds import Fault, LoseConnection, ProviderCall
from .plan import FaultPlan


#: What does not reach the store: an outage leaves it alone.
_LOCAL = frozenset({"now_ms", "close"})


class FaultyProvider(WrappedProvider):
    """
    Passes every call on to *provider*, except where *plan* has a fault for it.

    Args:
        on_fault: Called in the caller's thread with the fault and the call, before the fault happens.

    Raises:
        InvalidInput: If *provider* is no provider, or *plan* no plan.
    """

    def __init__(
        self,
        provider: Provider,
        plan: FaultPlan | None = None,
        *,
        on_fault: Callable[[Fault, ProviderCall], None] | None = None,
    ) -> None:
        if isinstance(provider, type) or not hasattr(provider, "commit_turns"):
            msg = f"{provider!r} is no provider: give one, such as SqlProvider('sqlite:///orders.db')."
            raise InvalidInput(msg)
        self._plan = FaultPlan() if plan is None else _checked(plan)
        self._on_fault = on_fault
        self._changed = threading.Condition()
        self._calls: Counter[str] = Counter()
        #: How many of them were made under plans before this one.
        self._calls_before: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._is_down = False
        super().__init__(provider)

    @property
    def calls(self) -> Counter[str]:
        """How often each operation was called so far, by its name."""
        with self._changed:
            return self._calls.copy()

    @property
    def faults(self) -> Counter[str]:
        """How many faults there were so far, by the name of their class; an outage counts as LoseConnection."""
        with self._changed:
            return self._faults.copy()

    def follow(self, plan: FaultPlan) -> None:
        """From now on *plan* holds instead; its calls are counted from here."""
        with self._changed:
            self._plan, self._calls_before = _checked(plan), self._calls.copy()

    def break_down(self) -> None:
        """From now on no call reaches the store: each loses its connection before the commit."""
        self._is_down = True

    def repair(self) -> None:
        """End the outage that `break_down` began."""
        self._is_down = False

    def wait_for_faults(self, count: int, timeout: Duration = 30.0) -> bool:
        """Wait until there were *count* faults in all; return whether there were, within *timeout*."""
        deadline = monotonic() + duration_ms(timeout, what="timeout") / 1000
        with self._changed:
            return self._changed.wait_for(lambda: self._faults.total() >= count, deadline - monotonic())

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        call, fault = self._met(name, operation, *args, **keywords)
        return call.make() if fault is None else self._happen(fault, call)

    def _send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> SentTurns:
        """
        Send ahead what meets no fault, or one that leaves the commits alone; the fault happens to who collects the results.

        To a plan, this is a call of ``commit_turns``.
        """
        assert isinstance(self._provider, Pipelined), "it was when it was wrapped"
        call, fault = self._met("commit_turns", self._provider.commit_turns, commits, lock_ms=lock_ms)
        if fault is None:
            return self._provider.send_turns(commits, lock_ms=lock_ms)
        if getattr(fault, "after_commit", False):
            sent = self._provider.send_turns(commits, lock_ms=lock_ms)
            call = evolve(call, really=lambda *_, **__: sent.results())
        return Collected(partial(self._happen, fault, call))

    def _met(
        self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any
    ) -> tuple[ProviderCall, Fault | None]:
        """Count a call, and return it with the fault that it meets, if any."""
        with self._changed:
            self._calls[name] += 1
            call = ProviderCall(name, self._calls[name] - self._calls_before[name], args, keywords, operation)
            plan = self._plan
        return call, LoseConnection() if self._is_down and name not in _LOCAL else plan.fault_at(call)

    def _happen(self, fault: Fault, call: ProviderCall) -> Any:
        with self._changed:
            self._faults[type(fault).__name__] += 1
            self._changed.notify_all()
        if self._on_fault is not None:
            self._on_fault(fault, call)
        return fault.around(call)


def _checked(plan: FaultPlan) -> FaultPlan:
    given: object = plan
    if not isinstance(given, FaultPlan):
        msg = f"the plan is {given!r}: give a FaultPlan, such as FaultPlan([Rule(Fail(), nth=1)])."
        raise InvalidInput(msg)
    return plan
