"""
Keeps the locks of this runtime alive, all with one statement, and learns which activities were cancelled.

A lock that is not ours any more (the row is gone, or somebody else's) cancels the activity. A database
that does not answer does not: it is asked again until it does, or until the locks have expired.
"""

from __future__ import annotations

import logging
import threading

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

from .._clock import monotonic
from .._core.commit import InstanceLock
from ..errors import ProviderError
from ..providers.contract import Provider
from .activities import ActivityWorker
from .dispatcher import Dispatcher
from .garbage import COLLECTOR
from .options import RuntimeOptions, milliseconds
from .slots import RunningActivity
from .stopping import end


_log = logging.getLogger("duroxide.runtime")

#: A lock is renewed when this share of its time is over, so that two renewals may fail.
_RENEW_AFTER = 1 / 3


class Leases:
    """One thread that renews everything this runtime holds."""

    def __init__(
        self,
        provider: Provider,
        options: RuntimeOptions,
        *,
        worker: ActivityWorker,
        dispatcher: Dispatcher,
        worker_id: str,
    ) -> None:
        self._provider = provider
        self._options = options
        self._worker = worker
        self._dispatcher = dispatcher
        self._worker_id = worker_id
        self._expiries = worker.expiries
        self._is_stopping = False
        shortest = min(options.worker_lock_timeout, options.orchestrator_lock_timeout, options.session_lock_timeout)
        self._tick = min(shortest * _RENEW_AFTER / 2, options.cancellation_poll_interval).total_seconds()
        self._instances_renewed_at: dict[InstanceLock, float] = {}
        self._sessions_renewed_at = monotonic()
        self._sessions_removed_at = monotonic()
        self._expired_ended_at = 0.0
        self._tick_at = 0.0
        self._thread = threading.Thread(target=self._loop, name=f"duroxide-leases-{worker_id[-6:]}", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self, timeout: float) -> None:
        """End, and wait up to *timeout* seconds for what is under way."""
        self._is_stopping = True
        self._expiries.bell.ring()
        end(self._thread, timeout)

    def _loop(self) -> None:
        self._tick_at = monotonic() + self._tick
        while not self._is_stopping:
            pause = self._pause()
            if pause > 0 and self._expiries.bell.wait(pause):
                continue
            if monotonic() >= self._tick_at:
                self._run_jobs()
                self._tick_at = monotonic() + self._tick
            else:
                self._try(self._end_expired)

    def _pause(self) -> float:
        """Return how many seconds there is nothing to do."""
        pause = self._tick_at - monotonic()
        try:
            expiry = self._expiries.pause(self._provider.now_ms)
        except Exception:  # noqa: BLE001  # this loop must not die; whatever it was, the next tick looks anyway
            return pause
        return pause if expiry is None else min(pause, expiry)

    def _run_jobs(self) -> None:
        COLLECTOR.look()
        for job in (
            self._renew_activities,
            self._renew_instances,
            self._renew_sessions,
            self._remove_sessions,
            self._end_expired,
            self._enforce_grace,
            self._dispatcher.look_at_turn,
        ):
            self._try(job)

    def _try(self, job: Callable[[], None]) -> None:
        with suppress(Exception):  # of a logging handler
            try:
                job()
            except ProviderError as error:
                _log.warning("renewing locks failed, trying again in %.1f s: %s", self._tick, error)
            except Exception:  # noqa: BLE001  # this loop must not die: without it every long activity would be run twice
                _log.exception("renewing locks failed, trying again in %.1f s", self._tick)

    def _renew_activities(self) -> None:
        now = monotonic()
        running = [each for each in self._worker.running() if each.cancelled_at is None]
        due = [each for each in running if now - each.renewed_at >= self._share(self._options.worker_lock_timeout)]
        young = now - self._options.cancellation_poll_interval.total_seconds()
        watched = [each for each in running if each.renewed_at <= young and each not in due]
        if due:
            self._keep(
                due,
                self._provider.renew_activity_locks(
                    [each.lock for each in due], milliseconds(self._options.worker_lock_timeout)
                ),
            )
            for each in due:
                each.renewed_at = now
        if watched:
            self._keep(watched, self._provider.held_activity_locks([each.lock for each in watched]))

    def _keep(self, asked: list[RunningActivity], held: frozenset[object]) -> None:
        lost = [each for each in asked if each.lock not in held]
        self._worker.tell(lost)
        for each in lost:
            _log.info(
                "activity %r of %r was cancelled or taken over",
                each.work.name,
                each.work.key.instance_id,
                extra={"action": "activity_lock_lost", "instance_id": each.work.key.instance_id},
            )

    def _renew_instances(self) -> None:
        """Keep the instances of a round that takes long."""
        now = monotonic()
        locks = [item.lock for item in self._dispatcher.held]
        share = self._share(self._options.orchestrator_lock_timeout)
        seen = {lock: self._instances_renewed_at.get(lock, now) for lock in locks}
        due = [lock for lock, renewed_at in seen.items() if now - renewed_at >= share]
        if due:
            self._provider.renew_instance_locks(due, milliseconds(self._options.orchestrator_lock_timeout))
            seen.update(dict.fromkeys(due, now))
        self._instances_renewed_at = seen

    def _renew_sessions(self) -> None:
        now = monotonic()
        if now - self._sessions_renewed_at < self._share(self._options.session_lock_timeout):
            return
        self._sessions_renewed_at = now
        if self._worker.has_sessions:
            self._worker.has_sessions = bool(
                self._provider.renew_sessions(
                    self._worker_id,
                    milliseconds(self._options.session_lock_timeout),
                    milliseconds(self._options.session_idle_timeout),
                )
            )

    def _remove_sessions(self) -> None:
        now = monotonic()
        if now - self._sessions_removed_at >= self._options.session_cleanup_interval.total_seconds():
            self._sessions_removed_at = now
            self._provider.remove_orphaned_sessions()

    def _end_expired(self) -> None:
        """Look for activities that have expired: those that are known to be due, and by the slow poll for all others."""
        now = monotonic()
        is_due = self._expiries.take_due(self._provider.now_ms)
        if is_due or now - self._expired_ended_at >= self._options.poll_interval.total_seconds():
            self._expired_ended_at = now
            self._worker.end_expired()

    def _enforce_grace(self) -> None:
        """Free the slots of activities that do not care that they were cancelled."""
        grace = self._options.activity_cancellation_grace_period.total_seconds()
        now = monotonic()
        for each in self._worker.running():
            if each.cancelled_at is not None and not each.is_abandoned and now - each.cancelled_at >= grace:
                self._worker.abandon(each)

    @staticmethod
    def _share(lock: timedelta) -> float:
        return (lock * _RENEW_AFTER).total_seconds()
