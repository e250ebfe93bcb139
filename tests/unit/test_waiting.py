"""Waiting for an instance: how often the store is looked at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from attrs import evolve

from duroxide import Client, Completed, OrchestrationFailed
from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus, TurnCommit
from duroxide.errors import ErrorCategory, ErrorDetails, ErrorKind
from duroxide.providers.sql import SqlProvider
from duroxide.providers.wrapping import WrappedProvider
from duroxide.testing.conformance.vocabulary import NOW, ending, first_turn, must_commit, next_turn


class Looks(WrappedProvider):
    """Counts the looks at the instance; the first of them has *meanwhile* happen, right after it."""

    def __init__(self, provider: SqlProvider, meanwhile: Callable[[], object]) -> None:
        super().__init__(provider)
        self.count = 0
        self._meanwhile = meanwhile

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        seen = operation(*args, **keywords)
        if name == "get_instance_info":
            self.count += 1
            if self.count == 1:
                self._meanwhile()
        return seen


@pytest.fixture
def provider() -> SqlProvider:
    """A store in memory, where instance "a" runs."""
    provider = SqlProvider.in_memory()
    provider.initialize()
    must_commit(provider, TURN)
    return provider


TURN = first_turn()
FAILED = ErrorDetails(category=ErrorCategory.APPLICATION, kind=ErrorKind.ORCHESTRATION_FAILED, message="no", type="X")


def failing(turn: TurnCommit) -> TurnCommit:
    """The turn after *turn*, which fails the execution."""
    done = next_turn(turn, e.OrchestrationFailed(turn.events[-1].event_id + 1, NOW, FAILED))
    return evolve(done, status=ExecutionStatus.FAILED, output="no")


def test_result_is_told(provider: SqlProvider) -> None:
    """Who waits for a result while the instance completes is told it, and does not look again."""
    looks = Looks(provider, lambda: must_commit(provider, ending(TURN, '{"a": 1}')))

    assert {"a": 1} == Client(looks).wait_for_result("a", 5)
    assert 1 == looks.count


def test_result_was_there(provider: SqlProvider) -> None:
    """One look is enough if it has completed before."""
    must_commit(provider, ending(TURN, "7"))
    looks = Looks(provider, lambda: None)

    assert 7 == Client(looks).wait_for_result("a", 5)
    assert 1 == looks.count


def test_status_is_looked_at(provider: SqlProvider) -> None:
    """The status has more in it than the output, and is read."""
    looks = Looks(provider, lambda: must_commit(provider, ending(TURN, "7")))

    assert Completed(7) == Client(looks).wait_for_orchestration("a", 5)
    assert 2 == looks.count


def test_failure_is_looked_at(provider: SqlProvider) -> None:
    """So are the details of a failure."""
    looks = Looks(provider, lambda: must_commit(provider, failing(TURN)))
    with pytest.raises(OrchestrationFailed, match="no"):
        Client(looks).wait_for_result("a", 5)

    assert 2 == looks.count
