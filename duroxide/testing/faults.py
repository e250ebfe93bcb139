"""
A provider that breaks by plan: what your orchestrations, and a provider of your own, do when the database fails.

Wrap the provider, and give the wrapper to a Runtime or a Client::

    plan = FaultPlan((Rule(LoseConnection(after_commit=True), on="commit_turns", nth=(1, 3)),))
    with Runtime(FaultyProvider(provider, plan), registry):
        ...

Rule 1: a plan decides by the operation and by how often it was called, and by nothing else: the third commit of every
run meets the same fault, whatever other threads do. Chance comes from the seed.

Rule 2: a fault is what a provider may do by its contract, or what may happen to its process. All of them together must
cost time, and nothing else.
"""

from __future__ import annotations

import os
import threading

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from random import Random
from typing import Any, Protocol

from attrs import Attribute, field, frozen

from .._clock import monotonic
from .._core.commit import CommitResult
from .._core.durations import Duration, duration_ms
from ..errors import InvalidInput, ProviderError
from ..providers.contract import Provider
from ..providers.wrapping import OPERATIONS, WrappedProvider


__all__ = [
    "KILLED",
    "RUNTIME_OPERATIONS",
    "Call",
    "Delay",
    "Fail",
    "Fault",
    "FaultPlan",
    "FaultyProvider",
    "Kill",
    "LoseConnection",
    "Refuse",
    "Repeat",
    "Rule",
]

#: What a runtime calls to get its work done: where faults happen, unless a rule says otherwise.
RUNTIME_OPERATIONS = frozenset(
    {
        "fetch_orchestration_items",
        "read_histories",
        "commit_turns",
        "release_orchestration_items",
        "renew_instance_locks",
        "fetch_activities",
        "fetch_expired_activities",
        "ack_activities",
        "release_activities",
        "renew_activity_locks",
        "held_activity_locks",
        "renew_sessions",
        "remove_orphaned_sessions",
        "next_due_ms",
    }
)

#: What does not reach the store: an outage leaves it alone.
_LOCAL = frozenset({"now_ms", "close"})

#: The exit status of a process that `Kill` ended: what a shell reports of SIGKILL.
KILLED = 137


@frozen
class Call:
    """One call of a provider's operation, which a fault may make, make twice, or not make."""

    operation: str
    #: How often this operation was called under the plan, this time included.
    number: int
    arguments: tuple[Any, ...]
    keywords: Mapping[str, Any]
    _really: Callable[..., Any] = field(repr=False)

    def make(self) -> Any:
        """Call the real operation, and return its answer."""
        return self._really(*self.arguments, **self.keywords)

    def error(self, message: str, *, retryable: bool = True) -> ProviderError:
        """Return the error that a provider would raise, because of *message*."""
        return ProviderError(self.operation, f"{message} (a fault on purpose, call {self.number})", retryable=retryable)


class Fault(Protocol):
    """What goes wrong in a call. Write your own if these are not enough."""

    def around(self, call: Call) -> Any:
        """Return what the caller gets instead of the answer of *call*, or raise."""
        ...


@frozen
class Fail:
    """Nothing is done, and an error is raised: with *retryable* false, as for what can never be written."""

    retryable: bool = True

    def around(self, call: Call) -> Any:
        """Raise."""
        raise call.error("the database failed", retryable=self.retryable)


@frozen
class LoseConnection:
    """The connection breaks before the commit, so that nothing is done; or after it, so that only the answer is lost."""

    after_commit: bool = False

    def around(self, call: Call) -> Any:
        """Raise what a provider raises that cannot know what happened."""
        if self.after_commit:
            call.make()
        raise call.error("the connection was lost during a commit, which may or may not have happened")


def _seconds(value: Duration) -> float:
    return duration_ms(value, what="Delay.seconds") / 1000


@frozen
class Delay:
    """The call takes longer: *seconds* (or a timedelta) go by before it."""

    seconds: float = field(default=0.1, converter=_seconds)

    def around(self, call: Call) -> Any:
        """Wait, and make the call."""
        threading.Event().wait(self.seconds)
        return call.make()


@frozen
class Repeat:
    """The call is made twice, as by a retry after a lost answer; the caller gets the second answer."""

    def around(self, call: Call) -> Any:
        """Make the call twice."""
        call.make()
        return call.make()


@frozen
class Refuse:
    """No commit of the call is made, and all are answered as if another runtime had been quicker. For ``commit_turns``."""

    def around(self, call: Call) -> Any:
        """Answer STALE for each commit."""
        commits = call.arguments[0] if call.arguments else call.keywords["commits"]
        return [CommitResult.STALE] * len(commits)


@frozen
class Kill:
    """
    The process ends at once, as under SIGKILL: no handler, no ``finally``, no flush. Before the call, or right after it.

    Its exit status is `KILLED`, on every system.
    """

    after_commit: bool = False

    def around(self, call: Call) -> Any:
        """End this process."""
        if self.after_commit:
            call.make()
        os._exit(KILLED)


def _operations(value: str | Collection[str]) -> frozenset[str]:
    return frozenset({value} if isinstance(value, str) else value)


def _known(_: object, attribute: Attribute[Any], value: frozenset[str]) -> None:
    unknown = sorted(value - OPERATIONS)
    if unknown or not value:
        msg = f"Rule.{attribute.name} names {unknown}: give operations of a provider: {', '.join(sorted(OPERATIONS))}."
        raise InvalidInput(msg)


def _numbers(value: int | Collection[int] | None) -> frozenset[int] | None:
    if value is None:
        return None
    return frozenset({value} if isinstance(value, int) else value)


def _from_one(_: object, attribute: Attribute[Any], value: frozenset[int] | None) -> None:
    if value is not None and (not value or min(value) < 1):
        msg = f"Rule.{attribute.name} is {sorted(value)}: calls are counted from 1; give one number, or several."
        raise InvalidInput(msg)


def _is_fault(_: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, type) or not hasattr(value, "around"):
        msg = f"Rule.{attribute.name} is {value!r}: give a fault, such as Fail() or Repeat()."
        raise InvalidInput(msg)


def _check_probability(what: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        msg = f"{what} is {value!r}: give a number from 0 (never) to 1 (always)."
        raise InvalidInput(msg)


@frozen
class Rule:
    """
    Where and when *fault* happens: at every call of the operations *on*, unless one of these says less.

    Args:
        on: The name of an operation, or several.

        nth: Only at these calls of an operation, counted from 1, for each operation by itself.

        probability: Only by chance, with this probability from 0 to 1.

        only_if: Only if this says so about the `Call`; it may look at the arguments.

    Raises:
        InvalidInput: If an operation, a number or a probability is none; or if *fault* cannot happen to the operation.
    """

    fault: Fault = field(validator=_is_fault)
    on: frozenset[str] = field(default=RUNTIME_OPERATIONS, converter=_operations, validator=_known, kw_only=True)
    nth: frozenset[int] | None = field(default=None, converter=_numbers, validator=_from_one, kw_only=True)
    probability: float | None = field(default=None, kw_only=True)
    only_if: Callable[[Call], bool] | None = field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _check_probability("Rule.probability", self.probability)
        if isinstance(self.fault, Refuse) and self.on != {"commit_turns"}:
            msg = f"Rule.on is {sorted(self.on)}: only commits are refused; say on='commit_turns'."
            raise InvalidInput(msg)

    def applies(self, call: Call, chance: Callable[[], float]) -> bool:
        """Whether the fault happens at *call*; *chance* gives a number from 0 to 1."""
        return (
            call.operation in self.on
            and (self.nth is None or call.number in self.nth)
            and (self.only_if is None or self.only_if(call))
            and (self.probability is None or chance() < self.probability)
        )


@frozen
class FaultPlan:
    """Rules, of which the first that applies to a call counts; what chance decides follows from *seed*."""

    rules: tuple[Rule, ...] = field(default=(), converter=tuple[Rule, ...])
    seed: int | str = 0

    @classmethod
    def at_random(
        cls,
        *faults: Fault,
        probability: float,
        seed: int | str = 0,
        on: str | Collection[str] = RUNTIME_OPERATIONS,
    ) -> FaultPlan:
        """
        Let each call of the operations *on* meet one of *faults* with *probability* in all.

        Raises:
            InvalidInput: As for `Rule`; and without any fault.
        """
        if not faults:
            msg = "FaultPlan.at_random() has no faults to choose from: give some, such as Fail() or Repeat()."
            raise InvalidInput(msg)
        _check_probability("probability", probability)
        share = probability / len(faults)
        # Each rule is asked about the calls that those before it have left alone.
        rules = (
            Rule(fault, on=on, probability=min(share / (1 - position * share), 1.0))
            for position, fault in enumerate(faults)
        )
        return cls(tuple(rules), seed)

    def fault_at(self, call: Call) -> Fault | None:
        """Return what goes wrong in *call*, if anything. The same for the same call, always."""
        for position, rule in enumerate(self.rules):
            if rule.applies(call, partial(self._chance, position, call)):
                return rule.fault
        return None

    def _chance(self, position: int, call: Call) -> float:
        """Return a number from 0 to 1 that rule *position* has for *call*, and no other."""
        # Dice, not keys; and not one generator for all calls, whose numbers would depend on the order of threads.
        return Random(f"{self.seed}/{position}/{call.operation}/{call.number}").random()  # noqa: S311


class FaultyProvider(WrappedProvider):
    """
    Passes every call on to *provider*, except where *plan* has a fault for it.

    Args:
        on_fault: Called in the caller's thread with the fault and the call, before the fault happens.
    """

    def __init__(
        self,
        provider: Provider,
        plan: FaultPlan | None = None,
        *,
        on_fault: Callable[[Fault, Call], None] | None = None,
    ) -> None:
        self._plan = FaultPlan() if plan is None else plan
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
            self._plan, self._calls_before = plan, self._calls.copy()

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
        with self._changed:
            self._calls[name] += 1
            call = Call(name, self._calls[name] - self._calls_before[name], args, keywords, operation)
            plan = self._plan
        fault = LoseConnection() if self._is_down and name not in _LOCAL else plan.fault_at(call)
        if fault is None:
            return call.make()
        with self._changed:
            self._faults[type(fault).__name__] += 1
            self._changed.notify_all()
        if self._on_fault is not None:
            self._on_fault(fault, call)
        return fault.around(call)
