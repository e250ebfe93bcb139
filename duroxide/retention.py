"""
Retention: for how long what has ended stays, and how it goes.

Rule 1: what goes, goes in small batches, with pauses in between: work that goes on comes first.

Rule 2: there is no leader. Any number of runtimes may apply a policy to one database, at the same time too: what two of
them want to delete, one of them deletes, and a pass that finds nothing costs a few queries.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any

from attrs import Attribute, evolve, field
from attrs.converters import optional

from ._core import limits
from ._core.arguments import MAX_INTEGER, check_count
from ._core.commit import GOING_ON, ExecutionStatus
from ._core.durations import as_timedelta, duration_ms
from ._nouns import frozen
from .errors import InvalidInput
from .providers.management import DeleteResult, InstanceFilter, Management, PruneOptions, PruneResult


#: How long others have the database to themselves between two batches, in seconds.
PAUSE = 0.05

#: How far a pass may be from its time, as a share of the interval: runtimes that start together drift apart.
JITTER = 0.25


def _is_duration(_: object, attribute: Attribute[Any], value: timedelta | None) -> None:
    if value is not None:
        duration_ms(value, what=attribute.name)


def _keeps_some(_: object, attribute: Attribute[Any], value: int | None) -> None:
    if value is not None:
        check_count(attribute.name, value, most=MAX_INTEGER)


@frozen(kw_only=True)
class RetentionRule:
    """For how long instances stay after their end, with their children and their history. Without anything: for ever."""

    #: Completed ones go this long (a timedelta, or seconds) after their end. None: never.
    completed_after: timedelta | None = field(default=None, converter=optional(as_timedelta), validator=_is_duration)
    #: The same for those that failed.
    failed_after: timedelta | None = field(default=None, converter=optional(as_timedelta), validator=_is_duration)
    #: How many executions stay of those that continue as new for ever, the current one included. None: all.
    keep_executions: int | None = field(default=None, validator=_keeps_some)


def _rules(rules: Mapping[str, RetentionRule]) -> Mapping[str, RetentionRule]:
    if not isinstance(rules, Mapping) or not all(type(rule) is RetentionRule for rule in rules.values()):
        msg = f"overrides is {rules!r}: use a mapping from names of orchestrations to RetentionRules."
        raise InvalidInput(msg)
    for name in rules:
        limits.check_name("overrides", name)
    return dict(rules)


def _positive(_: object, attribute: Attribute[Any], value: timedelta) -> None:
    if not duration_ms(value, what=attribute.name):
        msg = f"{attribute.name} is {value}: it must be longer than nothing."
        raise InvalidInput(msg)


@frozen(kw_only=True)
class RetentionPolicy(RetentionRule):
    """
    The rule for all instances, but those of orchestrations that have a rule of their own.

    ::

        RetentionPolicy(
            completed_after=timedelta(days=30),
            failed_after=timedelta(days=90),
            overrides={"invoice": RetentionRule(failed_after=timedelta(days=3650))},
        )

    A rule in *overrides* stands for itself: what it does not say is kept for ever, whatever the policy says. An instance
    goes with its children, whatever they are called; only the name of the root counts.
    """

    #: By the registered name of the orchestration.
    overrides: Mapping[str, RetentionRule] = field(factory=dict, converter=_rules)
    #: How often a runtime applies it, give or take a quarter.
    interval: timedelta = field(default=timedelta(hours=1), converter=as_timedelta, validator=_positive)
    #: Instances after which it looks whether to stop, and pauses. A transaction holds 100 of them at most.
    batch_size: int = 500

    def __attrs_post_init__(self) -> None:
        check_count("batch_size", self.batch_size)

    def rules(self) -> Iterator[tuple[InstanceFilter, RetentionRule]]:
        """Yield which instances each rule is for."""
        yield InstanceFilter(except_names=self.overrides.keys()), self
        for name, rule in self.overrides.items():
            yield InstanceFilter(orchestration_name=name), rule


@frozen
class RetentionResult:
    """What a policy has removed."""

    deleted: DeleteResult = field(factory=DeleteResult)
    pruned: PruneResult = field(factory=PruneResult)

    def __bool__(self) -> bool:
        return bool(self.deleted.instances or self.pruned.executions)

    def __add__(self, other: RetentionResult) -> RetentionResult:
        return RetentionResult(self.deleted + other.deleted, self.pruned + other.pruned)


def apply_retention(
    management: Management, policy: RetentionPolicy, *, now_ms: int, stop: threading.Event | None = None
) -> RetentionResult:
    """
    Remove everything that *policy* does not keep at *now_ms*, batch by batch, until there is no more or *stop* is set.

    Raises:
        ProviderError: If the database cannot go on. What was removed before is gone.
    """
    return sum(removals(management, policy, now_ms=now_ms, stop=stop or threading.Event()), RetentionResult())


def removals(
    management: Management, policy: RetentionPolicy, *, now_ms: int, stop: threading.Event
) -> Iterator[RetentionResult]:
    """Do what `apply_retention` does, and yield what each batch has removed."""
    for which, rule in policy.rules():
        for step in _steps(management, which, rule, now_ms, policy.batch_size):
            while not stop.is_set():
                done, is_full = step()
                yield done
                if not is_full:
                    break
                stop.wait(PAUSE)


def checked_policy(policy: object) -> RetentionPolicy:
    """
    Return *policy*, if it is one.

    Raises:
        InvalidInput: If it is not.
    """
    if not isinstance(policy, RetentionPolicy):
        msg = f"the retention policy is {policy!r}: use a RetentionPolicy, e.g. RetentionPolicy(completed_after=86400)."
        raise InvalidInput(msg)
    return policy


#: Removes a batch; returns what went, and whether there may be more.
_Step = Callable[[], tuple[RetentionResult, bool]]


def _steps(
    management: Management, which: InstanceFilter, rule: RetentionRule, now_ms: int, batch_size: int
) -> Iterator[_Step]:
    """Yield what *rule* asks for."""
    ages = {ExecutionStatus.COMPLETED: rule.completed_after, ExecutionStatus.FAILED: rule.failed_after}
    for status, age in ages.items():
        if age is not None:
            ended_before = now_ms - age // timedelta(milliseconds=1)
            yield _delete(management, evolve(which, statuses={status}, completed_before=ended_before), batch_size)
    if rule.keep_executions is not None:
        going_on = evolve(which, statuses=GOING_ON)
        yield _prune(management, going_on, PruneOptions(keep_last=rule.keep_executions), batch_size)


def _delete(management: Management, which: InstanceFilter, batch_size: int) -> _Step:
    def step() -> tuple[RetentionResult, bool]:
        nonlocal which
        deleted = management.delete_instance_bulk(which, limit=batch_size)
        if deleted.up_to_ms is not None:
            which = evolve(which, created_after=deleted.up_to_ms)
        # Children count as well, so that this may be one look too many, but never one too few.
        return RetentionResult(deleted=deleted), deleted.instances >= batch_size

    return step


def _prune(management: Management, which: InstanceFilter, options: PruneOptions, batch_size: int) -> _Step:
    def step() -> tuple[RetentionResult, bool]:
        pruned = management.prune_executions_bulk(which, options, limit=batch_size)
        return RetentionResult(pruned=pruned), pruned.instances >= batch_size

    return step
