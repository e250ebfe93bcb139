"""What management refuses before it asks the database."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from duroxide.client import Client
from duroxide.errors import InvalidInput
from duroxide.management import ManagementClient
from duroxide.providers.management import (
    InstanceFilter,
    Management,
    ManagementNotAvailable,
    Page,
)
from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance.populations import continued


@pytest.fixture
def client(memory: SqlProvider) -> Client:
    """A client of a provider in memory."""
    return Client(memory)


class TestCapability:
    def test_available(self, memory: SqlProvider, client: Client) -> None:
        """[456] SqlProvider has management, and the calls work."""
        assert isinstance(memory, Management)
        assert Page(()) == client.list_all_instances()

    def test_not_available(self) -> None:
        """[456] A provider without management is said to have none."""

        class Bare(ManagementClient):
            def __init__(self) -> None:
                self._provider = object()  # type: ignore[assignment]

        with pytest.raises(ManagementNotAvailable, match="has no management"):
            Bare().list_all_instances()


class TestArguments:
    @pytest.mark.parametrize("cursor", ["", "x", "!", "bnVsbA", "W10", 7, b"x", "WzFd" * 100])
    def test_bad_cursor(self, client: Client, cursor: Any) -> None:
        """A cursor that this list did not return is refused by name."""
        with pytest.raises(InvalidInput, match=r"^cursor="):
            client.list_all_instances(cursor=cursor)

    def test_cursor_of_another_list(self, memory: SqlProvider, client: Client) -> None:
        """A cursor of executions is none of instances."""
        continued(memory, "a", 2)
        cursor = client.list_executions("a", limit=1).cursor

        with pytest.raises(InvalidInput, match=r"^cursor="):
            client.list_all_instances(cursor=cursor)

    @pytest.mark.parametrize("limit", [0, -1, 1001, True, "7", 1.5, None])
    def test_bad_limit(self, client: Client, limit: Any) -> None:
        """A limit that is no int from 1 to 1000 is refused by name."""
        with pytest.raises(InvalidInput, match=r"^limit is"):
            client.list_all_instances(limit=limit)

    def test_unknown_status(self, client: Client) -> None:
        """A status that does not exist is refused, with those that do."""
        with pytest.raises(InvalidInput, match=r"statuses is .*'Paused'.*'Running', 'Completed'"):
            client.list_instances_by_status("Paused")

    @pytest.mark.parametrize(
        "conditions",
        [
            {"created_before": datetime(2024, 1, 1)},  # noqa: DTZ001  # that is what is wrong with it
            {"completed_after": "yesterday"},
            {"updated_before": 1.5},
            {"updated_after": True},
            {"created_after": 2**63},
            {"ids": "order-1"},
            {"ids": ["\ud800"]},
            {"ids": [7]},
            {"id_prefix": ""},
            {"orchestration_name": "a\0"},
            {"parent": 7},
        ],
    )
    def test_refused(self, conditions: dict[str, Any]) -> None:
        """A condition that no database can check is refused when it is made, by name."""
        with pytest.raises(InvalidInput, match=f"^{next(iter(conditions))} "):
            InstanceFilter(**conditions)

    def test_no_filter(self, client: Client) -> None:
        """Something else than a filter is refused: it might have been meant to match less."""
        with pytest.raises(InvalidInput, match="filter is None"):
            client.delete_instance_bulk(None)  # type: ignore[arg-type]
