"""
A transactional start: the application's own rows and the start of an orchestration, both or neither.

    python examples/transactional_start.py [--database URL]

Without it, a crash between the two leaves an order that nobody fulfils, or fulfils one that does not exist. With
the tables of both in one database, give your SQLAlchemy Connection or Session as *connection*: the start becomes
part of your transaction. The same goes for `raise_event` and `enqueue_event`.
"""

from __future__ import annotations

from demo import database, new_id
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from duroxide import ActivityContext, Client, NotFound, Orchestration, OrchestrationContext, Registry, Runtime


class Base(DeclarativeBase):
    """The application's tables."""


class Order(Base):
    """An order of the application, which knows nothing of orchestrations."""

    __tablename__ = "example_orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    item: Mapped[str]


class NoCredit(Exception):
    """Something goes wrong after the start, in the same transaction."""


registry = Registry()


@registry.activity
def ship(ctx: ActivityContext, item: str) -> str:
    return f"{item} shipped"


@registry.orchestration
def fulfil(ctx: OrchestrationContext, item: str) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(ship, item))


def place_order(engine: Engine, client: Client, item: str, *, has_credit: bool) -> str:
    order_id = new_id("order")
    # Session.begin() commits at the end of the block, and rolls back if an exception leaves it.
    with Session(engine) as session, session.begin():
        session.add(Order(id=order_id, item=item))
        client.start_orchestration(order_id, fulfil, item, connection=session)
        if not has_credit:
            raise NoCredit(order_id)
    return order_id


def make_engine(url: str) -> Engine:
    """Return the application's own engine."""
    parsed = make_url(url)
    return create_engine(parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed)


def main() -> None:
    with database() as url, Runtime(url, registry) as runtime:
        engine = make_engine(url)
        Base.metadata.create_all(engine)

        order_id = place_order(engine, runtime.client, "lamp", has_credit=True)
        print(f"committed: {runtime.client.wait_for_result(order_id, type=str)}")

        try:
            place_order(engine, runtime.client, "sofa", has_credit=False)
        except NoCredit as error:
            order_id = str(error)
        with Session(engine) as session:
            print(f"rolled back: there is no order: {session.get(Order, order_id) is None}")
        status = runtime.client.get_orchestration_status(order_id)
        print(f"rolled back: there is no orchestration: {isinstance(status, NotFound)}")
        engine.dispose()


if __name__ == "__main__":
    main()
