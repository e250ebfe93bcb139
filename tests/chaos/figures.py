"""What a chaos run has seen, as a table and as JSON."""

from __future__ import annotations

from collections import Counter

from attrs import asdict, define, field


@define
class Figures:
    """Counts of one run on one database. What must be 0 is in `Figures.faults_of_ours`."""

    store: str
    seed: int
    seconds: float = 0.0
    #: Processes that were started, and how they ended; "injected" is by a fault in the middle of a commit.
    workers: int = 0
    kills: int = 0
    injected_kills: int = 0
    #: The database server: stopped or killed, and started again.
    server_stops: int = 0
    server_kills: int = 0
    #: Faults that the workers injected, by kind.
    faults: Counter[str] = field(factory=Counter)
    #: Instances that ended, children included; and activities that began, which may be more than are in histories.
    instances: int = 0
    activities: int = 0
    activities_begun: int = 0
    audits: int = 0
    #: Instances that never ended.
    lost: int = 0
    #: Answers, messages and ends that are in a history more than once, and other faults of histories.
    duplicated: int = 0
    #: Instances with another outcome than without chaos.
    wrong: int = 0
    audit_violations: int = 0
    #: Rows that are there when every instance has been deleted.
    left_over: int = 0
    #: Processes that ended by themselves; errors, tracebacks and "database is locked" in their logs.
    crashes: int = 0
    complaints: int = 0
    #: What was found, in words.
    findings: list[str] = field(factory=list)

    @property
    def faults_of_ours(self) -> dict[str, int]:
        """What must be 0."""
        return {
            "lost": self.lost,
            "duplicated": self.duplicated,
            "wrong outcomes": self.wrong,
            "audit violations": self.audit_violations,
            "left over": self.left_over,
            "crashes": self.crashes,
            "complaints in logs": self.complaints,
        }

    @property
    def is_clean(self) -> bool:
        """Whether chaos cost time, and nothing else."""
        return not any(self.faults_of_ours.values()) and self.instances > 0

    def as_json(self) -> dict[str, object]:
        """Return everything, for a file."""
        return {**asdict(self), "faults": dict(self.faults), "is_clean": self.is_clean}

    def table(self) -> str:
        """Return everything, for people."""
        rows: dict[str, object] = {
            "store": self.store,
            "seed": self.seed,
            "duration": f"{self.seconds:.0f} s",
            "worker processes": self.workers,
            "killed from outside": self.kills,
            "killed in a commit": self.injected_kills,
            "server stopped, killed": f"{self.server_stops}, {self.server_kills}",
            **{f"injected: {kind}": count for kind, count in sorted(self.faults.items())},
            "instances": self.instances,
            "activities": self.activities,
            "activities begun": self.activities_begun,
            "audits": self.audits,
            **self.faults_of_ours,
        }
        width = max(map(len, rows))
        lines = [f"{name:<{width}}  {value}" for name, value in rows.items()]
        return "\n".join([*lines, *(f"  ! {finding}" for finding in self.findings[:20])])
