"""The runtime: builds, starts and stops what carries out the decisions of orchestrations."""

from __future__ import annotations

import logging

from typing import Any, Self

from .._clock import new_token
from .._core.context import GET_KV_VALUE
from .._core.durations import Duration, seconds_of
from .._core.functions import FunctionInfo, inspect_activity
from .._core.registry import Registry
from ..client import Client
from ..errors import InvalidInput, ProviderError
from ..providers.contract import Provider, Release
from ..providers.forking import Birthplace
from ..providers.opening import Database, open_provider
from ..providers.rousing import Rousing
from ..providers.wakeups import Subscription
from ..providers.wrapping import door_of
from .activities import ActivityWorker
from .activity_context import ActivityContext
from .dispatcher import Dispatcher
from .leases import Leases
from .metrics import Metrics, MetricsSnapshot
from .options import RuntimeOptions, milliseconds
from .retention import RetentionKeeper
from .stopping import LAST_WORDS, Deadline, Stopper


_log = logging.getLogger("duroxide.runtime")


def _get_kv_value(ctx: ActivityContext, where: list[str]) -> Any:
    """Read a live key-value of any instance: `OrchestrationContext.get_kv_value_from_instance`."""
    instance_id, key = where
    return ctx.client.get_kv_value(instance_id, key)


#: Activities that every runtime has.
BUILT_IN = {GET_KV_VALUE: inspect_activity(_get_kv_value)}


class Runtime:
    """
    Runs the orchestrations and activities of *registry* that are in a database.

    ::

        with Runtime("sqlite:///orders.db", registry):
            ...

    Any number of runtimes, in any number of processes and machines, may share one database. There is
    no leader: what one leaves behind, another takes over when its locks have expired.

    Args:
        database: A database URL, a SQLAlchemy Engine, or a provider. A provider that is made here is
            closed at shutdown; one that is passed in is not.

        registry: The functions to run.

        options: See `RuntimeOptions`.
    """

    def __init__(self, database: Database, registry: Registry, options: RuntimeOptions | None = None) -> None:
        self._birthplace = Birthplace()
        self._registry = registry = _checked(registry)
        self._options = _checked_options(options)
        self._provider, self._owns_provider = open_provider(database)
        if getattr(self._provider, "read_only", False):
            msg = f"{self._provider!r} only reads, and a runtime writes: make it without read_only=True."
            raise InvalidInput(msg)
        self._id = self._options.worker_node_id or f"runtime-{new_token()[:12]}"
        self._client = Client(self._provider, limits=self._options.limits)
        self._subscriptions: list[Subscription] = []
        self._state = "new"
        self._stopper = Stopper(f"duroxide-shutdown-{self._id[-6:]}", self._stop)
        self._metrics = Metrics()
        self._dispatcher = Dispatcher(
            self._provider, registry, self._options, runtime_id=self._id, metrics=self._metrics
        )
        self._worker = ActivityWorker(
            self._provider,
            self._options,
            worker_id=self._id,
            find=self._find_activity,
            outcomes=self._dispatcher,
            client=self._client,
            metrics=self._metrics,
        )
        self._leases = Leases(
            self._provider, self._options, worker=self._worker, dispatcher=self._dispatcher, worker_id=self._id
        )

        self._retention = RetentionKeeper(
            self._provider, self._options.retention, metrics=self._metrics, worker_id=self._id
        )

    def __repr__(self) -> str:
        return f"<duroxide.Runtime {self._id} on {self._provider!r}, {self._state}>"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.shutdown()

    @property
    def client(self) -> Client:
        """A client that shares this runtime's provider."""
        return self._client

    @property
    def provider(self) -> Provider:
        """Where this runtime stores everything."""
        return self._provider

    def metrics_snapshot(self) -> MetricsSnapshot:
        """
        Return what this runtime has done since its start, and how deep the queues of the database are now.

        Raises:
            ProviderError: If the database cannot be asked.

            ManagementNotAvailable: If the provider cannot say how deep its queues are.
        """
        depths = self._client.get_queue_depths()
        return self._metrics.snapshot(
            orchestrator_queue_depth=depths.orchestrator_queue, worker_queue_depth=depths.worker_queue
        )

    def start(self) -> None:
        """
        Create or upgrade the schema, and begin to work. Returns at once.

        Raises:
            RuntimeError: If it was started before, or the system gives it no threads; make a new one.

            ProviderError: If the database cannot be used.
        """
        if self._state != "new":
            msg = f"{self!r} cannot be started: a runtime is started once. Make a new one."
            raise RuntimeError(msg)
        self._provider.initialize()
        self._state = "running"
        try:
            self._begin()
        except BaseException:
            self.shutdown(
                0
            )  # what has begun would go on without the rest: without its locks being renewed, for example
            raise
        _log.info(
            "started %s with %d orchestrations and %d activities",
            self._id,
            self._registry.orchestrations.count(),
            self._registry.activities.count(),
            extra={"action": "runtime_started", "worker_id": self._id},
        )

    def _begin(self) -> None:
        wakeups = self._provider.wakeups
        if self._options.orchestration_concurrency:
            self._subscriptions.append(wakeups.on_messages(self._dispatcher.notice_messages))
            if self._options.short_way_round:
                door = door_of(self._provider)
                self._subscriptions.append(wakeups.on_offers(self._dispatcher.desk.lay_down, door=door))
        if self._options.worker_concurrency:
            self._subscriptions.append(wakeups.on_activities(self._worker.notice))
        self._dispatcher.start(self._worker)
        self._worker.start()
        self._leases.start()
        self._retention.start()

    def shutdown(self, timeout: Duration | None = None) -> None:
        """
        Stop, and hand everything back so that others can take it over at once. Idempotent.

        Takes no new work, waits up to *timeout* (a timedelta, or seconds; by default the option `shutdown_timeout`)
        for running activities and writes their results down; what runs on is given back, to be run again.
        Who calls it while it goes on waits for the same. A database that does not answer is given three seconds more;
        then this returns, and what is left goes on in daemon threads. In a child that was forked it does nothing: the
        runtime runs on in the parent.

        Raises:
            RuntimeError: If an activity or an orchestration of this runtime calls it. Nothing has happened then.

            InvalidInput: If *timeout* is no duration. Nor then.
        """
        seconds = seconds_of(
            self._options.shutdown_timeout if timeout is None else timeout, what="timeout of shutdown()"
        )
        if self._state in {"new", "stopped"} or self._birthplace.is_elsewhere:
            if self._state == "new" and self._owns_provider:
                self._provider.close()
            self._state = "stopped"
            return
        if self._worker.is_current or self._dispatcher.is_current:
            msg = (
                f"{self!r} cannot be shut down by its own activities and orchestrations, which it would wait for. Do it"
                " in another thread: let the main one wait for a threading.Event, and set that."
            )
            raise RuntimeError(msg)
        if not self._stopper.stop(seconds):
            _log.warning(
                "%s is not stopped after %.1f s and some more, and goes on stopping in the background: the database does"
                " not answer. What it holds is free for others when its locks expire.",
                self._id,
                seconds,
                extra={"action": "left_behind", "worker_id": self._id},
            )

    def _stop(self, deadline: Deadline) -> None:
        self._state = "stopping"
        for subscription in self._subscriptions:
            subscription.close()
        waiting = self._worker.stop_taking(deadline.left(LAST_WORDS))
        self._worker.wait_idle(deadline.left())
        if not self._dispatcher.stop(deadline.left(LAST_WORDS)):
            _log.warning("the round of %s that is under way is left behind", self._id, extra={"action": "left_behind"})
        # A round that was under way may have claimed activities after the worker stopped.
        waiting += self._worker.withdraw()
        running = self._worker.running()
        self._leases.stop(deadline.left(LAST_WORDS))
        self._retention.stop(deadline.left(LAST_WORDS))
        self._give_back([Release(lock, ignore_attempt=True) for lock in (*waiting, *(each.lock for each in running))])
        if self._worker.has_sessions and self._options.worker_node_id is None:
            self._end_sessions()
        if running:
            _log.warning("gave back %d activities that did not end in time", len(running))
        self._worker.close(deadline.left() if not running else 0)
        self._take_leave()
        if self._owns_provider:
            self._provider.close()
        self._state = "stopped"
        _log.info("stopped %s", self._id, extra={"action": "runtime_stopped", "worker_id": self._id})

    def _give_back(self, releases: list[Release]) -> None:
        if not releases:
            return
        try:
            self._provider.release_activities(releases)
        except ProviderError as error:
            _log.warning("%d activities could not be given back; their locks will expire: %s", len(releases), error)

    def _end_sessions(self) -> None:
        """Let others take this runtime's sessions over at once. A node with a name of its own keeps them."""
        try:
            self._provider.renew_sessions(self._id, 0, milliseconds(self._options.session_idle_timeout))
        except ProviderError as error:
            _log.warning("the sessions of %s could not be ended; they will lapse: %s", self._id, error)

    def _take_leave(self) -> None:
        """Let others look at what they were not told of, since this runtime would have seen to it: timers, late messages."""
        if not isinstance(self._provider, Rousing):
            return
        try:
            self._provider.rouse()
        except ProviderError as error:
            _log.warning("others could not be told that %s stops; their poll will find its work: %s", self._id, error)

    def _find_activity(self, name: str) -> FunctionInfo | None:
        return self._registry.activities.resolve(name) or BUILT_IN.get(name)


def _checked_options(options: object) -> RuntimeOptions:
    if options is None:
        return RuntimeOptions()
    if not isinstance(options, RuntimeOptions):
        msg = f"the options of a Runtime are {options!r}: pass RuntimeOptions(...), or leave them out."
        raise InvalidInput(msg)
    return options


def _checked(registry: object) -> Registry:
    if not isinstance(registry, Registry):
        msg = f"the registry of a Runtime is {registry!r}: pass a duroxide.Registry with the functions to run."
        raise InvalidInput(msg)
    return registry
