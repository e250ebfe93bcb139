"""
The end-to-end tests run on every store, with the runtime's short cuts and without them.

Whatever a test does: when its runtimes are stopped, the database keeps the conservation law.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from duroxide import Registry, RuntimeOptions, _waiting
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.watcher import NotificationEar

from .stage import PATIENCE, HeldClock, Stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The general way is CI's: the other half of the time."""
    for item in items:
        if "general_way" in item.keywords or "general_way" in item.name:
            item.add_marker(pytest.mark.thorough)


@pytest.fixture(params=["short_cuts", "general_way"])
def runtime_options(request: pytest.FixtureRequest) -> RuntimeOptions:
    """The options that runtimes start from: the defaults, and everything through the queues without a cache."""
    if request.param == "short_cuts":
        return RuntimeOptions()
    return RuntimeOptions(short_way_round=False, eager_dispatch=False, cache_size=0)


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest) -> tuple[str, str | None]:
    """The URL of an empty database, and the schema to use there: a database of its own costs Postgres half a second."""
    if request.param == "sqlite":
        return request.getfixturevalue("sqlite_url"), None
    return request.getfixturevalue("postgres_url"), request.getfixturevalue("postgres_schema")


@pytest.fixture
def stage(store: tuple[str, str | None], runtime_options: RuntimeOptions) -> Iterator[Stage]:
    """An empty database with nothing running on it."""
    yield from _stage(*store, runtime_options, None)


@pytest.fixture
def held_stage(store: tuple[str, str | None], runtime_options: RuntimeOptions) -> Iterator[Stage]:
    """An empty database whose clock stands still until the test moves it."""
    yield from _stage(*store, runtime_options, HeldClock())


@pytest.fixture
def registry(request: pytest.FixtureRequest) -> Registry:
    """The registry that the stage's runtimes use."""
    name = "held_stage" if "held_stage" in request.fixturenames else "stage"
    stage: Stage = request.getfixturevalue(name)
    return stage.registry


@pytest.fixture
def nobody_looks_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits is woken, or waits for an hour: no second look hides a wake-up that is missing."""
    monkeypatch.setattr(_waiting, "LOOK_AGAIN", 3600.0)
    monkeypatch.setattr(_waiting, "LOOK_LATER", PATIENCE - 1)
    monkeypatch.setattr(NotificationEar, "BEHIND", 3600.0)


def _stage(url: str, schema: str | None, options: RuntimeOptions, clock: HeldClock | None) -> Iterator[Stage]:
    provider = SqlProvider(url, schema=schema, clock=clock)
    provider.initialize()
    stage = Stage(url, schema, options, provider, clock)
    try:
        yield stage
        stage.stop()
        assert provider.audit() == []
    finally:
        stage.close()
