"""The store of a test: an empty database, on which any number of providers can be opened."""

from __future__ import annotations

from attrs import define, field

from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance import HeldClock


@define
class Store:
    """An empty database, and the providers that were opened on it."""

    url: str
    schema: str | None
    clock: HeldClock
    opened: list[SqlProvider] = field(factory=list)

    def make(self) -> SqlProvider:
        """Return a provider that is not initialized."""
        provider = SqlProvider(self.url, schema=self.schema, clock=self.clock)
        self.opened.append(provider)
        return provider

    def open(self) -> SqlProvider:
        """Return an initialized provider."""
        provider = self.make()
        provider.initialize()
        return provider

    def close(self) -> None:
        """Close everything that was opened."""
        for provider in self.opened:
            provider.close()
