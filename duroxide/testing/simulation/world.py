"""
The world of a simulation: which steps are possible now, and what happens in each.

One process runs at a time. One that died is gone; one that hangs keeps what it had begun, and may wake up late.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from attrs import evolve

from ..._core import events as e
from ..._core.commit import ExecutionStatus, Outgoing
from ..._core.messages import ActivityKey, Deliver
from ..._core.registry import Registry
from ..._runtime.options import RuntimeOptions
from ..._runtime.slots import RunningActivity
from ...client import Client
from .clock import VirtualClock
from .fakes import Fakes
from .inputs import Inputs
from .process import Process
from .steps import Arrive, Crash, Evict, Faults, Finish, Hang, Pass, Repeat, Step, Turn, Wake, in_words
from .store import Death, Outage, Queues, SimulatedStore, Written
from .words import tell_commit, tell_outcome


_NONE = Faults.none()
_MILLISECOND = timedelta(milliseconds=1)


class World:
    """Processes, a store, and a clock."""

    def __init__(
        self,
        store: SimulatedStore,
        clock: VirtualClock,
        inputs: Inputs,
        fakes: Fakes,
        *,
        registry: Registry,
        options: RuntimeOptions,
    ) -> None:
        self._store = store
        self._clock = clock
        self._inputs = inputs
        self._fakes = fakes
        self._registry = registry
        self._options = options
        self._client = Client(store, limits=options.limits)
        self._started = 0
        self._hanging: list[Process] = []
        self._process = self._new_process()
        #: When an activity that takes its time is over, in milliseconds since the epoch.
        self._ends: dict[ActivityKey, int] = {}
        #: The last completion of each running execution, to be delivered once more. No store has two of a timer.
        self._answers: dict[tuple[str, int], Repeat] = {}
        self._known: Queues | None = None
        self._subscription = store.wakeups.on_messages(self._changed)

    def close(self) -> None:
        """Let go of everything."""
        self._subscription.close()
        for process in (self._process, *self._hanging):
            process.dispatcher.forget()

    # What can happen

    def first(self, *, before_ms: int | None = None) -> Step | None:
        """Return the most natural step, the first of `enabled`, without looking at all the others."""
        queues = self._queues()
        return next(self._usual(queues), None) or next(iter(self._passing(queues, before_ms)), None)

    def enabled(self, faults: Faults, *, before_ms: int | None = None) -> tuple[Step, ...]:
        """Return the possible steps, the most natural first, faults last; time passes no further than *before_ms*."""
        queues = self._queues()
        usual = list(self._usual(queues))
        passing = self._passing(queues, before_ms)
        natural = usual or passing
        if faults == _NONE:
            return tuple(natural)
        slow = [evolve(each, early=True) for each in passing] if usual and self._may_be_slow(faults) else []
        return (*natural, *self._late(), *self._faults(faults, usual), *slow)

    def _passing(self, queues: Queues, before_ms: int | None) -> list[Pass]:
        """Return that time passes to what is due next, if that is no later than *before_ms*."""
        due_ms = self._due_ms(queues)
        return [] if due_ms is None or (before_ms is not None and due_ms > before_ms) else [Pass(due_ms)]

    def _may_be_slow(self, faults: Faults) -> bool:
        """Whether time may pass with work at hand. What has ended and waits to be stored keeps no lock meanwhile."""
        return faults.delays and (faults.takeovers or not self._process.dispatcher.inbox)

    def _queues(self) -> Queues:
        """Return what waits; it is looked up again when something may have changed."""
        if self._known is None:
            self._known = self._store.queues([each.lock for each in self._process.held])
        return self._known

    def _changed(self, _: object = None) -> None:
        self._known = None

    def _usual(self, queues: Queues) -> Iterator[Step]:
        """Yield what a healthy process may do now; of what arrives at set times only the next."""
        for due in self._inputs.due(self._clock.ms)[:1]:
            yield due.step
        for instance_id in dict.fromkeys((*queues.instances, *self._process.dispatcher.inbox)):
            yield Turn(instance_id)
        held = sorted(self._process.held, key=self._end_ms)
        for running in held:
            if self._end_ms(running) <= self._clock.ms:
                yield _finish(running, self._process)
        for sent in self._inputs.any_time():
            yield sent.step

    def _late(self) -> Iterator[Step]:
        """Yield what processes that hung may still do: go on, or just run an activity that they had begun."""
        for process in self._hanging:
            yield Wake(process.number)
            for running in process.held:
                yield _finish(running, process)

    def _faults(self, faults: Faults, usual: list[Step]) -> Iterator[Step]:
        if faults.failures:
            yield from (evolve(step, fails=True) for step in usual if isinstance(step, Finish))
        if faults.evictions and self._process.dispatcher.cached:
            yield Evict()
        if faults.crashes:
            yield from self._crashes(usual)
        if faults.outages:
            yield from _in_trouble(usual, Outage)
        if faults.takeovers and self._process.is_busy:
            yield Hang()
        if faults.duplicates:
            yield from self._answers.values()

    def _crashes(self, usual: list[Step]) -> Iterator[Step]:
        """Yield the ways in which the process can die: where it is, and around each commit that it might make."""
        if self._process.is_busy:
            yield Crash()
        yield from _in_trouble(usual, Death)

    def _end_ms(self, running: RunningActivity) -> int:
        """Return when an activity is over; one that was cancelled may notice at once."""
        return 0 if running.cancelled_at is not None else self._ends.get(running.lock.key, 0)

    def _due_ms(self, queues: Queues) -> int | None:
        """Return when something more can happen, if nobody does anything before."""
        now_ms = self._clock.ms
        ends = [self._end_ms(running) for running in self._process.held]
        times = [queues.due_ms, self._inputs.next_due_ms(now_ms), *(end for end in ends if end > now_ms)]
        return min((each for each in times if each is not None), default=None)

    # What happens

    def make(self, step: Step) -> str:
        """Let *step*, which is possible, happen; return what happened, in words."""
        try:
            text = self._make(step)
            self._changed()
            self._fetch()
        finally:
            self._changed()
        return text

    def _make(self, step: Step) -> str:
        match step:
            case Arrive(number=number, what=what):
                self._inputs.take(number).send()
                return f"{what} arrives"
            case Turn():
                return self._turn(step)
            case Finish():
                return self._finish(step)
            case Pass(until_ms=until_ms, early=early):
                passed = in_words(timedelta(milliseconds=until_ms - self._clock.ms))
                self.pass_to(until_ms)
                return f"everything is slow: {passed} pass" if early else f"{passed} pass"
            case Wake(process=number):
                return self._wake(self._numbered(number))
            case Repeat():
                return self._repeat(step)
            case _:
                return self._process_fault(step)

    def _process_fault(self, step: Step) -> str:
        process = self._process
        match step:
            case Evict():
                process.dispatcher.forget()
                return "the process forgets its live executions"
            case Hang():
                self._hanging.append(process)
                lost = "hangs, and another one starts"
            case _:
                process.dispatcher.forget()
                lost = "dies, and another one starts"
        had = ", ".join(
            (
                *(f"{each.work.name} had not ended" for each in process.held),
                *(f"an outcome for {each} was not written down" for each in process.dispatcher.inbox),
            )
        )
        self._process = self._new_process()
        return f"the process {lost}" + (f" ({had})" if had else "")

    def _wake(self, process: Process) -> str:
        self._hanging.remove(process)
        self._hanging.append(self._process)
        self._process, before = process, self._process
        return f"process {process.number} wakes up, and process {before.number} hangs"

    def pass_to(self, until_ms: int) -> None:
        """Let time pass; the process that is alive keeps its locks, and ends activities that nobody began in time."""
        self._process.keep_alive(until_ms - self._clock.ms)
        self._clock.ms = until_ms
        self._process.worker.end_expired()
        self._changed()
        self._fetch()

    def _fetch(self) -> None:
        """Let the process take the activities that wait: a worker with free slots does so at once."""
        if self._queues().has_activities:
            self._process.worker.fetch()
            self._changed()
        for running in self._process.held:
            if running.lock.key not in self._ends:
                takes = self._fakes.takes(running.work.name)
                self._ends[running.lock.key] = self._clock.ms + takes // _MILLISECOND

    def _turn(self, step: Turn) -> str:
        self._store.obey(only=step.instance_id, trouble=step.trouble)
        try:
            told = self._round(self._process)
        finally:
            self._store.obey()
        match step.trouble:
            case None:
                return told or f"turn of {step.instance_id}: nothing comes of it"
            case Death():
                self._process.dispatcher.forget()
                self._process = self._new_process()
                what = f"the process dies {step.trouble.value}, and another one starts"
            case Outage():
                what = f"the store fails {step.trouble.value}"
        return f"{told or f'turn of {step.instance_id}'}; {what}"

    def _round(self, process: Process) -> str:
        """Run a round of *process*; return what its commits say."""
        count = len(self._store.journal)
        fetch = process is self._process and bool(self._queues().instances)
        process.dispatcher.round(fetch=fetch)
        if fetch and self._store.is_well and len(self._store.journal) == count:
            process.dispatcher.round(fetch=True)  # the first went to what is in memory, and found nothing to do
        written = self._store.journal[count:]
        for each in written:
            self._remember_answer(each)
        return "; ".join(f"turn of {each.commit.instance_id}: {tell_commit(each)}" for each in written)

    def _remember_answer(self, written: Written) -> None:
        commit = written.commit
        place = (commit.instance_id, commit.execution_id)
        if not written.is_accepted:
            return
        for event in commit.events:
            if isinstance(event, e.CompletionEvent) and not isinstance(event, e.TimerFired):
                self._answers[place] = Repeat(*place, event)
        if commit.status is not ExecutionStatus.RUNNING:
            self._answers.pop(place, None)

    def _finish(self, step: Finish) -> str:
        process = self._process if step.process == self._process.number else self._numbered(step.process)
        running = next(each for each in process.held if each.lock.key == step.key)
        error = ConnectionError("injected by the simulation") if step.fails else None
        again = " again" if self._fakes.has_run(step.key) else ""
        outcome = process.worker.run(running, error)
        self._ends.pop(step.key, None)
        what = f"{step.name} of {step.key.instance_id}"
        text = f"{what} fails: {error}" if step.fails else f"{what} runs{again}, {tell_outcome(outcome)}"
        if process is self._process:
            return text
        return f"process {process.number} wakes up: {text}; {self._round(process) or 'nobody wants it any more'}"

    def _repeat(self, step: Repeat) -> str:
        copy = evolve(step.event, event_id=0, timestamp_ms=0)
        self._store.enqueue([Outgoing(Deliver(step.instance_id, step.execution_id, copy))])
        return f"the message that event {step.event.source_event_id} of {step.instance_id} is answered comes again"

    def _numbered(self, number: int) -> Process:
        return next(process for process in self._hanging if process.number == number)

    def _new_process(self) -> Process:
        self._started += 1
        return Process(
            self._started, self._store, self._registry, self._options, find=self._fakes.find, client=self._client
        )


def _in_trouble(usual: list[Step], kind: type[Death | Outage]) -> Iterator[Step]:
    for trouble in kind:
        yield from (Turn(step.instance_id, trouble) for step in usual if isinstance(step, Turn))


def _finish(running: RunningActivity, process: Process) -> Finish:
    return Finish(running.work.name, running.lock.key, process.number)
