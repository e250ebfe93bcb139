"""Texts are of any language, whatever the encoding that a server or its administrator prefers."""

from __future__ import annotations

import pytest

from sqlalchemy import create_engine, make_url

from duroxide import Client, ProviderError, Runtime, SqlProvider

from ..conftest import execute, fresh_name
from ..workload.programs import OPTIONS, registry


def test_encoding_of_the_database(postgres_url: str) -> None:
    """A database that cannot hold every text is refused before anything is created there, with the remedy."""
    name = fresh_name()
    execute(make_url(postgres_url), f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    provider = SqlProvider(make_url(postgres_url).set(database=name))
    try:
        with pytest.raises(ProviderError, match=r"encoding is LATIN1.*ENCODING 'UTF8'") as caught:
            provider.initialize()
        assert not caught.value.retryable
    finally:
        provider.close()
        execute(make_url(postgres_url), f"DROP DATABASE {name}")


def test_encoding_of_a_session(postgres_database_url: str) -> None:
    """What an administrator sets for sessions is no concern; an Engine that asks for it is told what to do."""
    url = make_url(postgres_database_url)
    execute(url, f"ALTER DATABASE \"{url.database}\" SET client_encoding TO 'LATIN1'")
    with SqlProvider(url) as provider:
        client = Client(provider)
        client.start_orchestration("注文-17", "sequence", 1)
        with Runtime(provider, registry, OPTIONS):
            client.wait_for_result("注文-17", 30)
    engine = create_engine(url)
    with SqlProvider(engine) as provider, pytest.raises(ProviderError, match="client_encoding") as caught:
        Client(provider).start_orchestration("注文-18", "sequence", 1)
    assert ("start_instances", False) == (caught.value.operation, caught.value.retryable)
    engine.dispose()
