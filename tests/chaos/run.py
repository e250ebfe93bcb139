"""
One chaos run: processes that are killed, faults inside them, a server that goes away, and new work all the while.

`Chaos.run` starts instances of every kind, looks at each that has ended, and deletes it with its family, so that the
database stays small and in the end must be empty. What it finds is in `Chaos.figures`.

Everything that is decided by chance is decided by the seed; when it happens depends on the machine.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, Protocol, TypeVar

from attrs import define, field, frozen

from duroxide import Client, InstanceNotFound, InstanceStillRunning, NotFound, ProviderError, Running, SqlProvider
from duroxide._clock import monotonic
from duroxide.testing.faults import KILLED

from ..workload import outcomes
from ..workload.process import Worker
from .figures import Figures


ResultT = TypeVar("ResultT")


class Server(Protocol):
    """A database server that may be ended and started again."""

    def start(self) -> None:
        """Start it."""

    def stop(self) -> None:
        """End it, and let it know."""

    def kill(self) -> None:
        """End it without a chance to do anything about it."""


@frozen(kw_only=True)
class Severity:
    """How much chaos there is. Times are in seconds."""

    workers: int = 4
    #: Families of instances (one of each kind) that are under way at the same time.
    families: int = 16
    #: The mean time between two kills from outside, and between two ends of the server.
    kill_interval: float = 3.0
    server_interval: float = 8.0
    #: Probability of a fault in a call, and of the end of the process in a commit.
    faults: float = 0.05
    kills: float = 0.02
    #: How long instances may take to end after the last kill.
    patience: float = 120.0


@define
class Family:
    """One instance of each kind, and those that they start."""

    number: int
    #: Those that have not been seen to end as they should.
    open: set[str]
    #: Those that are to be deleted.
    ids: tuple[str, ...]


@define
class Chaos:
    """A run on the database at *url*, with the logs in *folder*."""

    url: str
    folder: Path
    figures: Figures
    severity: Severity = field(factory=Severity)
    server: Server | None = None
    _chance: Random = field(init=False)
    _workers: list[Worker] = field(factory=list)
    _families: dict[int, Family] = field(factory=dict)
    _next: Iterator[int] = field(init=False)
    _pause: threading.Event = field(factory=threading.Event)

    def __attrs_post_init__(self) -> None:
        self._chance = Random(self.figures.seed)
        self._next = iter(range(1, outcomes.SENT_OFF))

    def run(self, seconds: float) -> None:
        """Let there be chaos for so many *seconds*; then let everything end, and look at what is left."""
        began = monotonic()
        with SqlProvider(self.url) as provider:
            client = Client(provider)
            self._rage(client, began + seconds)
            self._settle(client)
            for worker in self._workers:
                self._ended(worker, worker.end())
            self._audit(client)
            self._look_for_rest(client)
        self.figures.seconds = monotonic() - began

    def _rage(self, client: Client, until: float) -> None:
        next_kill, next_end = self._soon(self.severity.kill_interval), self._soon(self.severity.server_interval)
        while monotonic() < until:
            self._replace_dead()
            self._start_more(client)
            self._look(client)
            if monotonic() > next_kill:
                self._kill_one()
                next_kill = self._soon(self.severity.kill_interval)
                self._audit(client)
            if self.server is not None and monotonic() > next_end:
                self._end_server(self.server)
                next_end = self._soon(self.severity.server_interval)
                self._audit(client)
            self._pause.wait(0.05)

    def _soon(self, mean: float) -> float:
        return monotonic() + self._chance.expovariate(1 / mean)

    # Processes

    def _replace_dead(self) -> None:
        for worker in [each for each in self._workers if each.exit_status is not None]:
            self._workers.remove(worker)
            self._ended(worker, worker.wait_for_end())
        while len(self._workers) < self.severity.workers:
            self._workers.append(self._new_worker())

    def _new_worker(self) -> Worker:
        self.figures.workers += 1
        number = self.figures.workers
        faults = ("--faults", str(self.severity.faults), "--kills", str(self.severity.kills))
        worker = Worker(self.url, self.folder / f"log-{number}", *faults, "--seed", f"{self.figures.seed}/{number}")
        worker.go()
        return worker

    def _ended(self, worker: Worker, status: int) -> None:
        """Take note of a worker that ended by itself, or because it was told to."""
        if status == KILLED:
            self.figures.injected_kills += 1
        elif status != 0:
            self.figures.crashes += 1
            self.figures.findings.append(f"a worker ended with status {status}: {worker.log()[-500:]}")
        self._count(worker)

    def _kill_one(self) -> None:
        alive = [worker for worker in self._workers if worker.exit_status is None]
        if alive:
            victim = self._chance.choice(alive)
            victim.kill()
            self.figures.kills += 1
            self._workers.remove(victim)
            self._count(victim)

    def _count(self, worker: Worker) -> None:
        """Add up what a worker has said and logged."""
        for line, count in worker.said.items():
            if line == "begun":
                self.figures.activities_begun += count
            elif line.startswith("fault "):
                self.figures.faults[line.removeprefix("fault ")] += count
        for line in worker.log().splitlines():
            if "database is locked" in line or not line.startswith(("INFO", "WARNING")):
                self.figures.complaints += 1
                self.figures.findings.append(f"in a log: {line}")

    def _end_server(self, server: Server) -> None:
        if self._chance.random() < 0.5:
            server.stop()
            self.figures.server_stops += 1
        else:
            server.kill()
            self.figures.server_kills += 1
        self._pause.wait(self._chance.uniform(0.1, 4.0))
        server.start()

    # Instances

    def _start_more(self, client: Client) -> None:
        if len(self._families) >= self.severity.families:
            return
        number = next(self._next)
        for kind in outcomes.RESULTS:
            self._patiently(client.start_orchestration, f"{kind}-{number}", kind, number)
        for turn in range(2):
            self._patiently(outcomes.send_word, client, number, turn)
        ids = tuple(outcomes.ids_of(number))
        self._families[number] = Family(number, set(ids), ids)

    def _look(self, client: Client) -> None:
        """Check what has ended, and delete families of which all have."""
        for family in tuple(self._families.values()):
            for instance_id in tuple(family.open):
                self._look_at(client, family, instance_id)
            if not family.open and all(self._delete(client, each) for each in family.ids):
                del self._families[family.number]

    def _look_at(self, client: Client, family: Family, instance_id: str) -> None:
        status = self._patiently(client.get_orchestration_status, instance_id)
        if isinstance(status, NotFound | Running):
            return
        family.open.remove(instance_id)
        outcome, expected = outcomes.outcome(status), outcomes.expected(instance_id)
        if outcome != expected:
            self.figures.wrong += 1
            self.figures.findings.append(f"{instance_id} became {outcome!r} instead of {expected!r}")

    def _delete(self, client: Client, instance_id: str) -> bool:
        """Check the histories of an instance and its children, and delete them; return whether they are gone."""
        try:
            tree = self._patiently(client.get_instance_tree, instance_id)
            if any(info.status == "Running" for info in tree.instances):
                return False
            found = [fault for each in tree.ids for fault in self._patiently(outcomes.history_faults, client, each)]
            activities = sum(self._patiently(outcomes.activities_in, client, each) for each in tree.ids)
            self._patiently(client.delete_instance, instance_id)
        except InstanceStillRunning:
            return False
        except InstanceNotFound:
            return True  # in another round, or in a call whose answer was lost
        self.figures.instances += len(tree.ids)
        self.figures.activities += activities
        self.figures.duplicated += len(found)
        self.figures.findings += found
        return True

    def _settle(self, client: Client) -> None:
        """Wait until everything has ended; what does not is lost."""
        deadline = monotonic() + self.severity.patience
        while self._families and monotonic() < deadline:
            self._replace_dead()
            self._look(client)
            self._pause.wait(0.05)
        left = [instance_id for family in self._families.values() for instance_id in (family.open or family.ids)]
        self.figures.lost = len(left)
        self.figures.findings += [f"lost: {instance_id}" for instance_id in left]

    def _audit(self, client: Client) -> None:
        violations = self._patiently(client.audit)
        self.figures.audits += 1
        self.figures.audit_violations += len(violations)
        self.figures.findings += [str(violation) for violation in violations]

    def _look_for_rest(self, client: Client) -> None:
        depths, metrics = client.get_queue_depths(), client.get_system_metrics()
        rest = {
            "instances": metrics.total_instances,
            "messages": depths.orchestrator_queue + depths.timer_queue,
            "activities": depths.worker_queue + depths.locked_activities,
            "locks": depths.locked_instances,
        }
        self.figures.left_over = sum(rest.values())
        self.figures.findings += [f"left over: {count} {what}" for what, count in rest.items() if count]

    def _patiently(self, call: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """Call until the database answers."""
        deadline = monotonic() + self.severity.patience
        while True:
            try:
                return call(*arguments)
            except ProviderError as error:
                if not error.retryable or monotonic() > deadline:
                    raise
            self._pause.wait(0.1)
