"""
Sessions: activities that belong together run on the same worker, which can keep things in memory for them.

    python examples/sessions.py [--database URL]

All activities with the same session_id run on the worker that owns the session: the first that took one of them.
If that worker dies, or nothing happens for a while, another one may take the session over. So what is in memory is
a cache, and an activity that finds it empty must be able to fill it again.
"""

from __future__ import annotations

import threading
import time

from collections import defaultdict

from demo import database, new_id

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions


class Memory:
    """The memory of one worker. In real life each worker is a process of its own, and this a module's variable."""

    def __init__(self) -> None:
        self.indexes: dict[str, dict[str, list[int]]] = {}
        self.lock = threading.Lock()


MEMORY: defaultdict[str, Memory] = defaultdict(Memory)
BOOKS = {"moby-dick": "call me ishmael some years ago never mind how long", "emma": "emma woodhouse handsome clever"}

registry = Registry()


@registry.activity
def find(ctx: ActivityContext, question: tuple[str, str]) -> tuple[str, list[int]]:
    """Return who answers, and at which positions of the book the word is."""
    book, word = question
    memory = MEMORY[ctx.worker_id]
    with memory.lock:
        if book not in memory.indexes:
            memory.indexes[book] = build_index(book)
    return ctx.worker_id, memory.indexes[book].get(word, [])


def build_index(book: str) -> dict[str, list[int]]:
    time.sleep(0.2)  # the expensive part, worth doing once
    index: dict[str, list[int]] = {}
    for position, word in enumerate(BOOKS[book].split()):
        index.setdefault(word, []).append(position)
    return index


@registry.orchestration
def research(ctx: OrchestrationContext, book: str) -> Orchestration[list[str]]:
    """Look up every word of the book; return the workers that were asked."""
    session = f"{ctx.instance_id}/{book}"
    workers = set()
    for word in BOOKS[book].split():
        worker, positions = yield from ctx.schedule_activity(find, (book, word), session_id=session)
        assert positions, "every word of the book is in its index"
        workers.add(worker)
    return sorted(workers)


def main() -> None:
    # A worker with a name of its own keeps its sessions when it is restarted.
    first, second = RuntimeOptions(worker_node_id="worker-1"), RuntimeOptions(worker_node_id="worker-2")
    with database() as url, Runtime(url, registry, first) as runtime, Runtime(url, registry, second):
        ids = {book: new_id("research") for book in BOOKS}
        for book, instance_id in ids.items():
            runtime.client.start_orchestration(instance_id, research, book)
        for book, instance_id in ids.items():
            workers = runtime.client.wait_for_result(instance_id, type=list[str])
            print(f"{book}: {len(BOOKS[book].split())} questions, all to the same worker: {len(workers) == 1}")
        print(f"indexes built: {sum(len(memory.indexes) for memory in MEMORY.values())}")


if __name__ == "__main__":
    main()
