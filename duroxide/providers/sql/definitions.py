"""The statements that create everything in `schema.py`, and let a role work with it."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Dialect as SqlAlchemyDialect
from sqlalchemy import MetaData
from sqlalchemy.schema import CreateIndex, CreateTable

from .dialect import Dialect
from .schema import PARTIAL_INDEXES, metadata
from .tables import HEAD, VERSION_TABLE, qualified, quoted


def definitions(compiler: SqlAlchemyDialect, dialect: Dialect, schema: str | None) -> Iterator[str]:
    """Yield the statements that create everything in *schema*, which exists."""
    copies = MetaData()
    for table in metadata.sorted_tables:
        placed = table if schema is None else table.to_metadata(copies, schema=schema)
        yield str(CreateTable(placed).compile(dialect=compiler)).strip()
        for index in sorted(placed.indexes, key=lambda each: each.name or ""):
            yield str(CreateIndex(index).compile(dialect=compiler))
    for name, partial in PARTIAL_INDEXES.items():
        place = qualified(partial.table.name, schema)
        yield f"CREATE INDEX {name} ON {place} ({partial.columns}) WHERE {partial.where}"
    yield from dialect.storage()
    versions = qualified(VERSION_TABLE, schema)
    yield f"CREATE TABLE {versions} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
    yield f"INSERT INTO {versions} VALUES ('{HEAD}')"  # noqa: S608  # constants


def grants(schema: str | None, role: str) -> Iterator[str]:
    """Yield the statements that let the Postgres role *role* work with what is in *schema*."""
    where, who = quoted(schema or "public"), quoted(role)
    yield f"GRANT USAGE ON SCHEMA {where} TO {who}"
    names = ", ".join(qualified(name, schema) for name in (*sorted(metadata.tables), VERSION_TABLE))
    yield f"GRANT SELECT, INSERT, UPDATE, DELETE ON {names} TO {who}"
