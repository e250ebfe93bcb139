"""A standby of Postgres, which only reads: it can be asked, and whoever wants to write there is told so."""

from __future__ import annotations

import tempfile

from pathlib import Path
from typing import Any

import pytest

from sqlalchemy import make_url

from duroxide import Client, Completed, ProviderError, Runtime, SqlProvider

from ..workload.programs import OPTIONS, registry


@pytest.mark.thorough
def test_asked_and_waited_at(server: Any, server_url: str) -> None:
    """Status, lists and waits are the primary's, a moment later; nothing can be sent from there."""
    with SqlProvider(server_url) as provider, Runtime(provider, registry, OPTIONS) as runtime:
        runtime.client.start_orchestration("before", "sequence", 1)
        runtime.client.wait_for_result("before", 30)
        with (
            tempfile.TemporaryDirectory(prefix="duroxide-pg-") as parent,
            server.standby(Path(parent)) as standby,
            Client(standby.set(database=make_url(server_url).database)) as client,
        ):
            assert isinstance(client.get_orchestration_status("before"), Completed)
            assert ["before"] == [info.instance_id for info in client.list_all_instances()]
            assert [] == client.audit()
            runtime.client.start_orchestration("meanwhile", "sequence", 2)
            assert isinstance(client.wait_for_orchestration("meanwhile", 30), Completed)
            with pytest.raises(ProviderError, match="read-only transaction") as caught:
                client.raise_event("before", "late")
            assert ("enqueue", True) == (caught.value.operation, caught.value.retryable)
