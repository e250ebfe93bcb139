"""
The storage floor: the least durable writing that sequential activities can cost, without any engine.

Many instances advance in step. For each activity, one row of a worker queue goes, two events (completed, scheduled)
are appended to a history, and one row of the queue comes; *batch* instances share a transaction. Through SQLAlchemy
Core. What an engine takes longer than this is the engine.

usage: floor.py URL [--batch 50] [--synchronous FULL|NORMAL|-] [--count 20000]
"""

from __future__ import annotations

import argparse
import json
import time

import sqlalchemy as sa


PAYLOAD = json.dumps({"name": "step", "input": "x" * 40})

metadata = sa.MetaData()
history = sa.Table(
    "floor_history",
    metadata,
    sa.Column("instance_id", sa.Text, primary_key=True),
    sa.Column("execution_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("event_type", sa.Text),
    sa.Column("timestamp_ms", sa.BigInteger),
    sa.Column("data", sa.Text),
    sqlite_with_rowid=False,
)
queue = sa.Table(
    "floor_queue",
    metadata,
    sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("instance_id", sa.Text),
    sa.Column("activity_id", sa.BigInteger),
    sa.Column("visible_at_ms", sa.BigInteger),
    sa.Column("lock_token", sa.Text),
    sa.Column("data", sa.Text),
)


def open_engine(url: str, synchronous: str) -> sa.Engine:
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        return sa.create_engine(parsed.set(drivername="postgresql+psycopg"))
    engine = sa.create_engine(parsed)

    @sa.event.listens_for(engine, "connect")
    def _(driver: sa.engine.interfaces.DBAPIConnection, _: object) -> None:
        driver.isolation_level = None  # type: ignore[attr-defined]
        driver.execute("PRAGMA journal_mode=WAL")  # type: ignore[attr-defined]
        driver.execute(f"PRAGMA synchronous={synchronous}")  # type: ignore[attr-defined]

    @sa.event.listens_for(engine, "begin")
    def _(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def advance(connection: sa.Connection, before: list[int], first: int, batch: int, event_id: int) -> list[int]:
    """Complete the activities in *before*, and schedule the next one of each instance."""
    if before:
        connection.execute(sa.delete(queue).where(queue.c.position.in_(before)))
    events, waiting = [], []
    for number in range(batch):
        instance = {"instance_id": f"floor-{number}"}
        for offset, kind in enumerate(("ActivityCompleted", "ActivityScheduled")):
            event = {"execution_id": 1, "event_id": event_id + offset, "event_type": kind, "timestamp_ms": 1}
            events.append({**instance, **event, "data": PAYLOAD})
        lock = {"activity_id": event_id + 1, "visible_at_ms": 0, "lock_token": "token"}
        waiting.append({**instance, **lock, "position": first + number, "data": PAYLOAD})
    connection.execute(history.insert(), events)
    connection.execute(queue.insert(), waiting)
    return [each["position"] for each in waiting]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--synchronous", default="FULL")
    parser.add_argument("--count", type=int, default=20_000)
    asked = parser.parse_args()
    engine = open_engine(asked.url, asked.synchronous)
    metadata.drop_all(engine)
    metadata.create_all(engine)
    before: list[int] = []
    begun = time.perf_counter()
    with engine.connect() as connection:
        for done in range(0, asked.count, asked.batch):
            with connection.begin():
                before = advance(connection, before, done, asked.batch, 2 * done // asked.batch + 1)
    seconds = time.perf_counter() - begun
    metadata.drop_all(engine)
    settings = {"batch": asked.batch, "synchronous": asked.synchronous, "activities": asked.count}
    print(json.dumps({"activities_per_s": asked.count / seconds, **settings}))


if __name__ == "__main__":
    main()
