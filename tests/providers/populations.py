"""What the tables hold: how many rows, and very many of them."""

from __future__ import annotations

from sqlalchemy import func, insert, select

from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.schema import TABLES, executions, instances
from duroxide.testing.conformance.vocabulary import NOW

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


def crowd(
    store: Store, provider: SqlProvider, count: int, *, running_each: int = 50, continued_each: int = 100
) -> None:
    """Insert *count* instances at once, as tables hold them after years: most Completed, a few Running."""
    stored, ran = [], []
    for number in range(count):
        is_running = number % running_each == 0
        status = "Running" if is_running else "Failed" if number % running_each == 1 else "Completed"
        current = 2 if number % continued_each == 0 else 1
        common = {"instance_id": f"crowd-{number:06}", "execution_id": current, "status": status, "output": '"done"'}
        stored.append(
            {
                **common,
                "incarnation": 7,
                "orchestration_name": f"kind-{number % 10}",
                "orchestration_version": "1.0.0",
                "last_event_id": 5,
                "created_at_ms": NOW + number,
                "updated_at_ms": NOW + number + 10,
            }
        )
        ran += [
            {
                **common,
                "execution_id": execution_id,
                "status": status if execution_id == current else "ContinuedAsNew",
                "version": "1.0.0",
                "started_at_ms": NOW + number,
                "completed_at_ms": NOW + number + 10,
            }
            for execution_id in range(1, current + 1)
        ]
    with provider._engine.begin() as connection:
        connection = connection.execution_options(schema_translate_map={None: store.schema})
        connection.execute(insert(instances), stored)
        connection.execute(insert(executions), ran)
    with provider._engine.connect() as connection:
        # As autovacuum does it, sooner or later; SQLite works without.
        if provider._engine.dialect.name == "postgresql":
            schema = connection.dialect.identifier_preparer.quote(store.schema or "public")
            connection = connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in (instances, executions):
                connection.exec_driver_sql(f"VACUUM ANALYZE {schema}.{table.name}")
