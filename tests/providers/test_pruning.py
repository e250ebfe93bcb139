"""Pruning, as SqlProvider does it: in small transactions, and never of another life of an id."""

from __future__ import annotations

import pytest

from duroxide.client import Client
from duroxide.errors import InvalidInput
from duroxide.providers.management import ANY_INSTANCE, PruneResult
from duroxide.providers.sql import SqlProvider, pruning
from duroxide.testing.conformance.populations import begin, continued
from duroxide.testing.conformance.pruning import left


class TestArguments:
    @pytest.mark.parametrize("keep_last", [-1, True, "2", 1.5])
    def test_bad_count(self, memory: SqlProvider, keep_last: int) -> None:
        """A count that is no int from 0 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^keep_last is"):
            Client(memory).prune_executions("a", keep_last=keep_last)

    def test_bad_time(self, memory: SqlProvider) -> None:
        """A time that is none is refused by name."""
        with pytest.raises(InvalidInput, match=r"^completed_before is"):
            Client(memory).prune_executions("a", completed_before="today")  # type: ignore[arg-type]


class TestBulk:
    def test_bounded(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """No transaction removes more events than its share, and many executions take several looks."""
        for instance_id in ["a", "b"]:
            continued(provider, instance_id, 8)
        monkeypatch.setattr(pruning, "MAX_EVENTS", 6)
        monkeypatch.setattr(pruning, "MAX_EXECUTIONS", 4)
        sizes: list[int] = []
        remove = pruning._remove

        def record(*args: object, **named: object) -> object:
            removed = remove(*args, **named)  # type: ignore[arg-type]
            sizes.append(removed.events)
            return removed

        monkeypatch.setattr(pruning, "_remove", record)

        assert PruneResult(instances=2, executions=14, events=28) == Client(provider).prune_executions_bulk(
            ANY_INSTANCE
        )
        assert [6, 2, 6, 2, 6, 2, 4] == sizes

    def test_another_life(self, provider: SqlProvider, monkeypatch: pytest.MonkeyPatch) -> None:
        """An execution of the same number of another life of the id is not what was to go."""
        continued(provider, "a", 3)
        client = Client(provider)
        # Outside of the transaction, as the other life comes from elsewhere.
        monkeypatch.setattr(pruning, "portions", _first_doing(pruning.portions, lambda: _replace(provider)))

        assert PruneResult() == client.prune_executions("a")
        assert [1] == left(client)


def _replace(provider: SqlProvider) -> None:
    provider.delete_instance("a", force=True)
    begin(provider, "a", incarnation=8)


def _first_doing(function: object, what: object) -> object:
    """Return *function*, preceded by *what* the first time."""
    todo = [what]

    def both(*args: object) -> object:
        if todo:
            todo.pop()()  # type: ignore[operator]
        return function(*args)  # type: ignore[operator]

    return both
