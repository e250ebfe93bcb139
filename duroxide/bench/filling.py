"""
Fills a database with instances as years leave them behind, a million of them in a minute or two.

A handful of instances is run by a real runtime in memory; their rows are the templates, and the database multiplies
them: another number in the ids, another day in the times. So what is stored is what the engine stores, and
`audit()` holds for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from attrs import frozen
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    case,
    cast,
    func,
    insert,
    literal,
    literal_column,
    select,
)

from .._core.actions import Orchestration
from .._core.context import OrchestrationContext
from .._core.registry import Registry
from .._runtime.activity_context import ActivityContext
from .._runtime.options import RuntimeOptions
from .._runtime.runtime import Runtime
from ..client import Client
from ..providers.sql import SqlProvider
from ..providers.sql.schema import TABLES
from .measuring import Stopwatch
from .scenario import pause


#: Stands for the number in the ids of templates.
MARK = "00000000"

#: Instances inserted by one statement.
CHUNK = 50_000

DAY_MS = 86_400_000

#: How old the oldest instance is.
AGE_MS = 365 * DAY_MS

#: Of 1,000 finished roots, how many are of each kind; the others have completed, after two activities.
SHARES = {"failed": 10, "continued": 10, "parent": 20, "valued": 50, "rare": 1}

#: Tables with rows of instances, in an order in which they can be filled.
FILLED = ("instances", "executions", "history", "kv", "orchestrator_queue")

_TIMES = {"created_at_ms", "updated_at_ms", "started_at_ms", "completed_at_ms", "timestamp_ms"}
_IDS = {"instance_id", "parent_instance_id", "data"}

registry = Registry()


@registry.activity
def charge(ctx: ActivityContext, cents: int) -> str:
    """Take money."""
    return f"receipt for {cents}"


@registry.activity
def decline(ctx: ActivityContext, cents: int) -> str:
    """Take none."""
    msg = "the card was declined"
    raise ValueError(msg)


@registry.orchestration
def checkout(ctx: OrchestrationContext, cents: int) -> Orchestration[str]:
    """Two activities, one after the other."""
    yield from ctx.schedule_activity(charge, cents)
    return (yield from ctx.schedule_activity(charge, cents + 1))


@registry.orchestration
def refused(ctx: OrchestrationContext, cents: int) -> Orchestration[str]:
    """An activity that fails."""
    return (yield from ctx.schedule_activity(decline, cents))


@registry.orchestration
def monthly(ctx: OrchestrationContext, round_: int) -> Orchestration[int]:
    """Continue as new, some more rounds."""
    yield from ctx.schedule_activity(charge, round_)
    if round_:
        return (yield from ctx.continue_as_new(round_ - 1))
    return round_


@registry.orchestration
def family(ctx: OrchestrationContext, cents: int) -> Orchestration[str]:
    """A child."""
    child = f"{ctx.instance_id}::child"
    return (yield from ctx.schedule_sub_orchestration(checkout, cents, instance_id=child))


@registry.orchestration
def valued(ctx: OrchestrationContext, cents: int) -> Orchestration[str]:
    """Leave a key-value and a custom status."""
    ctx.set_kv_value("state", "paid")
    ctx.set_custom_status("done")
    return (yield from ctx.schedule_activity(charge, cents))


@registry.orchestration
def sleeper(ctx: OrchestrationContext, days: int) -> Orchestration[None]:
    """Sleep."""
    yield from ctx.schedule_activity(charge, days)
    yield from ctx.schedule_timer(timedelta(days=days))


@registry.orchestration
def seldom(ctx: OrchestrationContext, cents: int) -> Orchestration[str]:
    """An activity."""
    return (yield from ctx.schedule_activity(charge, cents))


#: What is run once for each kind, and with what.
TEMPLATES: Mapping[str, tuple[Any, int]] = {
    "completed": (checkout, 100),
    "failed": (refused, 100),
    "continued": (monthly, 1),
    "parent": (family, 100),
    "valued": (valued, 100),
    "rare": (seldom, 100),
    "sleeping": (sleeper, 2 * 365),
}


@frozen
class Filled:
    """What was put into a database."""

    finished: int
    sleeping: int
    seconds: float


def template_rows() -> dict[str, list[dict[str, Any]]]:
    """Run one instance of each kind, and return what is stored of them, by table."""
    with SqlProvider.in_memory() as provider:
        with Runtime(provider, registry, RuntimeOptions(worker_concurrency=4)) as runtime:
            for kind, (orchestration, argument) in TEMPLATES.items():
                runtime.client.start_orchestration(f"{kind}-{MARK}", orchestration, argument)
            for kind in TEMPLATES:
                if kind != "sleeping":
                    runtime.client.wait_for_orchestration(f"{kind}-{MARK}", 60)
            _wait_until_asleep(runtime.client)
        found = {}
        with provider._engine.connect() as connection:  # noqa: SLF001  # no provider can do this
            for name in FILLED:
                rows = connection.execute(select(TABLES[name])).mappings()
                found[name] = [{**row, "template": row["instance_id"].partition("-")[0]} for row in rows]
    return found


def _wait_until_asleep(client: Client) -> None:
    while client.get_queue_depths().timer_queue == 0:
        pause(0.01)


def fill(provider: SqlProvider, schema: str | None, *, finished: int, sleeping: int, settles: bool = True) -> Filled:
    """
    Insert *finished* roots that have ended, and *sleeping* ones that wait for a timer, spread over a year.

    Unless it *settles*, a database is left as it is before it has found time to look at what it has got.
    """
    watch = Stopwatch()
    templates = template_rows()
    engine = provider._engine.execution_options(schema_translate_map={None: schema})  # noqa: SLF001  # nor this
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA synchronous = OFF")
        stencils = _stencils(connection, templates)
        connection.commit()
        for name in FILLED:
            for is_sleeping, count in ((False, finished), (True, sleeping)):
                for first in range(0, count, CHUNK):
                    numbers = range(first, min(first + CHUNK, count))
                    _multiply(connection, stencils[name], TABLES[name], numbers, count, is_sleeping=is_sleeping)
                    connection.commit()
    if settles:
        settle(provider, schema)
    return Filled(finished, sleeping, watch.seconds())


def settle(provider: SqlProvider, schema: str | None) -> None:
    """Do what autovacuum does sooner or later, or write SQLite's log back to its file."""
    engine = provider._engine.execution_options(isolation_level="AUTOCOMMIT")  # noqa: SLF001  # nor this
    with engine.connect() as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
            return
        quoted = connection.dialect.identifier_preparer.quote(schema or "public")
        for table in TABLES.values():
            connection.exec_driver_sql(f"VACUUM ANALYZE {quoted}.{table.name}")


def _stencils(connection: Connection, templates: Mapping[str, list[dict[str, Any]]]) -> dict[str, Table]:
    """Put *templates* into tables that end with the connection."""
    made = {}
    copies = MetaData()
    temporary = "temp" if connection.dialect.name == "sqlite" else "pg_temp"
    for name, rows in templates.items():
        columns = [Column(column.name, column.type) for column in TABLES[name].columns]
        stencil = Table(f"stencil_{name}", copies, *columns, Column("template", Text), schema=temporary)
        stencil.create(connection, checkfirst=False)
        connection.execute(insert(stencil), rows)
        made[name] = stencil
    return made


def _multiply(
    connection: Connection, stencil: Table, table: Table, numbers: range, count: int, *, is_sleeping: bool
) -> None:
    """Insert the rows of instances *numbers* of *count* into *table*."""
    n = _numbers(numbers)
    kind = literal("sleeping") if is_sleeping else _kind_of(n.c.n)
    columns = [column for column in table.columns if not column.identity]
    selected = [_value(stencil.c[column.name], n.c.n, count) for column in columns]
    ordered = [n.c.n, *(stencil.c[column.name] for column in table.primary_key.columns if not column.identity)]
    query = select(*selected).select_from(n.join(stencil, stencil.c.template == kind)).order_by(*ordered)
    connection.execute(insert(table).from_select([column.name for column in columns], query))


def _numbers(numbers: range) -> Any:
    first = select(cast(literal_column(str(numbers.start)), BigInteger).label("n")).cte("numbers", recursive=True)
    return first.union_all(select(first.c.n + 1).where(first.c.n < numbers.stop - 1))


def _kind_of(number: Any) -> Any:
    """Return the kind of finished instance *number*, as SQL: kinds are mixed all through the year."""
    bounds = list(_bounds())
    return case(*((number * 7 % 1000 < below, literal(kind, String())) for kind, below in bounds), else_="completed")


def _bounds() -> Iterator[tuple[str, int]]:
    below = 0
    for kind, share in SHARES.items():
        below += share
        yield kind, below


def _value(column: Column[Any], number: Any, count: int) -> Any:
    """Return the value of *column* for instance *number* of *count*, as SQL."""
    if column.name in _IDS:
        digits = func.substr(cast(number + 100_000_000, Text), 2)
        return func.replace(column, MARK, digits)
    if column.name in _TIMES:
        return column - (AGE_MS - cast(number, BigInteger) * (AGE_MS // count))
    if column.name == "incarnation":
        return column + cast(number, Integer)
    return column
