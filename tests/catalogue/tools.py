"""What each tool says about a file of the catalogue: everything, or nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from duroxide import DuroxideError, Failed, Registry
from duroxide.lint import lint
from duroxide.testing import (
    ExplorationFailed,
    NondeterministicCall,
    Simulator,
    check_deterministic,
    explore,
    guard,
    replay,
)

from .cases import Mistake


CHECKOUT = Path(__file__).parents[2]


def simulator_of(module: ModuleType, registry: Registry, *, check_replays: bool = False) -> Simulator:
    """Return a simulator in which the instance ``i`` is about to begin."""
    simulator = Simulator(registry, check_replays=check_replays)
    simulator.start("i", module.MAIN, getattr(module, "INPUT", None))
    setup(module)(simulator)
    return simulator


def setup(module: ModuleType) -> Callable[[Simulator], object]:
    """Return what the file does with a new simulator; an event at any time comes at its natural one."""
    found: Callable[[Simulator], object] = getattr(module, "setup", lambda simulator: None)
    return found


def by_lint(mistake: Mistake) -> str:
    """Return the linter's findings."""
    return "\n".join(map(str, lint([str(mistake.path)])))


def by_guard(mistake: Mistake) -> str:
    """Return how the orchestration fails under the guard."""
    with guard(), simulator_of(mistake.module, mistake.module.registry) as simulator:
        simulator.run()
        status = simulator.status("i")
    is_guarded = isinstance(status, Failed) and str(status.details.type).endswith(NondeterministicCall.__name__)
    return status.message if is_guarded else ""


def by_check_deterministic(mistake: Mistake) -> str:
    """Return what replaying the history of a run finds, without the guard."""
    with simulator_of(mistake.module, mistake.module.registry) as simulator:
        simulator.run()
        history = simulator.history("i")
    try:
        check_deterministic(mistake.module.MAIN, history, guard=False)
    except DuroxideError as error:
        return str(error)
    return ""


def by_simulator(mistake: Mistake) -> str:
    """Return what a simulation raises, how the instance fails, or for what it waits in the end."""
    module = mistake.module
    with simulator_of(module, module.registry, check_replays=True) as simulator:
        try:
            waiting = simulator.run(max_steps=500)
            getattr(module, "at_end", lambda simulator: None)(simulator)
        except (AssertionError, DuroxideError) as error:
            return str(error)
        status = simulator.status("i")
        if isinstance(status, Failed):
            return f"{status.details.type}: {status.message}"
        return "\n".join(map(str, waiting))


def by_explore(mistake: Mistake) -> str:
    """Return the story of a schedule in which something does not hold."""
    module = mistake.module
    invariants = {name: [getattr(module, name)] for name in ("always", "at_end") if hasattr(module, name)}
    try:
        explore(
            module.MAIN,
            getattr(module, "INPUT", None),
            registry=module.registry,
            instance_id="i",
            setup=setup(module),
            **invariants,
        )
    except ExplorationFailed as error:
        return str(error)
    return ""


def by_replay(mistake: Mistake) -> str:
    """Return what replaying a history of the release before, or of another process, finds."""
    module = mistake.module
    if getattr(module, "RECORDED_ELSEWHERE", False):
        documents = recorded_elsewhere(mistake.path)
    else:
        documents = recorded(module, module.BEFORE)
    report = replay(documents, module.registry)
    return "" if report.is_clean else str(report)


def recorded(module: ModuleType, registry: Registry) -> list[dict[str, Any]]:
    """Return what a run of *registry* leaves, exported."""
    with simulator_of(module, registry) as simulator:
        simulator.run()
        return list(simulator.client.export_instances())


def recorded_elsewhere(path: Path) -> list[dict[str, Any]]:
    """Return the same from a process in which the hashes of texts are others."""
    code = (
        "import json, sys; from pathlib import Path; from tests.catalogue.cases import load;"
        " from tests.catalogue.tools import recorded; module = load(Path(sys.argv[1])).module;"
        " print(json.dumps(recorded(module, module.registry)))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "1", "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, text=True, check=True
    )
    documents: list[dict[str, Any]] = json.loads(done.stdout)
    return documents


#: What the tests run for each tool; type checkers, which are slow to start, look at all files at once.
TOOLS: Mapping[str, Callable[[Mistake], str]] = {
    "lint": by_lint,
    "guard": by_guard,
    "check_deterministic": by_check_deterministic,
    "simulator": by_simulator,
    "explore": by_explore,
    "replay": by_replay,
}
