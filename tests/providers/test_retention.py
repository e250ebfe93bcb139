"""A retention policy removes what it says, and nothing else, whoever applies it at the same time."""

from __future__ import annotations

import threading

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from duroxide import Client, InvalidInput, RetentionPolicy, RetentionRule, SqlProvider
from duroxide._core.commit import ExecutionStatus
from duroxide.providers.sql import deletion
from duroxide.retention import apply_retention
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.populations import begin, continued, end, ended
from duroxide.testing.conformance.vocabulary import NOW

from .stores import Store


DAY_MS = 86_400_000
FAILED = ExecutionStatus.FAILED


def ids(provider: SqlProvider) -> set[str]:
    """The ids of all instances."""
    return {info.instance_id for info in Client(provider).list_all_instances(limit=1000)}


class TestPolicy:
    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            ({"completed_after": -1}, "completed_after"),
            ({"failed_after": "a day"}, "failed_after"),
            ({"keep_executions": 0}, "keep_executions is 0"),
            ({"overrides": {"invoice": timedelta(days=1)}}, "RetentionRule"),
            ({"overrides": {"": RetentionRule()}}, "overrides"),
            ({"interval": 0}, "interval"),
            ({"batch_size": 0}, "batch_size is 0"),
        ],
    )
    def test_mistakes(self, arguments: dict[str, Any], complaint: str) -> None:
        """What makes no sense is refused where it is written, by its name."""
        with pytest.raises(InvalidInput, match=complaint):
            RetentionPolicy(**arguments)

    def test_seconds(self) -> None:
        """A number means seconds, as everywhere."""
        assert timedelta(minutes=1) == RetentionPolicy(completed_after=60).completed_after

    def test_longest(self) -> None:
        """What is longer than 100 years is 100 years, which can be waited for, and be subtracted from now."""
        policy = RetentionPolicy(completed_after=timedelta.max, interval=timedelta.max)

        assert timedelta(days=36500) == policy.completed_after == policy.interval

    def test_no_policy(self, memory: SqlProvider) -> None:
        """What is no policy is refused."""
        with pytest.raises(InvalidInput, match="RetentionPolicy"):
            Client(memory).apply_retention(RetentionRule())  # type: ignore[arg-type]


class TestApply:
    def test_ages(self, provider: SqlProvider, clock: HeldClock) -> None:
        """Completed and failed instances go when they are as old as the policy says, counted from their end."""
        old = begin(provider, "slow")
        ended(provider, "completed")
        ended(provider, "failed", status=FAILED)
        begin(provider, "running")
        clock.ms = NOW + DAY_MS
        end(provider, old)
        policy = RetentionPolicy(completed_after=timedelta(days=1), failed_after=timedelta(days=3))

        assert not Client(provider).apply_retention(policy)
        clock.advance(1)
        assert 1 == Client(provider).apply_retention(policy).deleted.instances
        assert {"slow", "failed", "running"} == ids(provider)
        clock.ms = NOW + 3 * DAY_MS + 1
        assert 2 == Client(provider).apply_retention(policy).deleted.instances
        assert {"running"} == ids(provider)
        assert [] == provider.audit()

    def test_overrides(self, provider: SqlProvider, clock: HeldClock) -> None:
        """An orchestration with a rule of its own follows that alone; all the others follow the policy."""
        for name in ("invoice", "ping", "fulfil"):
            end(provider, begin(provider, f"{name}-done", name=name))
            end(provider, begin(provider, f"{name}-failed", name=name), FAILED)
        clock.advance(10 * DAY_MS)
        policy = RetentionPolicy(
            completed_after=timedelta(days=30),
            failed_after=timedelta(days=5),
            overrides={"invoice": RetentionRule(), "ping": RetentionRule(completed_after=timedelta(hours=1))},
        )
        Client(provider).apply_retention(policy)

        assert {"invoice-done", "invoice-failed", "ping-failed", "fulfil-done"} == ids(provider)

    def test_families(self, provider: SqlProvider, clock: HeldClock) -> None:
        """A child goes with its root, never by itself; a root stays as long as a child of it runs."""
        ended(provider, "gone")
        ended(provider, "gone-child", parent="gone")
        begin(provider, "running")
        ended(provider, "running-child", parent="running")
        ended(provider, "ended")
        begin(provider, "ended-child", parent="ended")
        clock.advance(DAY_MS)

        assert 2 == Client(provider).apply_retention(RetentionPolicy(completed_after=1)).deleted.instances
        assert {"running", "running-child", "ended", "ended-child"} == ids(provider)

    def test_executions(self, provider: SqlProvider) -> None:
        """Of what continues as new, so many executions stay; of what has ended, all do."""
        continued(provider, "goes on", 5)
        end(provider, continued(provider, "has ended", 3))
        policy = RetentionPolicy(keep_executions=2)

        assert 3 == Client(provider).apply_retention(policy).pruned.executions
        assert [4, 5] == [info.execution_id for info in Client(provider).list_executions("goes on")]
        assert 3 == len(Client(provider).list_executions("has ended"))
        assert [] == provider.audit()

    def test_batches(self, provider: SqlProvider, clock: HeldClock) -> None:
        """However small the batches are, everything goes; set to stop, it stops after the one under way."""
        for number in range(7):
            ended(provider, f"i{number}")
        clock.advance(DAY_MS)
        policy = RetentionPolicy(completed_after=1, batch_size=2)
        stop = _StopsAfter(2)

        apply_retention(provider, policy, now_ms=clock.ms, stop=stop)
        assert 3 == len(ids(provider))
        apply_retention(provider, policy, now_ms=clock.ms)
        assert set() == ids(provider)

    def test_looks_once(self, provider: SqlProvider, clock: HeldClock, monkeypatch: pytest.MonkeyPatch) -> None:
        """What stays is looked at once in a pass, however many batches it has."""
        for number in range(12):
            clock.advance(1)
            ended(provider, f"i{number}")
            if number < 6:
                begin(provider, f"i{number}-child", parent=f"i{number}")
        seen: Counter[str] = Counter()
        look = deletion._candidates

        def record(*args: Any) -> Any:
            found = look(*args)
            seen.update(candidate.instance_id for candidate in found[0])
            return found

        monkeypatch.setattr(deletion, "_candidates", record)
        clock.advance(DAY_MS)

        assert 6 == Client(provider).apply_retention(RetentionPolicy(completed_after=1, batch_size=2)).deleted.instances
        assert {f"i{number}": 1 for number in range(12)} == seen

    def test_at_the_same_time(self, shared_store: Store, clock: HeldClock) -> None:
        """Three that apply it at once remove each instance once, and fail at nothing."""
        provider = shared_store.open()
        for number in range(60):
            ended(provider, f"i{number}")
            ended(provider, f"i{number}-child", parent=f"i{number}")
            continued(provider, f"goes-on-{number}", 3)
        clock.advance(DAY_MS)
        policy = RetentionPolicy(completed_after=1, keep_executions=1, batch_size=10)
        providers = [shared_store.open() for _ in range(3)]
        together, results = threading.Barrier(len(providers)), []

        def run(each: SqlProvider) -> None:
            together.wait()
            results.append(Client(each).apply_retention(policy))

        threads = [threading.Thread(target=run, args=(each,)) for each in providers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert 3 == len(results)
        assert 120 == sum(result.deleted.instances for result in results)
        assert 120 == sum(result.pruned.executions for result in results)
        assert {f"goes-on-{number}" for number in range(60)} == ids(provider)
        assert [] == provider.audit()


class _StopsAfter(threading.Event):
    """Is set once it has been asked so often whether it is."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0
