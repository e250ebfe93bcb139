"""Lists of the instances of one orchestration: what is rare among millions is found without looking at them all."""

from __future__ import annotations

from alembic import op


revision = "1_0002"
down_revision = "1_0001"


def upgrade(schema: str | None) -> None:
    """Add the index."""
    op.create_index(
        "duroxide_instances_named",
        "duroxide_instances",
        ["orchestration_name", "created_at_ms", "instance_id"],
        schema=schema,
    )
