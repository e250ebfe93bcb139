"""Applies a retention policy in the background, again and again. No leader: every runtime that has one does it."""

from __future__ import annotations

import logging
import random
import threading

from contextlib import suppress

from .._clock import monotonic, new_incarnation
from ..errors import ProviderError
from ..providers.contract import Provider
from ..providers.management import Management, ManagementNotAvailable
from ..retention import JITTER, RetentionPolicy, RetentionResult, checked_policy, removals
from .metrics import Metrics
from .stopping import end


_log = logging.getLogger("duroxide.runtime")

#: The first pass is after this share of the interval: a process that lives shortly does some of the work, too.
_FIRST = 0.1


class RetentionKeeper:
    """One thread that removes what a policy does not keep; without a policy, none."""

    def __init__(self, provider: Provider, policy: RetentionPolicy | None, *, metrics: Metrics, worker_id: str) -> None:
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()
        if policy is None:
            return
        if not isinstance(provider, Management):
            raise ManagementNotAvailable(provider)
        self._provider: Provider = provider
        self._management: Management = provider
        self._policy = checked_policy(policy)
        self._metrics = metrics
        # Runtimes that were started together need not meet in each pass.
        self._dice = random.Random(new_incarnation())  # noqa: S311  # not for keys
        name = f"duroxide-retention-{worker_id[-6:]}"
        self._thread = threading.Thread(target=self._loop, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        if self._thread is not None:
            self._thread.start()

    def stop(self, timeout: float) -> None:
        """End after the batch that is under way; wait for it *timeout* seconds at most."""
        self._stop.set()
        if self._thread is not None:
            end(self._thread, timeout)

    def _loop(self) -> None:
        interval = self._policy.interval.total_seconds()
        pause = interval * _FIRST * self._dice.random()
        while not self._stop.wait(min(pause, threading.TIMEOUT_MAX)):
            with suppress(Exception):  # of a logging handler
                self._pass()
            pause = interval * self._dice.uniform(1 - JITTER, 1 + JITTER)

    def _pass(self) -> None:
        begun = monotonic()
        result = RetentionResult()
        try:
            for done in removals(self._management, self._policy, now_ms=self._provider.now_ms(), stop=self._stop):
                self._metrics.removed(instances=done.deleted.instances, executions=done.pruned.executions)
                result += done
        except ProviderError as error:
            if not self._stop.is_set():
                _log.warning("retention failed, and will be tried again: %s", error, extra={"action": "retention"})
        except Exception:  # noqa: BLE001  # this loop must not die: the database would grow without anybody noticing
            _log.exception("retention failed, and will be tried again", extra={"action": "retention"})
        if result:
            _log.info(
                "retention deleted %d instances with %d events, and pruned %d executions with %d events, in %.1f s",
                result.deleted.instances,
                result.deleted.events,
                result.pruned.executions,
                result.pruned.events,
                monotonic() - begun,
                extra={"action": "retention"},
            )
