"""What the tables hold."""

from __future__ import annotations

from sqlalchemy import func, select

from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.schema import TABLES

from .stores import Store


def rows(store: Store, provider: SqlProvider) -> dict[str, int]:
    """Return how many rows each table has that has any."""
    with provider._engine.connect() as connection:
        connection = connection.execution_options(schema_translate_map={None: store.schema})
        counts = {
            name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for name, table in TABLES.items()
        }
    return {name: count for name, count in counts.items() if count}
