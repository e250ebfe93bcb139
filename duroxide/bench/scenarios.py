"""All scenarios, with the sizes that are measured when nobody asks for others."""

from __future__ import annotations

from . import latency, standing, throughput, workers
from .scenario import Scenario


_ONE_HUNDRED_TIMES = {"times": 100, "gap_ms": 20}

#: Started in one call, and one by one.
_EITHER_WAY = ({"bulk": 1}, {"bulk": 0})

SCENARIOS = (
    Scenario(
        "no_activities",
        throughput.no_activities,
        tuple({"orchestrations": 1000, **way} for way in _EITHER_WAY),
        {"orchestrations": 3, "bulk": 1},
    ),
    Scenario(
        "sequential",
        throughput.sequential,
        tuple({"orchestrations": 500, "activities": 5, **way} for way in _EITHER_WAY),
        {"orchestrations": 3, "activities": 2, "bulk": 0},
    ),
    Scenario(
        "stress",
        throughput.stress,
        tuple({"in_flight": 20, "activities": 5, "threads": threads, "milliseconds": 3000} for threads in (16, 32, 64)),
        {"in_flight": 2, "activities": 2, "threads": 4, "milliseconds": 30},
        quick={"in_flight": 20, "activities": 5, "threads": 64, "milliseconds": 1500},
    ),
    Scenario("fan_out", throughput.fan_out, ({"activities": 1000}, {"activities": 10_000}), {"activities": 5}),
    Scenario(
        "chain", throughput.chain, ({"steps": 200}, {"steps": 1000}, {"steps": 5000}), {"steps": 4}, {"steps": 1000}
    ),
    Scenario("idle_latency", latency.idle_latency, (_ONE_HUNDRED_TIMES,), {"times": 2, "gap_ms": 1}),
    Scenario("signal_latency", latency.signal_latency, (_ONE_HUNDRED_TIMES,), {"times": 2, "gap_ms": 1}),
    Scenario(
        "timers",
        latency.timers,
        (
            {"timers": 500, "spread_ms": 0, "before_ms": 2000},
            {"timers": 10_000, "spread_ms": 1000, "before_ms": 10_000},
        ),
        {"timers": 3, "spread_ms": 10, "before_ms": 200},
    ),
    Scenario("start_up", latency.start_up, ({"times": 5},), {"times": 1}),
    Scenario("continue_as_new", throughput.continue_as_new, ({"executions": 1000},), {"executions": 3}),
    Scenario(
        "large_payloads",
        throughput.large_payloads,
        ({"orchestrations": 100, "kilobytes": 100},),
        {"orchestrations": 2, "kilobytes": 2},
    ),
    Scenario(
        "workers",
        workers.workers,
        tuple({"processes": processes, "orchestrations": 1000, "activities": 5} for processes in (1, 2, 4)),
        {"processes": 2, "orchestrations": 3, "activities": 2},
        quick={"processes": 2, "orchestrations": 300, "activities": 5},
        needs_postgres="several processes that write are what Postgres is for",
    ),
    Scenario(
        "idle_cost",
        standing.idle_cost,
        ({"sleepers": 100_000, "milliseconds": 6000, "settle_ms": 4000},),
        {"sleepers": 5, "milliseconds": 20, "settle_ms": 1},
        quick={"sleepers": 10_000, "milliseconds": 3000, "settle_ms": 4000},
    ),
    Scenario("memory", standing.memory, ({"instances": 2000},), {"instances": 10}, {"instances": 500}),
)

BY_NAME = {each.name: each for each in SCENARIOS}
