"""
A process that starts instances and sends them words while its own runtime is idle, and ends itself in a commit.

It says what it has been told is stored: ``started ID`` and ``sent ID WORD``. The instances await more words than they get.
"""

from __future__ import annotations

import sys

from duroxide import Orchestration, OrchestrationContext, Registry, Runtime, RuntimeOptions, SqlProvider, _sending
from duroxide.testing.faults import FaultPlan, FaultyProvider, Kill, Rule

from .idling import first_look, until_idle


#: What is sent to each instance; one more word ends it.
WORDS = ("one", "two", "three")

registry = Registry()


@registry.orchestration
def collect(ctx: OrchestrationContext, count: int) -> Orchestration[list[str]]:
    words: list[str] = []
    for _ in range(count):
        word = yield from ctx.dequeue_event("words", type=str)
        words.append(word)
    return words


def main(url: str, name: str, nth: int, when: str) -> None:
    """Go on until the *nth* commit."""
    _sending.PATIENCE = 60.0  # however slow this machine is, everything is handed over
    provider = SqlProvider(url)
    begun = first_look(provider.wakeups)
    plan = FaultPlan([Rule(Kill(after_commit=when == "after"), on="commit_turns", nth=nth)])
    faulty = FaultyProvider(provider, plan)
    with Runtime(faulty, registry, RuntimeOptions(poll_interval=3600)) as runtime:
        for number in range(nth):
            instance_id = f"{name}-{number}"
            until_idle(runtime, begun)
            runtime.client.start_orchestration(instance_id, collect, len(WORDS) + 1)
            say(f"started {instance_id}")
            for word in WORDS:
                until_idle(runtime, begun)
                runtime.client.enqueue_event(instance_id, "words", word)
                say(f"sent {instance_id} {word}")


def say(line: str) -> None:
    """Print *line* in one piece, now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
