"""What the end-to-end tests stand on: one database, any number of runtimes on it, and ways to look at the outcome."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, evolve, field

from duroxide import Client, Registry, Runtime, RuntimeOptions
from duroxide._core import events as e
from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance import HeldClock
from duroxide.testing.conformance.vocabulary import NOW

from ..patience import PATIENCE, eventually


__all__ = ["HOUR_MS", "NOW", "PATIENCE", "HeldClock", "Stage", "eventually"]

HOUR_MS = 3_600_000


@define
class Stage:
    """One database, and what a test starts on it."""

    url: str
    schema: str | None
    options: RuntimeOptions
    provider: SqlProvider
    clock: HeldClock | None = None
    registry: Registry = field(factory=Registry)
    client: Client = field(init=False)
    runtimes: list[Runtime] = field(factory=list)
    providers: list[SqlProvider] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.client = Client(self.provider)

    @property
    def has_short_cuts(self) -> bool:
        """Whether runtimes here take the short ways."""
        return self.options.short_way_round

    def start(self, registry: Registry | None = None, *, on: object = None, **options: Any) -> Runtime:
        """Start a runtime with *options* instead of the usual ones, *on* a provider of its own if given."""
        runtime = Runtime(
            self.provider if on is None else on,
            self.registry if registry is None else registry,
            evolve(self.options, **options),
        )
        self.runtimes.append(runtime)
        runtime.start()
        return runtime

    def open(self) -> SqlProvider:
        """Open another provider on the same database."""
        provider = SqlProvider(self.url, schema=self.schema, clock=self.clock)
        self.providers.append(provider)
        provider.initialize()
        return provider

    def run(self, instance_id: str, orchestration: Callable[..., Any] | str, argument: object = None) -> Any:
        """Start an instance, and return its output."""
        self.client.start_orchestration(instance_id, orchestration, argument)
        return self.result(instance_id)

    def result(self, instance_id: str) -> Any:
        """Return the output of an instance, when it has ended."""
        return self.client.wait_for_result(instance_id, PATIENCE)

    def until_status(self, instance_id: str, last_seen_version: int = 0) -> str | None:
        """Wait for a custom status newer than *last_seen_version*, and return it."""
        status = self.client.wait_for_status_change(instance_id, last_seen_version, PATIENCE)
        return getattr(status, "custom_status", None)

    def history(self, instance_id: str) -> Sequence[e.Event]:
        """Return the history of the current execution."""
        return self.client.read_execution_history(instance_id)

    def kinds(self, instance_id: str) -> list[str]:
        """Return the names of the events in the history of an instance."""
        return [type(event).__name__ for event in self.history(instance_id)]

    def of_kind(self, instance_id: str, kind: type[e.Event]) -> list[Any]:
        """Return the events of *kind* in the history of an instance."""
        return [event for event in self.history(instance_id) if isinstance(event, kind)]

    def until_kind(self, instance_id: str, kind: type[e.Event], count: int = 1) -> None:
        """Wait until there are *count* events of *kind* in the history of an instance: nothing signals that."""
        eventually(lambda: len(self.of_kind(instance_id, kind)) >= count)

    def stop(self) -> None:
        """Shut all runtimes down, so that nothing moves any more."""
        for runtime in self.runtimes:
            runtime.shutdown()

    def close(self) -> None:
        """Shut down, and close everything."""
        self.stop()
        for provider in (*self.providers, self.provider):
            provider.close()
