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
        {
            "dispatcher_poll_interval_ms": poll,
            "orchestration_concurrency": orchestrations,
            "worker_concurrency": workers,
            "start_threads": threads,
        }
        for poll, orchestrations, workers, threads in (
            (1, 1, 1, 1),
            (1, 2, 2, 4),
            (1, 4, 8, 4),
            (5, 2, 4, 1),
            (5, 4, 32, 4),
            (10, 2, 2, 2),
            (20, 8, 16, 4),
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
        "start_threads": starts,
        "fan_out": fan_out,
    }
    # Starting with 0 threads: through a queue, enqueued in one transaction.
    for threads, poll, starts, fan_out in (
        (1, 0.001, 1, "fan_out"),
        (2, 0.001, 1, "fan_out"),
        (2, 0.001, 2, "fan_out"),
        (4, 0.001, 0, "fan_out"),
        (4, 0.001, 4, "fan_out"),
        (16, 0.01, 4, "fan_out"),
        (64, 0.001, 1, "fan_out"),
        (128, 0.001, 4, "fan_out_children"),
    )
]
CANDIDATES["dbos", "postgres"] = [
    {
        "max_executor_threads": threads,
        "sys_db_pool_size": pool,
        "notification_coalesce_sec": 0.001,
        "start_threads": starts,
        "fan_out": fan_out,
        "db_engine_kwargs": {"pool_pre_ping": False},
    }
    for threads, pool, starts, fan_out in (
        (1, 20, 1, "fan_out"),
        (2, 20, 1, "fan_out"),
        (2, 20, 2, "fan_out"),
        (4, 20, 0, "fan_out"),
        (4, 20, 4, "fan_out"),
        (16, 20, 4, "fan_out"),
        (64, 50, 1, "fan_out"),
        (128, 100, 4, "fan_out_children"),
    )
]

OURS: dict[str, Any] = {}

#: (engine, database, scenario) → the best of them, and what it did with small sizes on a 2-core machine with other work
#: (2026-11-23; those for sequential and no_activities 2026-11-26, when there was much other work).
BEST: dict[tuple[str, str, str], dict[str, Any]] = {
    # 46, 34 orchestrations/s
    ("wheel", "sqlite", "sequential"): {},
    # 113 steps/s
    ("wheel", "sqlite", "chain"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 4,
        "worker_concurrency": 8,
    },
    # 18.5 ms
    ("wheel", "sqlite", "idle_latency"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 2,
        "worker_concurrency": 2,
    },
    # 7.32 ms
    ("wheel", "sqlite", "signal_latency"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 4,
        "worker_concurrency": 8,
    },
    # 157 activities/s
    ("wheel", "sqlite", "stress"): {
        "dispatcher_poll_interval_ms": 5,
        "orchestration_concurrency": 4,
        "worker_concurrency": 32,
    },
    # 783, 433 orchestrations/s
    ("wheel", "sqlite", "no_activities"): {},
    # 21, 22 orchestrations/s
    ("wheel", "postgres", "sequential"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 2,
        "worker_concurrency": 2,
        "start_threads": 4,
    },
    # 76.5 steps/s
    ("wheel", "postgres", "chain"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 1,
        "worker_concurrency": 1,
    },
    # 28.4 ms
    ("wheel", "postgres", "idle_latency"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 1,
        "worker_concurrency": 1,
    },
    # 11.1 ms
    ("wheel", "postgres", "signal_latency"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 1,
        "worker_concurrency": 1,
    },
    # 255 activities/s
    ("wheel", "postgres", "stress"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 4,
        "worker_concurrency": 8,
    },
    # 103, 93 orchestrations/s
    ("wheel", "postgres", "no_activities"): {
        "dispatcher_poll_interval_ms": 1,
        "orchestration_concurrency": 2,
        "worker_concurrency": 2,
        "start_threads": 4,
    },
    # 74 orchestrations/s
    ("dbos", "sqlite", "sequential"): {
        "pragmas": WAL_NORMAL,
        "max_executor_threads": 2,
        "notification_listener_polling_interval_sec": 0.001,
        "start_threads": 2,
        "fan_out": "fan_out",
    },
    # 541 steps/s
    ("dbos", "sqlite", "chain"): {
        "pragmas": WAL_NORMAL,
        "max_executor_threads": 128,
        "notification_listener_polling_interval_sec": 0.001,
        "fan_out": "fan_out_children",
    },
    # 5.36 ms
    ("dbos", "sqlite", "idle_latency"): {
        "pragmas": WAL_NORMAL,
        "max_executor_threads": 2,
        "notification_listener_polling_interval_sec": 0.001,
        "fan_out": "fan_out",
    },
    # 7.64 ms
    ("dbos", "sqlite", "signal_latency"): {
        "pragmas": WAL_NORMAL,
        "max_executor_threads": 4,
        "notification_listener_polling_interval_sec": 0.001,
        "fan_out": "fan_out",
    },
    # 319 activities/s
    ("dbos", "sqlite", "stress"): {
        "pragmas": WAL_NORMAL,
        "max_executor_threads": 4,
        "notification_listener_polling_interval_sec": 0.001,
        "fan_out": "fan_out",
    },
    # 287 orchestrations/s
    ("dbos", "sqlite", "no_activities"): {
        "pragmas": WAL_NORMAL,
        "max_executor_threads": 2,
        "notification_listener_polling_interval_sec": 0.001,
        "start_threads": 2,
        "fan_out": "fan_out",
    },
    # 49, 37 orchestrations/s
    ("dbos", "postgres", "sequential"): {
        "max_executor_threads": 128,
        "sys_db_pool_size": 100,
        "notification_coalesce_sec": 0.001,
        "start_threads": 4,
        "fan_out": "fan_out_children",
        "db_engine_kwargs": {"pool_pre_ping": False},
    },
    # 162 steps/s
    ("dbos", "postgres", "chain"): {
        "max_executor_threads": 16,
        "sys_db_pool_size": 20,
        "notification_coalesce_sec": 0.001,
        "fan_out": "fan_out",
        "db_engine_kwargs": {"pool_pre_ping": False},
    },
    # 11.9 ms
    ("dbos", "postgres", "idle_latency"): {
        "max_executor_threads": 128,
        "sys_db_pool_size": 100,
        "notification_coalesce_sec": 0.001,
        "fan_out": "fan_out_children",
        "db_engine_kwargs": {"pool_pre_ping": False},
    },
    # 12.7 ms
    ("dbos", "postgres", "signal_latency"): {
        "max_executor_threads": 16,
        "sys_db_pool_size": 20,
        "notification_coalesce_sec": 0.001,
        "fan_out": "fan_out",
        "db_engine_kwargs": {"pool_pre_ping": False},
    },
    # 172 activities/s
    ("dbos", "postgres", "stress"): {
        "max_executor_threads": 16,
        "sys_db_pool_size": 20,
        "notification_coalesce_sec": 0.001,
        "fan_out": "fan_out",
        "db_engine_kwargs": {"pool_pre_ping": False},
    },
    # 245, 266 orchestrations/s
    ("dbos", "postgres", "no_activities"): {
        "max_executor_threads": 16,
        "sys_db_pool_size": 20,
        "notification_coalesce_sec": 0.001,
        "start_threads": 4,
        "fan_out": "fan_out",
        "db_engine_kwargs": {"pool_pre_ping": False},
    },
}


def settings_for(engine: str, database: str, scenario: str) -> dict[str, Any]:
    """Return what *engine* is run with."""
    if engine == "ours":
        # Activities of 10 ms wait for somewhere else: as many threads as there are activities in flight, up to 64.
        return {"worker_concurrency": 64} if scenario == "stress" else OURS
    name = engine.partition("-")[0]
    # One by one takes what is best for many; how they are started is given.
    best = BEST.get((name, database, scenario.removesuffix("_one_by_one")))
    settings = dict(best if best is not None else CANDIDATES[name, database][2])
    if engine == "dbos-full":
        settings["pragmas"] = WAL_FULL
    return settings
