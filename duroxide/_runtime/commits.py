"""
The commits of a round: sent, written in one transaction, and what becomes of each.

What was accepted is true from now on: its execution is kept, its activities run. What was refused never
happened: its execution is thrown away, its messages are put back, its outcomes go the general way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial

from .._core.commit import ActivityLock, CommitResult, ExecutionStatus, TurnCommit
from .._core.messages import ActivityExecute, ActivityKey
from .._nouns import noun
from ..errors import ProviderError
from ..providers.contract import ActivityAck, Provider, Release
from ..providers.pipelined import Pipelined
from .activities import ActivityWorker, Finished
from .cache import ExecutionCache
from .complaints import Complaints
from .metrics import Metrics
from .offers import as_unknown
from .options import RuntimeOptions, milliseconds
from .pauses import pause_after
from .returns import Returns
from .timers import Timers
from .turns import UNREADABLE_DELAY_MS, Round, Turned


_log = Complaints("duroxide.runtime")

#: After a failure of the store that its own retries did not get over, in seconds.
PAUSE_AFTER_FAILURE = 0.05


@noun
class SentRound:
    """A round whose commits are under way."""

    round: Round
    #: Waits for them.
    results: Callable[[], Sequence[CommitResult]]

    @cached_property
    def instance_ids(self) -> frozenset[str]:
        """Whose executions are neither in the cache nor to be read from the store until then."""
        return frozenset([each.commit.instance_id for each in self.round.turns])


class Commits:
    """
    Writes turns down, in the thread of the round.

    Args:
        again: Takes outcomes that could not be stored, to be tried in another round, and waits for some seconds.

        look: Called when instances were put back, so that they are fetched again.
    """

    #: After a failure of the store, in seconds; doubled while outcomes cannot be stored.
    pause = PAUSE_AFTER_FAILURE

    def __init__(
        self,
        provider: Provider,
        options: RuntimeOptions,
        cache: ExecutionCache,
        returns: Returns,
        timers: Timers,
        *,
        metrics: Metrics,
        again: Callable[[Iterable[Finished], float], None],
        look: Callable[[], None],
    ) -> None:
        self._provider = provider
        self._pipelined = provider if isinstance(provider, Pipelined) else None
        self._lock_ms = milliseconds(options.worker_lock_timeout)
        self._metrics = metrics
        self._cache = cache
        self._returns = returns
        self._timers = timers
        self._again = again
        self._look = look
        #: How often in a row outcomes could not be stored.
        self._failures = 0
        #: Whether the store has refused the last outcomes for good: it is closed, say.
        self.is_refused = False

    @property
    def is_pipelined(self) -> bool:
        """Whether what is sent is under way while this thread does something else."""
        return self._pipelined is not None

    def send(self, round_: Round) -> SentRound:
        """Begin to write the turns of *round_* in one transaction, where that can be done beside other work."""
        return SentRound(round_, self._sent([each.commit for each in round_.turns]))

    def collect(self, sent: SentRound, worker: ActivityWorker) -> None:
        """See to it that the turns of *sent* are written, and deal with what becomes of each."""
        self._written(sent.round.turns, sent.results, worker)

    def _sent(self, commits: list[TurnCommit]) -> Callable[[], Sequence[CommitResult]]:
        """Return what gets the results of *commits*."""
        if self._pipelined is not None:
            try:
                return self._pipelined.send_turns(commits, lock_ms=self._lock_ms).results
            except Exception as error:  # noqa: BLE001  # raised where those of the store are
                return partial(_raise, error)
        return partial(self._provider.commit_turns, commits, lock_ms=self._lock_ms)

    def _written(
        self, turns: list[Turned], get_results: Callable[[], Sequence[CommitResult]], worker: ActivityWorker
    ) -> None:
        try:
            results = get_results()
        except Exception as error:  # noqa: BLE001  # a bug at one turn must not take others down
            self._not_committed(turns, error, worker)
            return
        claimed = []
        refused: list[Turned] = []
        accepted = [
            each.commit for each, result in zip(turns, results, strict=True) if result is CommitResult.COMMITTED
        ]
        self._metrics.committed(accepted)
        for turned, result in zip(turns, results, strict=True):
            if result is CommitResult.COMMITTED:
                self._settle(turned, worker)
                if turned.offered is not None:
                    turned.offered.stored()
                if turned.commit.eager:
                    claimed.extend(_claimed(turned.commit))
                if len(turned.commit.eager) < len(turned.commit.activities):
                    self._note_expiries(turned.commit, worker)
            else:
                _log.debug("commit of %r refused: %s", turned.commit.instance_id, result.value)
                self.take_back(turned, worker)
                refused.append(turned)
        if claimed:
            worker.run_claimed(claimed)
        if refused:
            self._put_back(refused)
            self.acknowledge([outcome for each in refused for outcome in each.finished])

    def _note_expiries(self, commit: TurnCommit, worker: ActivityWorker) -> None:
        """Look for what was left to anybody when its time to live is over: not before it is in the store."""
        mortal = [(work.key, work.expires_at_ms) for work in commit.activities if work.expires_at_ms is not None]
        claimed = {lock.key for lock in commit.eager} if mortal else set()
        for key, expires_at_ms in mortal:
            if key not in claimed:
                worker.expiries.note(expires_at_ms, self._provider.now_ms())

    def _not_committed(self, turns: list[Turned], error: Exception, worker: ActivityWorker) -> None:
        """The store failed, and the commits may or may not be in it: everything starts again from the store."""
        is_passing = isinstance(error, ProviderError) and error.retryable
        if not is_passing and len(turns) > 1:
            # One of them cannot be written; the others must not suffer.
            for turned in turns:
                self._written([turned], self._sent([turned.commit]), worker)
            return
        _log.warning(
            "a commit of %d turns failed and will be done again: %s",
            *(len(turns), error if isinstance(error, ProviderError) else repr(error)),
            exc_info=None if isinstance(error, ProviderError) else error,
        )
        for turned in turns:
            if turned.offered is not None:
                turned.offered.failed(as_unknown(error))
            self.take_back(turned, worker)
        self._again([outcome for each in turns for outcome in each.finished], self.pause)
        # If it is in the store after all, these are locked by us, and nobody runs them.
        self._returns.activities(Release(lock, 0, ignore_attempt=True) for each in turns for lock in each.commit.eager)
        if is_passing:
            self._put_back(turns)
        else:
            self._returns.instances(Release(each.item.lock, UNREADABLE_DELAY_MS) for each in turns if each.item)

    def _settle(self, turned: Turned, worker: ActivityWorker) -> None:
        """The commit is in the store: the execution is what it says, and cancelled activities are told."""
        commit, execution = turned.commit, turned.execution
        turned.is_over = True
        if commit.cancelled_activities:
            worker.cancel(
                ActivityKey(commit.instance_id, commit.execution_id, activity_id)
                for activity_id in commit.cancelled_activities
            )
        if execution is None:
            return
        if commit.status is ExecutionStatus.RUNNING:
            execution.confirm(commit)
            self._cache.keep(execution)
            if commit.messages:
                self._timers.add(commit)
        else:
            execution.close()

    def take_back(self, turned: Turned, worker: ActivityWorker) -> None:
        """The commit is not in the store: what is in memory is not true any more."""
        if turned.is_over:
            return
        turned.is_over = True
        worker.unclaim(len(turned.commit.eager))
        if turned.execution is not None:
            turned.execution.close()
        if turned.offered is not None:
            turned.offered.declined()

    def _put_back(self, turns: Iterable[Turned]) -> None:
        """Give instances back at once, without counting the attempt: nothing was wrong with their messages."""
        releases = [Release(each.item.lock, 0, ignore_attempt=True) for each in turns if each.item is not None]
        if releases:
            self._returns.instances(releases)
            self._look()

    def acknowledge(self, outcomes: list[Finished]) -> None:
        """The general way: the outcome becomes a message, for whoever takes the instance next."""
        if not outcomes:
            return
        try:
            held = self._provider.ack_activities([ActivityAck(each.lock, each.outcome) for each in outcomes])
        except ProviderError as error:
            _log.warning("storing %d outcomes failed and will be done again: %s", len(outcomes), error)
            for each in outcomes:
                self._cache.evict(each.lock.key.instance_id)
            self.is_refused = not error.retryable
            self._failures += 1
            self._again(outcomes, pause_after(self._failures, self.pause))
            return
        self._failures, self.is_refused = 0, False
        for each, was_held in zip(outcomes, held, strict=True):
            if not was_held:
                _log.info(
                    "the result of activity %d of %r is not wanted any more, and dropped",
                    each.lock.key.activity_id,
                    each.lock.key.instance_id,
                    extra={"action": "result_dropped", "instance_id": each.lock.key.instance_id},
                )


def _raise(error: Exception) -> Sequence[CommitResult]:
    raise error


def _claimed(commit: TurnCommit) -> list[tuple[ActivityExecute, ActivityLock]]:
    """Return the eager activities of *commit* with their locks."""
    if len(commit.eager) == len(commit.activities):
        return list(zip(commit.activities, commit.eager, strict=True))
    locks = {lock.key: lock for lock in commit.eager}
    return [(work, locks[work.key]) for work in commit.activities if work.key in locks]
