"""
Alembic's entry point: run the migrations on the connection that `duroxide.providers.sql.migrate` passes in, or, with no
connection, only write down what they would do.

The caller owns the transaction, and the lock that keeps others out.
"""

from __future__ import annotations

from alembic import context

from duroxide.providers.sql.schema import metadata
from duroxide.providers.sql.tables import VERSION_TABLE


def run() -> None:
    """Run the migrations that are due."""
    attributes = context.config.attributes
    context.configure(
        connection=attributes.get("connection"),
        dialect_name=attributes.get("dialect_name"),
        target_metadata=metadata,
        version_table=VERSION_TABLE,
        version_table_schema=attributes["schema"],
        transactional_ddl=False,
    )
    context.run_migrations(schema=attributes["schema"])


run()
