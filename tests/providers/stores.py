"""The store of a test: an empty database, on which any number of providers can be opened, and how it is described."""

from __future__ import annotations

from typing import Any

from attrs import define, field
from sqlalchemy import inspect

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


def described(provider: SqlProvider, schema: str | None) -> dict[str, Any]:
    """Return tables, columns, keys and indexes as the database describes them."""
    inspector = inspect(provider._engine)
    found = {}
    for table in sorted(inspector.get_table_names(schema=schema)):
        columns = [
            {**column, "type": str(column["type"]), "default": (column["default"] or "").replace(f"{schema}.", "")}
            for column in inspector.get_columns(table, schema=schema)
        ]
        key = inspector.get_pk_constraint(table, schema=schema)["constrained_columns"]
        indexes = {
            str(index["name"]): (
                index["column_names"],
                {name: str(value) for name, value in index.get("dialect_options", {}).items()},
            )
            for index in inspector.get_indexes(table, schema=schema)
        }
        options = inspector.get_table_options(table, schema=schema)
        found[table] = (columns, key, indexes, options)
    return found
