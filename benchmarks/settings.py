"""
What each engine is run with: the best settings that `compare.py --tune` found for it, for each scenario.

Ours runs with its durable defaults (SQLite: synchronous=FULL). The peers may relax whatever makes them faster.
`CANDIDATES` are what was tried.
"""

from __future__ import annotations

from typing import Any


WAL_NORMAL = {"journal_mode": "WAL", "synchronous": "NORMAL"}
WAL_FULL = {"journal_mode": "WAL", "synchronous": "FULL"}

#: (engine, database) → settings to try for each scenario.
CANDIDATES: dict[tuple[str, str], list[dict[str, Any]]] = {
    ("wheel", database): [
        {"dispatcher_poll_interval_ms": poll, "orchestration_concurrency": orchestrations, "worker_concurrency": workers}
        for poll, orchestrations, workers in (
            (1, 1, 1),
            (1, 2, 2),
            (1, 4, 8),
            (5, 2, 4),
            (5, 4, 32),
            (10, 2, 2),
            (20, 8, 16),
        )
    ]
    + [{}]
    for database in ("sqlite", "postgres")
}
CANDIDATES["dbos", "sqlite"] = [
    {
        "pragmas": WAL_NORMAL,
        "max_executor_threads": threads,
        "notification_listener_polling_interval_sec": poll,
        "fan_out": fan_out,
    }
    for threads, poll, fan_out in (
        (1, 0.001, "fan_out"),
        (2, 0.001, "fan_out"),
        (4, 0.001, "fan_out"),
        (16, 0.01, "fan_out"),
        (64, 0.001, "fan_out"),
        (128, 0.001, "fan_out_children"),
    )
]
CANDIDATES["dbos", "postgres"] = [
    {
        "max_executor_threads": threads,
        "sys_db_pool_size": pool,
        "notification_coalesce_sec": 0.001,
        "fan_out": fan_out,
        "db_engine_kwargs": {"pool_pre_ping": False},
    }
    for threads, pool, fan_out in (
        (1, 20, "fan_out"),
        (2, 20, "fan_out"),
        (4, 20, "fan_out"),
        (16, 20, "fan_out"),
        (64, 50, "fan_out"),
        (128, 100, "fan_out_children"),
    )
]

OURS: dict[str, Any] = {}

#: (engine, database, scenario) → the best of them.
BEST: dict[tuple[str, str, str], dict[str, Any]] = {}


def settings_for(engine: str, database: str, scenario: str) -> dict[str, Any]:
    """Return what *engine* is run with."""
    if engine.startswith("ours"):
        # Activities of 10 ms wait for somewhere else: as many threads as there are activities in flight, up to 64.
        return {"worker_concurrency": 64} if scenario == "stress" else OURS
    best = BEST.get((engine.partition("-")[0], database, scenario))
    settings = dict(best if best is not None else CANDIDATES[engine.partition("-")[0], database][2])
    if engine == "dbos-full":
        settings["pragmas"] = WAL_FULL
    return settings
