"""What is compared: the scenarios, how big each is made, on which engines, which figure counts, and what it should be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


DATABASES = ("sqlite", "postgres")
FLOOR = "floor"
OURS = "ours"
#: What `python -m duroxide.bench` finds about ours alone.
ALONE = "alone"


@dataclass(frozen=True)  # the interpreter that compares has no attrs
class Scenario:
    """One thing to compare."""

    name: str
    sizes: dict[str, int]
    #: For a quick look, and for `--tune`.
    small: dict[str, int]
    figure: str
    less_is_better: bool = False
    #: Beside ours; the first that are given are for both databases.
    peers: tuple[str, ...] = ("wheel", "dbos")
    sqlite_peers: tuple[str, ...] = ()
    with_floor: bool = False
    #: A size that is smaller for the wheel, whose cost for a step grows with the steps before.
    wheel_sizes: dict[str, int] | None = None

    def engines(self, database: str) -> tuple[str, ...]:
        """Return who takes part on *database*, in order."""
        floor = (FLOOR,) if self.with_floor else ()
        return (*floor, OURS, *self.peers, *(self.sqlite_peers if database == "sqlite" else ()))

    def sizes_for(self, engine: str, *, small: bool) -> dict[str, int]:
        """Return how big it is for *engine*."""
        if small:
            return self.small
        return self.wheel_sizes if engine == "wheel" and self.wheel_sizes is not None else self.sizes


_MANY = {"orchestrations": 500, "activities": 5}
_FEW = {"orchestrations": 60, "activities": 5}
_LATENCY = {"times": 60}

SCENARIOS = {
    each.name: each
    for each in (
        Scenario("sequential", _MANY, _FEW, "per_s", with_floor=True),
        Scenario("sequential_one_by_one", _MANY, _FEW, "per_s"),
        Scenario("chain", {"steps": 1000}, {"steps": 100}, "per_s", wheel_sizes={"steps": 300}),
        Scenario("idle_latency", _LATENCY, {"times": 20}, "p50_ms", less_is_better=True, sqlite_peers=("dbos-full",)),
        Scenario("signal_latency", _LATENCY, {"times": 20}, "p50_ms", less_is_better=True, sqlite_peers=("dbos-full",)),
        Scenario(
            "stress",
            {"in_flight": 20, "activities": 5, "milliseconds": 3000},
            {"in_flight": 20, "activities": 5, "milliseconds": 1500},
            "activities_per_s",
        ),
        Scenario("no_activities", {"orchestrations": 500}, {"orchestrations": 100}, "per_s"),
        Scenario("no_activities_one_by_one", {"orchestrations": 500}, {"orchestrations": 100}, "per_s"),
    )
}


@dataclass(frozen=True)  # the interpreter that compares has no attrs
class Own:
    """A figure of `python -m duroxide.bench`, with its own limit."""

    scenario: str
    sizes: dict[str, int]
    figure: str
    limit: float
    less_is_better: bool = True
    databases: tuple[str, ...] = DATABASES

    @property
    def label(self) -> str:
        """The scenario, and the sizes that were chosen."""
        return f"{self.scenario} {' '.join(f'{name}={value}' for name, value in self.sizes.items())}".strip()


OWN = (
    Own("chain", {"steps": 5000}, "last_to_first", 1.1),
    Own("timers", {"timers": 500}, "late_p95_ms", 20),
    *(Own("stress", {"threads": threads}, "ceiling_share", 0.8, less_is_better=False) for threads in (16, 32, 64)),
    Own("start_up", {"times": 5}, "total_p50_ms", 400, databases=("sqlite",)),
    Own("memory", {"instances": 2000}, "cached_kb", 20, databases=("sqlite",)),
    Own("memory", {"instances": 2000}, "evicted_kb", 0.1, databases=("sqlite",)),
)

#: Times as good as this engine that ours should be: (scenario, engine, database) → ratio; ours/theirs for rates, theirs/ours for latencies.
RATIOS: dict[tuple[str, str, str], float] = {
    ("sequential", "wheel", "sqlite"): 25,
    ("sequential", "wheel", "postgres"): 12,
    ("sequential", "dbos", "sqlite"): 8,
    ("sequential", "dbos", "postgres"): 6,
    ("sequential", FLOOR, "sqlite"): 0.2,
    ("sequential", FLOOR, "postgres"): 0.4,
    # Not above DBOS at the same durability.
    ("idle_latency", "dbos-full", "sqlite"): 1,
    ("idle_latency", "dbos", "postgres"): 1,
    ("signal_latency", "dbos-full", "sqlite"): 1,
    ("signal_latency", "dbos", "postgres"): 1,
    **{("chain", "dbos", database): 2 for database in DATABASES},
    **{("stress", peer, database): 5 for peer in ("wheel", "dbos") for database in DATABASES},
    **{("no_activities", peer, database): 3 for peer in ("wheel", "dbos") for database in DATABASES},
}

#: What ours should reach by itself: (scenario, database) → the figure; at most for latencies, at least for rates.
ABSOLUTE: dict[tuple[str, str], float] = {
    ("chain", "sqlite"): 1000,
    ("chain", "postgres"): 600,
    ("idle_latency", "sqlite"): 3,
    ("idle_latency", "postgres"): 5,
    ("signal_latency", "sqlite"): 3,
    ("signal_latency", "postgres"): 5,
}


def reached(value: float, limit: float, *, less_is_better: bool) -> bool:
    """Whether *value* is as good as *limit*."""
    return value <= limit if less_is_better else value >= limit


Record = dict[str, Any]
