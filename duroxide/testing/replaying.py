"""Exported instances against the code of a registry: `replay`, and `check_replay`, which raises."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from .._core import events as e
from .._core.exports import ExportedInstance
from .._core.registry import Registry
from .._guard import Mode, executor_class
from ..errors import Divergence, InvalidInput, ReplayDiverged
from .histories import Replayer, divergence, first_divergence, start_of


#: What `Client.export_instance` returns, or several of them.
Exported: TypeAlias = Mapping[str, Any] | Iterable[Mapping[str, Any]]


@frozen
class ReplayReport:
    """What came of replaying histories."""

    #: Executions that were replayed, or would have been, had their orchestration been registered.
    executions: int
    #: Executions that were left out, since their orchestration is not registered.
    skipped: int
    divergences: tuple[Divergence, ...]

    @property
    def is_clean(self) -> bool:
        """Whether the code does what all histories recorded."""
        return not self.divergences

    def __str__(self) -> str:
        left_out = f", {self.skipped} left out" if self.skipped else ""
        head = f"{self.executions} executions replayed{left_out}, {len(self.divergences)} diverged"
        return "\n".join([head, *map(str, self.divergences)])


def replay(
    exported: Exported, registry: Registry, *, skip_unregistered: bool = False, guard: Mode = "off"
) -> ReplayReport:
    """
    Replay exported instances, every execution of them, against the code in *registry*; return where they part.

    A divergence is: a step that history has not, or has in another place, or with another input; a step that the code
    leaves out; another output, failure or next input; an orchestration or version that is not registered.

    Args:
        exported: What `Client.export_instance` returned, or several of those.

        registry: The code. Activities need not be in it: none is run.

        skip_unregistered: Leave out what is not registered, instead of reporting it.

        guard: What to do about calls to the clock and the like, see `duroxide.testing.guard`.

    Raises:
        InvalidInput: If *exported* is no exported instance.
    """
    _check_registry(registry)
    executions, skipped, divergences = 0, 0, []
    for history in _histories(exported):
        started = start_of(history)
        if skip_unregistered and not is_registered(started, registry):
            skipped += 1
            continue
        executions += 1
        found = stored_divergence(history, registry, guard=guard)
        if found is not None:
            divergences.append(found)
    return ReplayReport(executions, skipped, tuple(divergences))


def check_replay(
    exported: Exported, registry: Registry, *, skip_unregistered: bool = False, guard: Mode = "off"
) -> None:
    """
    Replay exported instances, as `replay` does, and raise unless the code does what they recorded.

    Raises:
        ReplayDiverged: With all divergences.

        InvalidInput: If *exported* is no exported instance.
    """
    report = replay(exported, registry, skip_unregistered=skip_unregistered, guard=guard)
    if not report.is_clean:
        raise ReplayDiverged(*report.divergences)


def is_registered(started: e.OrchestrationStarted, registry: Registry) -> bool:
    """Whether *registry* has the code of the execution that *started* began."""
    return registry.orchestrations.has(started.name, started.version)


def stored_divergence(history: Sequence[e.Event], registry: Registry, *, guard: Mode = "off") -> Divergence | None:
    """Return where the stored *history* of one execution and the code that *registry* has for it part, if they do."""
    started = start_of(history)
    resolved = registry.orchestrations.resolve(started.name, started.version)
    if resolved is None:
        return _unregistered(started, registry)
    return first_divergence(history, resolved[1].fn, Replayer(registry.exceptions, executor_class(guard)))


def _unregistered(started: e.OrchestrationStarted, registry: Registry) -> Divergence:
    versions = registry.orchestrations.list_versions(started.name)
    got = f"it is registered as {', '.join(versions)} only" if versions else "it is not registered"
    expected = f"orchestration {started.name!r} {started.version} is registered"
    return divergence(started, started, place="the registry", expected=expected, got=got)


def _check_registry(registry: object) -> None:
    if not isinstance(registry, Registry):
        msg = f"registry is {registry!r}: pass the duroxide.Registry with the orchestrations to replay."
        raise InvalidInput(msg)


def _histories(exported: Exported) -> Iterator[Sequence[e.Event]]:
    documents = [exported] if isinstance(exported, Mapping) else exported
    given: object = documents
    if not isinstance(given, Iterable) or isinstance(given, str | bytes):
        msg = f"{exported!r} is no exported instance: give what Client.export_instance returned, or several of those."
        raise InvalidInput(msg)
    for document in documents:
        yield from ExportedInstance.from_document(document).executions
