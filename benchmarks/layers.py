"""Takes the time of functions of the library, layer by layer, for `cost.py`."""

from __future__ import annotations

import importlib
import inspect
import sys
import threading
import time

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


#: Module, owner and attribute, and how the row of the table is called; a dot more is a part of the row above.
LAYERS = [
    ("duroxide._runtime.dispatcher", "Dispatcher._wait", "dispatcher: waiting for something to do"),
    ("duroxide._runtime.dispatcher", "Dispatcher._round", "dispatcher: a round"),
    ("duroxide._runtime.dispatcher", "Dispatcher._fetch", "· fetching"),
    ("duroxide._runtime.turns", "Turns.run", "· turns"),
    ("duroxide._core.execution", "Execution.resume", "· · a turn in the core: staging, user code, replay rule"),
    ("duroxide._core.execution", "Execution.decide", "· · a turn in the core: decisions, effects, commit"),
    ("duroxide._runtime.commits", "Commits.send", "· sending commits, where they go ahead of the answer"),
    ("duroxide._runtime.commits", "Commits.collect", "· committing, and handing out what it scheduled"),
    ("duroxide.providers.sql.turn_rows", "TurnRows.of", "· · rows from commits"),
    ("duroxide.providers.sql.turn_rows", "encode_event", "· · · events to JSON"),
    ("duroxide.providers.sql.database", "Database.write", "· · writing transactions (starts and fetches too)"),
    ("duroxide.providers.sql.sqlite", "SqliteDialect.steps", "· · · statements of commits"),
    ("duroxide.providers.sql.postgres", "PostgresDialect.steps", "· · · statements of commits, in a pipeline"),
    ("duroxide.providers.sql.postgres", "PostgresDialect.transact", "· · · sending a whole commit in one message"),
    ("duroxide.providers.sql.postgres_session", "Sent.finds", "· · · waiting for the answer"),
    ("duroxide.providers.sql.sqlite", "SqliteDialect.commit", "· · · COMMIT"),
    ("duroxide._runtime.activities", "ActivityWorker._begin", "· · handing activities to threads"),
    (
        "duroxide._runtime.activities",
        "ActivityWorker._run",
        "activity thread: one activity, and the round that it may lead",
    ),
    ("duroxide._runtime.activities", "invoke", "· decode, call, encode"),
    ("duroxide._runtime.activities", "ActivityWorker._end", "· handing the outcome over"),
]


class Layers:
    """Adds up how often, and how long, functions ran; those inside a layer are part of it."""

    def __init__(self) -> None:
        #: Layer → times, seconds, seconds of CPU.
        self.found: dict[str, list[float]] = {}
        self._lock = threading.Lock()

    def watch(self, owner: Any, name: str, layer: str) -> Callable[[], None]:
        """Add up the calls of *owner*'s *name* as *layer*; return what ends it."""
        inner: Callable[..., Any] = getattr(owner, name)
        is_own = name in vars(owner)
        original = inspect.getattr_static(owner, name)

        def timed(*arguments: Any, **keywords: Any) -> Any:
            begun, cpu = time.perf_counter(), time.thread_time()
            try:
                return inner(*arguments, **keywords)
            finally:
                took, used = time.perf_counter() - begun, time.thread_time() - cpu
                with self._lock:
                    entry = self.found.setdefault(layer, [0, 0.0, 0.0])
                    entry[0] += 1
                    entry[1] += took
                    entry[2] += used

        setattr(owner, name, staticmethod(timed) if isinstance(original, classmethod) else timed)
        return lambda: setattr(owner, name, original) if is_own else delattr(owner, name)


@contextmanager
def watch_layers(layers: Layers) -> Iterator[None]:
    """Watch what is in LAYERS; what has moved is said, and left out."""
    with ExitStack() as stack:
        for module, path, layer in LAYERS:
            *owners, name = path.split(".")
            try:
                owner: Any = importlib.import_module(module)
                for each in owners:
                    owner = getattr(owner, each)
                stack.callback(layers.watch(owner, name, layer))
            except (ImportError, AttributeError):
                sys.stderr.write(f"{module}.{path} is not there any more: correct LAYERS in layers.py\n")
        yield
