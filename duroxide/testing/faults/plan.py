"""
Plans: at which calls which fault happens.

Rule: a plan decides by the operation and by how often it was called, and by nothing else: the third commit of every run
meets the same fault, whatever other threads do. Chance comes from the seed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from random import Random
from typing import Any

from attrs import Attribute, field, frozen

from ...errors import InvalidInput
from ...providers.wrapping import OPERATIONS
from .kinds import Fault, ProviderCall, Refuse


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
    if value is not None and not (value and all(isinstance(each, int) and each >= 1 for each in value)):
        msg = f"Rule.{attribute.name} is {sorted(value, key=repr)}: calls are counted from 1; give one number, or several."
        raise InvalidInput(msg)


def _can_be_asked(_: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and not callable(value):
        msg = f"Rule.{attribute.name} is {value!r}: give a function of a ProviderCall that returns a bool."
        raise InvalidInput(msg)


def _are_rules(_: object, attribute: Attribute[Any], value: Sequence[object]) -> None:
    for each in value:
        if not isinstance(each, Rule):
            msg = f"FaultPlan.{attribute.name} has {each!r}: give a Rule, such as Rule(Fail(), nth=1)."
            raise InvalidInput(msg)


def _rules(value: Iterable[Rule]) -> tuple[Rule, ...]:
    given: object = value
    if not isinstance(given, Iterable):
        msg = f"FaultPlan.rules is {given!r}: give a list of Rules, also if it is one."
        raise InvalidInput(msg)
    return tuple(value)


def _is_fault(_: object, attribute: Attribute[Any], value: object) -> None:
    if isinstance(value, type) or not hasattr(value, "around"):
        msg = f"Rule.{attribute.name} is {value!r}: give a fault, such as Fail() or CallTwice()."
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

        only_if: Only if this says so about the `ProviderCall`; it may look at the arguments.

    Raises:
        InvalidInput: If an operation, a number or a probability is none; or if *fault* cannot happen to the operation.
    """

    fault: Fault = field(validator=_is_fault)
    on: frozenset[str] = field(default=RUNTIME_OPERATIONS, converter=_operations, validator=_known, kw_only=True)
    nth: frozenset[int] | None = field(default=None, converter=_numbers, validator=_from_one, kw_only=True)
    probability: float | None = field(default=None, kw_only=True)
    only_if: Callable[[ProviderCall], bool] | None = field(default=None, validator=_can_be_asked, kw_only=True)

    def __attrs_post_init__(self) -> None:
        _check_probability("Rule.probability", self.probability)
        if isinstance(self.fault, Refuse) and self.on != {"commit_turns"}:
            msg = f"Rule.on is {sorted(self.on)}: only commits are refused; say on='commit_turns'."
            raise InvalidInput(msg)

    def applies(self, call: ProviderCall, chance: Callable[[], float]) -> bool:
        """Whether the fault happens at *call*; *chance* gives a number from 0 to 1."""
        return (
            call.operation in self.on
            and (self.nth is None or call.number in self.nth)
            and (self.only_if is None or self.only_if(call))
            and (self.probability is None or chance() < self.probability)
        )


@frozen
class FaultPlan:
    """
    Rules, of which the first that applies to a call counts; what chance decides follows from *seed*.

    Raises:
        InvalidInput: If *rules* has anything else in it.
    """

    rules: tuple[Rule, ...] = field(default=(), converter=_rules, validator=_are_rules)
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
            msg = "FaultPlan.at_random() has no faults to choose from: give some, such as Fail() or CallTwice()."
            raise InvalidInput(msg)
        _check_probability("probability", probability)
        share = probability / len(faults)
        # Each rule is asked about the calls that those before it have left alone.
        rules = (
            Rule(fault, on=on, probability=min(share / (1 - position * share), 1.0))
            for position, fault in enumerate(faults)
        )
        return cls(tuple(rules), seed)

    def fault_at(self, call: ProviderCall) -> Fault | None:
        """Return what goes wrong in *call*, if anything. The same for the same call, always."""
        for position, rule in enumerate(self.rules):
            if rule.applies(call, partial(self._chance, position, call)):
                return rule.fault
        return None

    def _chance(self, position: int, call: ProviderCall) -> float:
        """Return a number from 0 to 1 that rule *position* has for *call*, and no other."""
        # Dice, not keys; and not one generator for all calls, whose numbers would depend on the order of threads.
        return Random(f"{self.seed}/{position}/{call.operation}/{call.number}").random()  # noqa: S311
