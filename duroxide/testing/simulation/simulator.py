"""
The simulator: orchestrations and activities in one thread, in virtual time, one step after the other.

The engine is the real one: the runtime's dispatcher and worker without their threads, on the SQL provider in memory.
What is simulated is the world around it: the time, who runs when, what arrives, and what goes wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from attrs import frozen

from ..._core.audit import Violation
from ..._core.durations import Duration, duration_ms
from ..._core.events import Event
from ..._core.functions import registered_name
from ..._core.registry import Registry
from ..._core.status import NotFound, OrchestrationStatus, Running
from ..._runtime.options import RuntimeOptions
from ..._runtime.runtime import BUILT_IN
from ...client import Client
from ...errors import InvalidInput
from ...providers.contract import TagFilter
from .clock import BEGINNING_MS, VirtualClock
from .ending import raise_what_ends_test
from .fakes import Activity, Call, Fakes
from .inputs import Inputs, When
from .replaying import Replays
from .steps import Faults, Step, Turn, checked_faults, in_words, is_fault
from .store import SimulatedStore, Written
from .words import tell_waiting
from .world import World


#: Steps that `Simulator.run` makes at most, unless told otherwise: an orchestration without end must not hang a test.
MAX_STEPS = 10_000


class StillRunning(AssertionError):
    """The simulation was to go further than it did; the message says what each instance waits for."""


@frozen
class Waiting:
    """An instance that has not ended, and what it waits for."""

    instance_id: str
    #: In words.
    waits_for: str

    def __str__(self) -> str:
        return f"{self.instance_id!r} waits for {self.waits_for}"


@frozen
class Happened:
    """One step of a simulation that was made."""

    step: Step
    #: Since the beginning of the simulation.
    at: timedelta
    #: What happened, in words.
    text: str

    def __str__(self) -> str:
        mark = "!" if is_fault(self.step) else " "
        return f"{mark} {in_words(self.at)}: {self.text}"


class Simulator:
    """
    Runs orchestrations and activities in this thread, with a virtual clock: a timer of 30 days takes no time.

    ::

        with Simulator(registry, activities={"charge": lambda ctx, order: "receipt"}) as sim:
            sim.start("order-17", fulfil, order)
            sim.raise_event("order-17", "approved", at=timedelta(hours=3))
            sim.run()
            assert sim.result("order-17") == "receipt"

    Args:
        registry: The orchestrations and activities.

        activities: Name or function → what is called instead of that activity.

        options: Of the simulated runtime. By default those of `Runtime`, except that every tag is served. How much it
            does at the same time is of no consequence.

        check_replays: Replay each turn, and raise NondeterminismError where that decides something else. Histories of
            more than 256 events are replayed only now and then, and when they or `run` end.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        activities: Mapping[Any, Callable[..., Any]] | None = None,
        options: RuntimeOptions | None = None,
        check_replays: bool = True,
        store: SimulatedStore | None = None,
    ) -> None:
        self._clock = VirtualClock() if store is None else store.clock
        self._clock.ms = BEGINNING_MS
        self._store = SimulatedStore(self._clock) if store is None else store
        self._owns_store = store is None
        self._registry = _checked(registry)
        self._options = _checked_options(options)
        self._client = Client(self._store, limits=self._options.limits)
        self._fakes = Fakes(registry, BUILT_IN)
        self._inputs = Inputs()
        self._replays = Replays(registry, self._options.limits, self._options.guard) if check_replays else None
        self._trace: list[Happened] = []
        #: How long the store's journal was before the last step.
        self._seen = 0
        self._world = World(
            self._store, self._clock, self._inputs, self._fakes, registry=registry, options=self._options
        )
        for activity, fake in _checked_fakes(activities).items():
            self.fake(activity, fake)

    def __repr__(self) -> str:
        return f"<duroxide.testing.Simulator at {in_words(self.elapsed)}, {len(self._trace)} steps>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._world.close()
        if self._owns_store:
            self._store.close()

    # What the test does to the world

    def fake(self, activity: Activity, fake: Callable[..., Any] | None = None, *, takes: Duration = 0) -> None:
        """
        Let *fake* be called instead of *activity* (a function or its name), and let it take a virtual time of *takes*.

        Without *fake*, the real one is called. What the fake's signature does not say of its input or its result, the
        real one's says.

        Raises:
            InvalidInput: If no such activity is registered.
        """
        self._fakes.add(activity, fake, takes)

    def start(
        self,
        instance_id: str,
        orchestration: Callable[..., Any] | str,
        input: object = None,
        *,
        version: str | None = None,
        at: When = None,
    ) -> None:
        """
        Start *orchestration* (a function or its registered name) as *instance_id*, now or *at* a virtual time.

        Raises:
            InvalidInput: If it is not registered, or the id exists.
        """
        name = registered_name(orchestration, "orchestration")
        if not self._registry.orchestrations.has(name, version):
            known = ", ".join(map(repr, self._registry.orchestrations.list_names())) or "nothing"
            of_version = "" if version is None else f" in version {version}"
            msg = (
                f"there is no orchestration {name!r}{of_version} in the registry of this simulation, which knows {known}."
                " Register it, or correct the name."
            )
            raise InvalidInput(msg)
        self._send(
            at,
            f"the start of {instance_id!r}",
            lambda: self._client.start_orchestration(
                instance_id, orchestration, input, version=version, if_exists="reject"
            ),
        )

    def raise_event(self, instance_id: str, name: str, data: object = None, *, at: When = None) -> None:
        """Raise the event *name*, now or *at* a virtual time. Raises InvalidInput when there is no such instance then."""
        what = f"event {name!r} for {instance_id!r}"
        self._send(at, what, lambda: self._client.raise_event(self._existing(instance_id, what), name, data))

    def enqueue_event(self, instance_id: str, queue: str, data: object = None, *, at: When = None) -> None:
        """Put *data* into a queue, now or *at* a virtual time. Raises InvalidInput when there is no such instance then."""
        what = f"a message in queue {queue!r} of {instance_id!r}"
        self._send(at, what, lambda: self._client.enqueue_event(self._existing(instance_id, what), queue, data))

    def cancel_instance(self, instance_id: str, reason: str = "", *, at: When = None) -> None:
        """Cancel, now or *at* a virtual time. Raises InvalidInput when there is no such instance then."""
        what = f"the cancellation of {instance_id!r}"
        self._send(at, what, lambda: self._client.cancel_instance(self._existing(instance_id, what), reason))

    def _send(self, at: When, what: str, send: Callable[[], object]) -> None:
        if at is None:
            send()
        else:
            self._inputs.add(at, what, send)

    def _existing(self, instance_id: str, what: str) -> str:
        if not self._store.exists(instance_id):
            known = ", ".join(map(repr, self._store.instance_ids())) or "nothing"
            msg = f"{what}: there is no such instance at {in_words(self.elapsed)}; there is {known}. Start it first."
            raise InvalidInput(msg)
        return instance_id

    # Going on

    def enabled(self, faults: Faults | None = None) -> tuple[Step, ...]:
        """
        Return what can happen next, what `run` would do first; empty when nothing is left to do.

        Args:
            faults: What may also go wrong; those steps come last. By default nothing may.
        """
        return self._world.enabled(Faults.none() if faults is None else checked_faults(faults))

    def step(self, step: Step | None = None) -> Happened:
        """
        Make one *step* of those that `enabled` returns (faults included), by default its first.

        Raises:
            InvalidInput: If that cannot happen now.

            StillRunning: If nothing can happen at all.

            NondeterminismError: If what a turn decides does not come out again when it is replayed.
        """
        possible = self.enabled() if step is None else self.enabled(Faults())
        if step is None and not possible:
            raise StillRunning(self._explained("there is no step to make"))
        if step is None:
            step = possible[0]
        elif step not in possible:
            options = "\n".join(f"  {each}" for each in possible) or "  nothing"
            msg = f"{step} cannot happen now. What can:\n{options}\nChoose from enabled()."
            raise InvalidInput(msg)
        return self.make(step)

    def make(self, step: Step) -> Happened:
        """Make a *step* that is known to be enabled: `step` without the check."""
        at = self.elapsed
        self._seen = len(self._store.journal)
        text = self._world.make(step)
        happened = Happened(step, at, text)
        self._trace.append(happened)
        if self._fakes.unknown:
            self._fakes.known_name(self._fakes.unknown[0])
        if self._fakes.endings:
            raise self._fakes.endings.pop()
        for written in self.committed:
            raise_what_ends_test(written)
        if self._replays is not None:
            for written in self.committed:
                self._replays.check(written)
        return happened

    def run(
        self,
        until: Duration | Callable[[Simulator], bool] | None = None,
        *,
        choose: Callable[[tuple[Step, ...]], Step] | None = None,
        max_steps: int = MAX_STEPS,
    ) -> tuple[Waiting, ...]:
        """
        Go on until nothing is left to do, and return which instances have not ended, and what they wait for.

        Args:
            until: Stop before: when so much virtual time has passed from now (a timedelta, or seconds), or as soon as
                a function of the simulator returns true.

            choose: Picks one of several possible steps; by default the first.

            max_steps: When to give up.

        Raises:
            StillRunning: If *until* never became true, or there was no end after *max_steps*.

            NondeterminismError: As `step`.
        """
        deadline = None if until is None or callable(until) else self._clock.ms + duration_ms(until, what="until")
        begun_at, first = self.elapsed, len(self._trace)
        for _ in range(max_steps):
            if callable(until) and until(self):
                self.check_rest()
                return self.waiting()
            step = self._world.first(before_ms=deadline)
            if step is None:
                break
            if choose is not None:
                possible = self._world.enabled(Faults.none(), before_ms=deadline)
                step = choose(possible) if len(possible) > 1 else step
            self.make(step)
        else:
            remedy = "stop before: run(until=…)" if deadline is None else "let it wait for a timer that takes its time"
            msg = (
                f"there was no end after {max_steps} steps, in which {in_words(self.elapsed - begun_at)} of virtual time"
                f" passed{self._busiest(first)}. If it is meant to go on without end, {remedy}; max_steps= allows more"
            )
            raise StillRunning(self._explained(msg))
        self.check_rest()
        if callable(until):
            raise StillRunning(
                self._explained("what run() was to go on until did not come true, and nothing is left to do")
            )
        if deadline is not None:
            self._world.pass_to(deadline)
        return self.waiting()

    def check_rest(self) -> None:
        """
        Replay the last turns of long histories, which `step` puts off; `run` does so in the end.

        Raises:
            NondeterminismError: As `step`.
        """
        if self._replays is not None:
            self._replays.check_rest()

    # How things stand

    @property
    def now(self) -> datetime:
        """The virtual time, in UTC."""
        return datetime.fromtimestamp(self._clock.ms / 1000, UTC)

    @property
    def elapsed(self) -> timedelta:
        """How much virtual time has passed since the beginning."""
        return self._clock.elapsed

    @property
    def client(self) -> Client:
        """A client of the simulated store, for everything else that clients ask. What it waits for does not come."""
        return self._client

    @property
    def trace(self) -> tuple[Happened, ...]:
        """Every step so far; ``str()`` of one is a line of text, which begins with ``!`` if it was a fault."""
        return tuple(self._trace)

    @property
    def committed(self) -> list[Written]:
        """The commits of the last step that were accepted."""
        return [written for written in self._store.journal[self._seen :] if written.is_accepted]

    @property
    def instances(self) -> list[str]:
        """The ids of all instances, children included, in the order in which they began."""
        return self._store.instance_ids()

    def status(self, instance_id: str) -> OrchestrationStatus:
        """Return how the instance stands."""
        return self._client.get_orchestration_status(instance_id)

    def result(self, instance_id: str, type: object = None) -> Any:
        """
        Return the output of an instance that has completed, as *type* if given.

        Raises:
            StillRunning: If it has not ended; the message says what it waits for.

            OrchestrationFailed: If it failed or was cancelled.

            InvalidInput: If there is no such instance.
        """
        if isinstance(self.status(self._existing(instance_id, f"the result of {instance_id!r}")), Running | NotFound):
            raise StillRunning(self._explained(f"{instance_id!r} has no result yet"))
        return self._client.wait_for_result(instance_id, 0, Any if type is None else type)

    def history(self, instance_id: str, execution_id: int | None = None) -> tuple[Event, ...]:
        """Return the events of an execution (None: the current one), oldest first."""
        return self._client.read_execution_history(instance_id, execution_id)

    def calls(self, activity: Activity) -> tuple[Call, ...]:
        """Return every run of the code of *activity*, or of its fake, in order; after a crash there may be more than one."""
        name = self._fakes.known_name(activity)
        return tuple(call for call in self._fakes.calls if call.activity == name)

    def waiting(self) -> tuple[Waiting, ...]:
        """Return which instances have not ended, and what each waits for."""
        ids = [each for each in self.instances if isinstance(self.status(each), Running)]
        return tuple(Waiting(each, tell_waiting(self.history(each))) for each in ids)

    def audit(self) -> list[Violation]:
        """Return everything in which the store breaks the conservation law; nothing, as long as no work was lost."""
        return self._store.audit()

    def _busiest(self, first: int) -> str:
        """Return which instance had most of the turns since step *first*, if any had turns."""
        turns = Counter(each.step.instance_id for each in self._trace[first:] if isinstance(each.step, Turn))
        return "".join(f"; {count} of them were turns of {busiest!r}" for busiest, count in turns.most_common(1))

    def _explained(self, problem: str) -> str:
        lines: Iterable[str] = (f"  {each}" for each in self.waiting())
        return "\n".join([f"{problem}. After {in_words(self.elapsed)} of virtual time:", *lines])


def _checked_fakes(activities: object) -> Mapping[Any, Callable[..., Any]]:
    if activities is not None and not isinstance(activities, Mapping):
        msg = f"activities is {activities!r}: give a dict from each activity, or its name, to what is called instead."
        raise InvalidInput(msg)
    return activities or {}


def _checked_options(options: object) -> RuntimeOptions:
    if options is None:
        return RuntimeOptions(worker_tag_filter=TagFilter(tags=None))
    if not isinstance(options, RuntimeOptions):
        msg = f"options is {options!r}: give RuntimeOptions(…)."
        raise InvalidInput(msg)
    return options


def _checked(registry: object) -> Registry:
    if not isinstance(registry, Registry):
        msg = f"the registry of a Simulator is {registry!r}: pass a duroxide.Registry with the functions to run."
        raise InvalidInput(msg)
    return registry
