"""
The pytest plugin: fixtures for tests of orchestrations, and exported histories as tests of their own.

pytest loads it in every environment that duroxide is installed in, whether or not its tests have to do with
orchestrations. So it stands beside the package, and imports it where it is used, not before.

Settings: ``duroxide_histories`` are folders of exported instances, each of which is replayed against the code of
``duroxide_registry``; ``duroxide_guard`` is what to do about calls to the clock and the like, in all tests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest


if TYPE_CHECKING:  # not to dodge a cycle: for everybody else's tests, importing the package takes half a second
    from duroxide import Client, Registry, Runtime, RuntimeOptions
    from duroxide.testing import Simulator
    from duroxide.testing.golden import Golden


_RECORD = "--duroxide-record"

#: Whose histories have which name.
_GOLDEN = pytest.StashKey[dict[Path, str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the option and the settings."""
    group = parser.getgroup("duroxide", "orchestrations of duroxide")
    group.addoption(
        _RECORD, action="store_true", help="write what duroxide_golden is given, instead of comparing with it"
    )
    parser.addini("duroxide_histories", "folders of exported instances, to be replayed", type="paths", default=[])
    parser.addini("duroxide_registry", "the code to replay them against: module:registry", default="")
    parser.addini(
        "duroxide_guard", "about calls to the clock etc. in orchestrations: off, warn or raise", default="off"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Guard the orchestrations of all tests, if the settings say so; warn of folders of histories that are not there."""
    for folder in config.getini("duroxide_histories"):
        if not (folder.is_dir() or config.getoption(_RECORD)):
            text = (
                f"duroxide_histories: there is no folder {folder}, so no history in it is replayed. Correct the name, "
                f"or record the first history with {_RECORD}."
            )
            try:
                config.issue_config_time_warning(pytest.PytestConfigWarning(text), stacklevel=2)
            except pytest.PytestConfigWarning as error:  # the settings make errors of warnings
                raise pytest.UsageError(text) from error
    mode = config.getini("duroxide_guard")
    if mode == "off":
        return
    from duroxide import DuroxideError
    from duroxide.testing.collecting import GuardedTests

    try:
        config.pluginmanager.register(GuardedTests(mode))
    except DuroxideError as error:
        message = f"duroxide_guard: {error}"
        raise pytest.UsageError(message) from error


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Take a JSON file in one of the folders for an exported instance."""
    folders: Sequence[Path] = parent.config.getini("duroxide_histories")
    if file_path.suffix != ".json" or not any(file_path.is_relative_to(folder) for folder in folders):
        return None
    from duroxide.testing.collecting import HistoryFile

    return HistoryFile.from_parent(parent, path=file_path)


@pytest.fixture
def duroxide_runtime(_duroxide_clients: list[Client]) -> Iterator[Callable[..., Runtime]]:
    """
    Start runtimes on databases of their own, in memory; they are shut down after the test.

    ``duroxide_runtime(registry, options=None)`` returns a started `Runtime`; its `client` talks to it.
    """
    from duroxide import Runtime, SqlProvider

    with ExitStack() as stack:

        def start(registry: Registry, options: RuntimeOptions | None = None) -> Runtime:
            provider = stack.enter_context(SqlProvider.in_memory())
            runtime = stack.enter_context(Runtime(provider, registry, options))
            _duroxide_clients.append(runtime.client)
            return runtime

        yield start


@pytest.fixture
def _duroxide_clients() -> list[Client]:
    """Clients of the runtimes and simulators of this test."""
    return []


@pytest.fixture
def duroxide_captured(_duroxide_clients: list[Client]) -> Callable[[], list[dict[str, Any]]]:
    """
    Return what the instances of this test have done so far.

    ``duroxide_captured()`` is a list of exported instances, the newest first, of all that `duroxide_runtime` and
    `duroxide_simulator` have made.
    """
    return lambda: [document for client in _duroxide_clients for document in client.export_instances()]


@pytest.fixture
def duroxide_golden(request: pytest.FixtureRequest) -> Golden:
    """
    Keep what an instance did, and see in later runs that the code still does it.

    ``duroxide_golden(document, registry)`` replays *document*, and the one that was kept in the folder of histories
    under the name of the test. ``pytest --duroxide-record`` writes it there first.
    """
    from duroxide.testing.golden import Golden

    folders: Sequence[Path] = request.config.getini("duroxide_histories")
    folder = folders[0] if folders else request.path.parent / "histories"
    classes = [node.name for node in request.node.listchain() if isinstance(node, pytest.Class)]
    name = "-".join([request.path.stem, *classes, request.node.name])
    owner = request.config.stash.setdefault(_GOLDEN, {}).setdefault(folder / name, request.node.nodeid)
    if owner != request.node.nodeid:
        pytest.fail(f"{owner} keeps its histories under the same name, {name!r}: rename one of the tests, or its file.")
    return Golden(folder, name, is_recording=request.config.getoption(_RECORD))


@pytest.fixture
def duroxide_simulator(_duroxide_clients: list[Client]) -> Iterator[Callable[..., Simulator]]:
    """
    Make simulators; they are closed after the test.

    ``duroxide_simulator(registry, ...)`` takes what `duroxide.testing.Simulator` takes.
    """
    from duroxide.testing import Simulator

    with ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> Simulator:
            simulator = stack.enter_context(Simulator(*arguments, **options))
            _duroxide_clients.append(simulator.client)
            return simulator

        yield make


@pytest.fixture
def duroxide_guard() -> Iterator[None]:
    """Let orchestrations of this test fail at calls to the clock, to randomness and to the world outside."""
    from duroxide.testing import guard

    with guard():
        yield
