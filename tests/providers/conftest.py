"""Providers on every kind of store, with a clock that the test holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from duroxide._clock import new_token
from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.vocabulary import NOW

from .stores import Store


@pytest.fixture
def clock() -> HeldClock:
    """A clock that stands still until the test moves it."""
    return HeldClock(NOW)


@pytest.fixture(params=["file", "memory", "postgres"])
def store(request: pytest.FixtureRequest, clock: HeldClock) -> Iterator[Store]:
    """An empty store, of which the test may open as many providers as the store allows."""
    match request.param:
        case "file":
            store = Store(request.getfixturevalue("sqlite_url"), None, clock)
        case "memory":
            store = Store("sqlite://", None, clock)
        case _:
            store = Store(request.getfixturevalue("postgres_url"), request.getfixturevalue("postgres_schema"), clock)
    yield store
    store.close()


@pytest.fixture(scope="module")
def new_schema(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Make Postgres schemas with all tables that last as long as the module's tests: migrating takes its time."""
    made: list[str] = []

    def make() -> str:
        made.append(f"providers_{new_token()}")
        with SqlProvider(postgres_url, schema=made[-1]):
            return made[-1]

    yield make
    for name in made:
        with SqlProvider(postgres_url, schema=name) as provider, provider._engine.begin() as connection:
            connection.exec_driver_sql(f'DROP SCHEMA "{name}" CASCADE')


@pytest.fixture(scope="module")
def migrated_schema(new_schema: Callable[[], str]) -> str:
    """The name of a Postgres schema with all tables, and nothing in them; whoever uses it, empties it."""
    return new_schema()


@pytest.fixture
def provider(store: Store) -> SqlProvider:
    """An initialized provider on an empty store."""
    return store.open()


@pytest.fixture
def memory(clock: HeldClock) -> Iterator[SqlProvider]:
    """A provider in memory, for what does not depend on the store; no other process reaches it."""
    with SqlProvider.in_memory(clock=clock) as provider:
        yield provider


@pytest.fixture(params=["file", "postgres"])
def shared_store(request: pytest.FixtureRequest, clock: HeldClock) -> Iterator[Store]:
    """A store that several providers and processes can open at once."""
    if request.param == "file":
        store = Store(request.getfixturevalue("sqlite_url"), None, clock)
    else:
        store = Store(request.getfixturevalue("postgres_url"), request.getfixturevalue("postgres_schema"), clock)
    yield store
    store.close()


@pytest.fixture
def open_provider(shared_store: Store) -> Callable[[], SqlProvider]:
    """Open another provider on the same store."""
    return shared_store.open
