"""
The orchestration side: rounds of fetch, turn and commit.

A round takes whatever has come up since the last one — fetched instances, and outcomes of this
runtime's own activities — runs a turn for each instance concerned, and commits all of them in one
transaction. While it commits, the next round's work piles up: the busier it gets, the larger the batches.

Where the store works while this process does something else, a round's commits are sent, and the turns of the next
round, of other instances, are run before the answer is collected. Who has nothing else to do waits for it at once.

A round is run by whoever holds the baton: the dispatcher's thread, which puts it down only to wait, or the thread of an
activity that has ended while nothing else was going on. One thread after the other is what a chain of activities needs:
to wake another one for each step would take a fifth of the time.

Rule 1: an execution that has advanced without its commit being accepted is thrown away. It is a cache.

Rule 2: a commit that is refused, or a store that fails, costs time, never an instance: the messages
are put back and do not count as tried.

Rule 3: while commits are under way, nothing else is asked of the store, and their instances have no turn.
"""

from __future__ import annotations

import logging
import threading

from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from contextvars import Context

from .._clock import monotonic
from .._core.registry import Registry
from .._core.versions import VersionRange
from .._version import __version__
from ..errors import ProviderError
from ..providers.contract import OrchestrationItem, Provider, Release
from ..providers.handover import Offer
from .activities import ActivityWorker, Finished
from .agenda import Agenda
from .bell import Bell
from .cache import ExecutionCache
from .commits import PAUSE_AFTER_FAILURE, Commits, SentRound
from .garbage import COLLECTOR
from .metrics import Metrics
from .offers import Desk, Offers
from .options import RuntimeOptions, milliseconds
from .pauses import pause_after
from .returns import Returns
from .timers import DueTimer, Timers
from .turns import Round, Turns


_log = logging.getLogger("duroxide.runtime")

#: Outcomes that are not divided any more, so that half of them is under way while the other half has its turns.
_WORTH_A_ROUND = 32

#: How long the thread may take to end after the time-out of a shutdown, in seconds.
_LAST_WORDS = 1.0


class Dispatcher:
    """Runs the turns of one runtime, one round after the other."""

    def __init__(
        self, provider: Provider, registry: Registry, options: RuntimeOptions, *, runtime_id: str, metrics: Metrics
    ) -> None:
        self._provider = provider
        self._options = options
        self._metrics = metrics
        self._lock_ms = milliseconds(options.orchestrator_lock_timeout)
        self._replayable = options.supported_replay_versions or VersionRange.between("0.0.0", __version__)
        self._cache = ExecutionCache(options.cache_size)
        self._inbox: deque[Finished] = deque()
        self._returns = Returns(provider)
        self._timers = Timers()
        #: Whether the last round fired timers instead of fetching.
        self._is_timers_turn = False
        self._agenda = Agenda(provider, options.poll_interval.total_seconds())
        self._turns = Turns(provider, registry, options, self._cache, self._returns, self._agenda, worker_id=runtime_id)
        self._commits = Commits(
            provider,
            options,
            self._cache,
            self._returns,
            self._timers,
            metrics=metrics,
            again=self._take_again,
            look=lambda: self.notice_messages(None),
        )
        self._bell = Bell()
        #: Held by whoever runs a round; the dispatcher's thread puts it down only to wait.
        self._baton = threading.Lock()
        #: Whether the dispatcher's thread waits for the baton: then nobody else takes it.
        self._wants_baton = False
        #: One for all rounds: what an activity has set for its thread, Decimal's precision say, is none of theirs.
        self._context = Context()
        #: Where clients of this process lay down what they would hand over.
        self.desk = Desk(options.batch_size, self._bell.ring)
        self._offers = Offers(self.desk, self._turns, self._cache)
        #: Whether this runtime runs orchestrations, or just stores the outcomes of activities.
        self._takes_messages = options.orchestration_concurrency > 0
        self._has_messages = self._takes_messages
        self._is_stopping = False
        self._stopping = threading.Event()
        self._stop_by = 0.0
        #: The round whose commits are under way.
        self._sent: SentRound | None = None
        #: How many instances are still to be fetched one by one, since one of several has met a bug, or is suspicious.
        self._to_be_alone = 0
        #: What the round of this moment has fetched.
        self._items: tuple[OrchestrationItem, ...] = ()
        self.worker: ActivityWorker
        self._thread = threading.Thread(target=self._loop, name=f"duroxide-dispatch-{runtime_id[-6:]}", daemon=True)

    # Life

    def start(self, worker: ActivityWorker) -> None:
        """Begin, with *worker* to run eager activities."""
        self.worker = worker
        lowest, highest = self._replayable.lowest, self._replayable.highest
        _log.info(
            "takes executions that releases %d.%d.%d to %d.%d.%d of duroxide began",
            *(lowest.major, lowest.minor, lowest.patch),
            *(highest.major, highest.minor, highest.patch),
            extra={"action": "replayable_releases"},
        )
        self._thread.start()

    def stop(self, timeout: float) -> bool:
        """
        End after the round that is under way, and after what is in the inbox; return whether it has.

        What cannot be stored within *timeout* seconds is given back.
        """
        self._stop_by = monotonic() + timeout
        self._is_stopping = True
        self._stopping.set()
        self._bell.ring()
        if self._thread.is_alive():
            self._thread.join(timeout + _LAST_WORDS)
        return not self._thread.is_alive()

    def take(self, finished: Finished, *, quietly: bool = False) -> None:
        """Take the outcome of an activity, and ring; not if *quietly*: who says so calls `lead` then. From any thread."""
        self._inbox.append(finished)
        if not quietly:
            self._bell.ring()

    def _take_again(self, outcomes: Iterable[Finished], seconds: float) -> None:
        """Take outcomes back that could not be stored, and leave the store alone for a while."""
        self._inbox.extend(outcomes)
        self._rest(seconds)

    def lead(self) -> None:
        """Run a round in the thread that calls, if nobody is at one. What it leaves is the dispatcher's."""
        if self._wants_baton or not self._baton.acquire(blocking=False):
            self._bell.ring()
            return
        try:
            self._run_round()
            self._collect()  # an answer is for the thread that has sent
            if not self._has_work():
                self.desk.open()
        except BaseException as error:  # noqa: BLE001  # as in the loop, which tries again, and knows how often it did
            self._failed(error, 0.0)
        finally:
            self._baton.release()
        if self._has_work() or self._agenda.has_question:
            self._bell.ring()

    def notice_messages(self, due_ms: int | None) -> None:
        """Take note that there are messages, now or (*due_ms*, milliseconds since the epoch) later."""
        if due_ms is None:
            self._has_messages = True
        elif not self._agenda.note(due_ms):
            return
        self._bell.ring()

    @property
    def is_current(self) -> bool:
        """Whether the thread that asks is the dispatcher's own."""
        return threading.current_thread() is self._thread

    @property
    def held(self) -> tuple[OrchestrationItem, ...]:
        """The instances of the rounds under way, whose locks are to be renewed if it takes long."""
        sent = self._sent
        return self._items if sent is None else (*sent.round.items, *self._items)

    def look_at_turn(self) -> None:
        """Say so if the code of a turn runs for long already. From any thread."""
        self._turns.watch.look()

    # The loop

    def _loop(self) -> None:
        self._baton.acquire()  # and not put down in the end: nobody is to run a round any more
        failures = 0
        while self._sent or not self._is_done:
            try:
                self._wait()
                self._run_round()
                failures = 0
            except BaseException as error:  # noqa: BLE001  # this loop must not die: whatever the store, a bug or sys.exit() raises, the next round may work
                failures += 1
                pause = pause_after(failures, PAUSE_AFTER_FAILURE)
                self._failed(error, pause)
                self._rest(pause)
        self._cache.clear()
        self._returns.activities(Release(each.lock) for each in self._inbox)

    @property
    def _is_done(self) -> bool:
        """Whether this is to stop, and has nothing left that it can store."""
        return self._is_stopping and (not self._inbox or self._commits.is_refused or monotonic() >= self._stop_by)

    def _rest(self, seconds: float) -> None:
        """Leave the store alone for a while."""
        if self._is_stopping:
            threading.Event().wait(min(seconds, PAUSE_AFTER_FAILURE))
        else:
            self._stopping.wait(seconds)

    def _run_round(self) -> None:
        began_at = monotonic()
        with COLLECTOR:
            turns = self._context.run(self._round)
        self.desk.after_round(turns, monotonic() - began_at)

    def _failed(self, error: BaseException, pause: float) -> None:
        self._has_messages = True
        is_bug = not isinstance(error, ProviderError)
        with suppress(Exception):  # a handler of the application's, which may be in the same trouble
            _log.warning("a round failed, next try in %.2f s: %s", pause, error, exc_info=error if is_bug else None)

    def _wait(self) -> None:
        """Wait for work: an outcome, a message, an offer, a due timer, or the slow poll."""
        while not self._has_work():
            self._bell.silence()
            if self._has_work():
                return
            pause = self._pause()
            if (pause <= 0 or not self._idle(pause)) and self._pause() <= 0:
                # A timer is due, or it is time for the slow poll.
                self._has_messages = True

    def _has_work(self) -> bool:
        return bool(self._inbox or self._has_messages or self._is_stopping or self.desk.has_offers)

    def _idle(self, pause: float) -> bool:
        """Wait up to *pause* seconds, and take offers meanwhile; return whether there is something to do."""
        self.desk.open()
        self._baton.release()
        try:
            return self._bell.wait(pause)
        finally:
            self._wants_baton = True
            self._baton.acquire()
            self._wants_baton = False

    def _pause(self) -> float:
        """Return how many seconds there is nothing to do, as far as is known."""
        if not self._takes_messages:
            return self._options.poll_interval.total_seconds()
        pause = self._agenda.pause()
        if self._agenda.lateness.is_on:  # but not for timers of its own
            pause = min(pause, (self._timers.next_ms - self._provider.now_ms()) / 1000)
        return pause

    def _round(self) -> int:
        """Run a round, and return how many turns it had."""
        round_ = Round((), [], [])
        offers: list[Offer] = []
        try:
            self._take_in(round_)
            offers = self.desk.take() if self.desk.has_offers else []
            self._turns.run(round_, self.worker.claim)
            if offers:
                self._offers.run(offers, round_, self.worker.claim)
            self._collect()
            self._commits.acknowledge(round_.general)
            for turned in self._offers.begin_writing(offers, round_):
                self._commits.take_back(turned, self.worker)
            if round_.turns:
                self._sent = self._commits.send(round_)
        except BaseException as error:  # re-raised
            try:
                self._collect()
            finally:
                self._give_back(round_, error)
            raise
        finally:
            self._items = ()
        if offers or not (self._inbox and self._commits.is_pipelined):
            self._collect()
        return len(round_.turns)

    def _collect(self) -> None:
        """Wait for the commits under way, if there are any, and deal with what becomes of them."""
        if self._sent is None:
            return
        try:
            self._commits.collect(self._sent, self.worker)
        except BaseException as error:  # re-raised
            self._give_back(self._sent.round, error)
            raise
        finally:
            self._sent = None

    def _give_back(self, round_: Round, error: BaseException) -> None:
        """Undo what *round_* has taken, as far as its fate is not known: *error* came in between."""
        self._inbox.extend(round_.finished)  # still locked by this runtime, so still worth something
        if not isinstance(error, ProviderError):
            self._offers.fail(round_, error)
        for turned in round_.turns:
            self._commits.take_back(turned, self.worker)
        # If it is our fault, it counts, or it would go on for ever; but not for those who were merely there.
        is_alone = len(round_.items) == 1
        if not isinstance(error, ProviderError):
            self._to_be_alone = len(round_.items)
        is_counted = is_alone and not isinstance(error, ProviderError)
        self._returns.instances(Release(item.lock, 0, ignore_attempt=not is_counted) for item in round_.items)

    def _take_in(self, round_: Round) -> None:
        """Let *round_* have what has come up."""
        if self._takes_messages and self._agenda.is_time_to_poll:
            self._has_messages = True  # whoever is never idle polls, too
        round_.timers = self._due_timers()
        round_.finished = self._drain()
        if self._sent is not None:
            if self._goes_beside(round_, self._sent):
                return
            self._collect()
            round_.finished += self._drain()
        self._returns.settle()
        if not round_.timers:
            round_.items = self._items = tuple(self._fetch())

    def _goes_beside(self, round_: Round, sent: SentRound) -> bool:
        """Whether *round_*, which has fetched nothing, is run before the answer to *sent* is collected."""
        if self._is_stopping or self._returns.owes or not (round_.timers or round_.finished):
            return False
        if any(timer.instance_id in sent.instance_ids for timer in round_.timers):
            return False
        # Messages are put off by one round, not by more.
        return bool(round_.timers or sent.round.items or not self._has_messages)

    def _due_timers(self) -> list[DueTimer]:
        """Return timers to fire the short way. Not in each round: what is in memory must not keep messages waiting."""
        if not self._timers:
            self._is_timers_turn = False
            return []
        self._is_timers_turn = not self._is_timers_turn
        if not self._is_timers_turn or self._is_stopping:
            return []
        timers = self._timers.take_due(self._provider.now_ms(), self._options.batch_size)
        self._is_timers_turn = bool(timers)
        return timers

    def _fetch(self) -> Sequence[OrchestrationItem]:
        if not self._has_messages or self._is_stopping:
            return ()
        self._has_messages = False
        if not self._takes_messages:
            return ()
        self._agenda.before_fetch()
        limit = self._options.batch_size
        if self._commits.is_pipelined:
            limit = max(limit // 2, 1)  # so that there are two groups
        if self._to_be_alone:
            self._to_be_alone -= 1
            limit = 1
        items = self._provider.fetch_orchestration_items(limit, self._lock_ms, replayable=self._replayable)
        self._agenda.after_fetch()
        if len(items) > 1 and any(map(self._turns.is_suspicious, items)):
            self._separate(items)
            return ()
        self._metrics.fetched(instances=len(items))
        if len(items) == limit:
            self._has_messages = True
        return items

    def _separate(self, items: Sequence[OrchestrationItem]) -> None:
        """Take *items* one by one: if one of them is what ends its runtimes, the others are not to be poison with it."""
        self._to_be_alone = len(items)
        self._has_messages = True
        self._returns.instances(Release(item.lock, 0, ignore_attempt=True) for item in items)

    def _drain(self) -> list[Finished]:
        """Take outcomes out of the inbox, except those of instances whose commits are under way."""
        if not self._inbox:
            return []
        busy: frozenset[str] = frozenset() if self._sent is None else self._sent.instance_ids
        most = self._options.batch_size
        if self._commits.is_pipelined:
            most = min(most, max(len(self._inbox) // 2, _WORTH_A_ROUND))
        finished: list[Finished] = []
        busy_ones: list[Finished] = []
        while self._inbox and len(finished) + len(busy_ones) < most:
            each = self._inbox.popleft()
            (busy_ones if each.lock.key.instance_id in busy else finished).append(each)
        self._inbox.extendleft(reversed(busy_ones))
        return finished
