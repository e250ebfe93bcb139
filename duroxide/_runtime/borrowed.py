"""
Runs activities on an executor of the user's, and takes back what that has not begun.

Rule 1: an executor that the user has made is the user's, to its end. One that the user has only said how to make is ours: it
is made when it is needed, made anew when it is broken, and shut down.

Rule 2: what an executor has taken counts as begun, since only it knows better; unless it lets go of it when asked.
"""

from __future__ import annotations

import threading

from collections.abc import Callable
from concurrent import futures
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from functools import partial
from pickle import PicklingError
from typing import Any

from .._core.functions import FunctionInfo
from .._core.limits import Limits
from .._core.messages import ActivityExecute
from ..errors import InvalidInput
from .activity_context import ActivityContext
from .invoking import ActivityOutcome, failed, invoke_elsewhere, invoke_whole
from .slots import RunningActivity


class Borrowed:
    """
    An executor of the user's.

    Args:
        executor: The executor, or what makes one.

        context: Makes what the activity is given, if it runs in this process.

        ended: Told of the outcome of an activity.

        not_run: Told why the executor did not run an activity to its end.
    """

    def __init__(
        self,
        executor: Executor | Callable[[], Executor],
        *,
        worker_id: str,
        limits: Limits,
        context: Callable[[RunningActivity], ActivityContext],
        ended: Callable[[RunningActivity, ActivityOutcome], object],
        not_run: Callable[[RunningActivity, BaseException], None],
    ) -> None:
        self._executor = executor if isinstance(executor, Executor) else None
        self._make = None if isinstance(executor, Executor) else executor
        self._lock = threading.Lock()
        self._worker_id = worker_id
        self._limits = limits
        self._context = context
        self._ended = ended
        self._not_run = not_run
        #: The threads of the executor that are at an activity.
        self._threads: set[int] = set()

    @property
    def is_current(self) -> bool:
        """Whether it is one of its threads that asks."""
        return threading.get_ident() in self._threads

    def submit(self, running: RunningActivity) -> None:
        """Run *running*, which has begun; if this raises, the executor has not taken it."""
        executor = self._current()
        try:
            future = self._submit_to(executor, running)
        except BrokenExecutor:
            if self._make is None:
                raise
            future = self._submit_to(self._current(broken=executor), running)
        if future is not None:
            running.future = future
            future.add_done_callback(partial(self._collect, running))

    def close(self) -> None:
        """Shut down what was made here; what still runs goes on."""
        with self._lock:
            if self._make is not None and self._executor is not None:
                self._executor.shutdown(wait=False, cancel_futures=True)

    def _current(self, *, broken: Executor | None = None) -> Executor:
        """Return the executor to use: another one than the *broken* one, or the first."""
        with self._lock:
            if self._executor is broken and self._make is not None:
                self._executor = _made_by(self._make)
                if broken is not None:
                    broken.shutdown(wait=False)
            assert self._executor is not None, "there is one, or what makes one"
            return self._executor

    def _submit_to(self, executor: Executor, running: RunningActivity) -> Future[ActivityOutcome] | None:
        """Hand *running* to *executor*; None: it cannot be handed over, and has ended."""
        info, work, limits = running.info, running.work, self._limits
        try:
            if _shares_memory(executor):
                return executor.submit(self._invoke, info, work, self._context(running), limits)
            return executor.submit(invoke_elsewhere, info, work, self._worker_id, limits)
        except (PicklingError, TypeError, AttributeError) as error:  # about what is to be run, and what pickle raises
            self._ended(running, failed(work, error))
            return None

    def recall(self, running: RunningActivity) -> None:
        """Let *running* not have begun, if the executor has not begun it, and never will."""
        future = running.future
        if future is not None:
            running.is_recalled = True
            if future.cancel():
                running.started_at = None

    def _invoke(
        self, info: FunctionInfo, work: ActivityExecute, context: ActivityContext, limits: Limits
    ) -> ActivityOutcome:
        """Run an activity in a thread of the executor's."""
        self._threads.add(threading.get_ident())
        try:
            return invoke_whole(info, work, context, limits)
        finally:
            self._threads.discard(threading.get_ident())

    def _collect(self, running: RunningActivity, future: Future[ActivityOutcome]) -> None:
        running.future = None  # each holds the other
        if future.cancelled() and running.is_recalled:
            return
        error = CancelledError() if future.cancelled() else future.exception()
        if error is None:
            self._ended(running, future.result())
        elif isinstance(error, CancelledError | BrokenExecutor):
            self._not_run(running, error)
        else:
            self._ended(running, failed(running.work, error))


def _made_by(make: Callable[[], object]) -> Executor:
    made = make()
    if not isinstance(made, Executor):
        msg = (
            f"the function that RuntimeOptions.executor is made {made!r}: let it return a concurrent.futures.Executor."
        )
        raise InvalidInput(msg)
    return made


def _shares_memory(executor: Executor) -> bool:
    """Whether *executor* runs things in threads of this process, and of this interpreter."""
    # Since Python 3.14, and a ThreadPoolExecutor, too.
    interpreters: Any = getattr(futures, "InterpreterPoolExecutor", ())
    return isinstance(executor, ThreadPoolExecutor) and not isinstance(executor, interpreters)
