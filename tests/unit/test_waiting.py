"""Waiting for an instance: how often the store is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from attrs import evolve

from duroxide import Client, Completed, OrchestrationFailed, _waiting
from duroxide._core import events as e
from duroxide._core.commit import ExecutionStatus, TurnCommit
from duroxide.errors import ErrorCategory, ErrorDetails, ErrorKind
from duroxide.providers import recent
from duroxide.providers.recent import MOST_STARTS, RecentStarts
from duroxide.providers.sql import SqlProvider
from duroxide.providers.wrapping import WrappedProvider
from duroxide.testing.conformance.vocabulary import NOW, ending, first_turn, must_commit, next_turn

from ..runtime.stage import PATIENCE, eventually


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


def test_status_is_told(provider: SqlProvider) -> None:
    """An instance that never had a custom status has no more to show than its output."""
    looks = Looks(provider, lambda: must_commit(provider, evolve(ending(TURN, "7"), may_have_status=False)))

    assert Completed(7) == Client(looks).wait_for_orchestration("a", 5)
    assert 1 == looks.count


def test_status_is_looked_at(provider: SqlProvider) -> None:
    """There may be more in the status than the output: then it is read."""
    looks = Looks(provider, lambda: must_commit(provider, ending(TURN, "7")))

    assert Completed(7) == Client(looks).wait_for_orchestration("a", 5)
    assert 2 == looks.count


def test_failure_is_looked_at(provider: SqlProvider) -> None:
    """So are the details of a failure."""
    looks = Looks(provider, lambda: must_commit(provider, failing(TURN)))
    with pytest.raises(OrchestrationFailed, match="no"):
        Client(looks).wait_for_result("a", 5)

    assert 2 == looks.count


class TestRecentlyStarted:
    @pytest.fixture(autouse=True)
    def long_moments(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """However slow the machine: what was started a moment ago is recent, and is looked at late."""
        monkeypatch.setattr(recent, "MOMENT", 3600.0)
        monkeypatch.setattr(_waiting, "LOOK_LATER", PATIENCE)

    def test_not_looked_at(self, provider: SqlProvider) -> None:
        """Who waits for what was just started is told its result without a look at the store."""
        looks = Looks(provider, lambda: None)
        client = Client(looks)
        client.start_orchestration("b", "fulfil")
        with waiting(client) as result:
            must_commit(provider, ending_of("b"))

        assert "out" == result[0]
        assert 0 == looks.count

    def test_status_is_told(self, provider: SqlProvider) -> None:
        """So is who waits for the status, if there never was a custom one."""
        looks = Looks(provider, lambda: None)
        client = Client(looks)
        client.start_orchestration("b", "fulfil")
        with waiting(client, client.wait_for_orchestration) as result:
            must_commit(provider, evolve(ending_of("b"), may_have_status=False))

        assert Completed("out") == result[0]
        assert 0 == looks.count

    def test_status(self, provider: SqlProvider) -> None:
        """Who waits for a status that may have more in it looks once, when there is something to see."""
        looks = Looks(provider, lambda: None)
        client = Client(looks)
        client.start_orchestration("b", "fulfil")
        with waiting(client, client.wait_for_orchestration) as result:
            must_commit(provider, ending_of("b"))

        assert Completed("out") == result[0]
        assert 1 == looks.count

    def test_changed_meanwhile(self, provider: SqlProvider) -> None:
        """It is looked at if there was news of it before the wait, or if it was there before."""
        looks = Looks(provider, lambda: None)
        client = Client(looks)
        client.start_orchestration("b", "fulfil")
        must_commit(provider, ending_of("b"))
        assert "out" == client.wait_for_result("b", PATIENCE + 1)

        client.start_orchestration("b", "fulfil")
        assert "out" == client.wait_for_result("b", PATIENCE + 1)
        assert 2 == looks.count

    def test_news_while_waiting(self, provider: SqlProvider) -> None:
        """Any news of it, of whatever process, leads to a look."""
        looks = Looks(provider, lambda: must_commit(provider, ending_of("b")))
        client = Client(looks)
        client.start_orchestration("b", "fulfil")
        with waiting(client) as result:
            provider.wakeups.publish_everything()

        assert "out" == result[0]
        assert 1 == looks.count

    def test_impatient(self, provider: SqlProvider) -> None:
        """Who has no time looks at once."""
        looks = Looks(provider, lambda: must_commit(provider, ending_of("b")))
        client = Client(looks)
        client.start_orchestration("b", "fulfil")

        assert "out" == client.wait_for_result("b", PATIENCE)
        assert 1 == looks.count


def ending_of(instance_id: str) -> TurnCommit:
    """The only turn of an instance, which completes at once."""
    turn = first_turn(instance_id)
    done = e.OrchestrationCompleted(turn.events[-1].event_id + 1, NOW, '"out"')
    return evolve(turn, events=(*turn.events, done), status=ExecutionStatus.COMPLETED, output='"out"')


@contextmanager
def waiting(client: Client, wait: Callable[..., Any] | None = None) -> Iterator[list[Any]]:
    """Have somebody *wait* for "b" meanwhile, by default for its result, who has begun to; it is in the list then."""
    result: list[Any] = []
    with ThreadPoolExecutor(1) as pool:
        found = pool.submit(wait or client.wait_for_result, "b", 2 * PATIENCE)
        eventually(lambda: client._provider.wakeups.waiting_for("b"))
        yield result
        result.append(found.result(PATIENCE / 2))


class TestRecentStarts:
    def test_made(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A start is recent once it is made, for a moment, and for one who asks."""
        monkeypatch.setattr(recent, "MOMENT", 3600.0)
        starts = RecentStarts()
        made, under_way = starts.begin("made"), starts.begin("under way")
        made.made()
        monkeypatch.setattr(recent, "MOMENT", 0.0)
        starts.begin("long ago").made()

        assert [True, False, False] == [starts.take(name) for name in ("made", "under way", "long ago")]
        assert [False, False] == [starts.take(name) for name in ("made", "unknown")]
        under_way.made()
        assert not starts.take("under way")

    def test_news(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """News of an instance, or of nobody knows whom, ends that, also if the start turns out to be made only then."""
        monkeypatch.setattr(recent, "MOMENT", 3600.0)
        starts = RecentStarts()
        begun = {name: starts.begin(name) for name in ("heard of", "other")}
        starts.heard_of(["heard of", "unknown"])
        for each in begun.values():
            each.made()
        assert [False, True] == [starts.take(name) for name in begun]

        starts.begin("third").made()
        starts.heard_something()
        assert not starts.take("third")

    def test_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Starts that nobody waits for do not add up."""
        monkeypatch.setattr(recent, "MOMENT", 3600.0)
        starts = RecentStarts()
        for number in range(MOST_STARTS + 1):
            starts.begin(str(number)).made()

        assert [False, True] == [starts.take(str(number)) for number in (0, MOST_STARTS)]
