"""
Fan-out and fan-in: many activities side by side, then one result, although some of them fail.

    python examples/fan_out.py [--database URL]

An activity starts when it is scheduled, not when it is waited for. `ctx.join` waits for all of them and lists
their results in the order of its arguments. What one failure means is your choice:

- By default the join raises it, after all have ended. Catch it like any exception.
- With return_exceptions=True it stands in the list, in the place of the result.
- A branch, a generator of several steps, deals with it on the spot, while the others go on.
"""

from __future__ import annotations

import time

from demo import database, new_id

from duroxide import ActivityContext, Completed, Orchestration, OrchestrationContext, Registry, Runtime


PAGES = {
    "main/intro": "durable execution in one page",
    "main/tutorial": "a workflow is an ordinary generator",
    "mirror/reference": "every method and what it raises",
}
NAMES = ["intro", "tutorial", "reference"]

registry = Registry()


@registry.activity
def count_words(ctx: ActivityContext, page: str) -> int:
    time.sleep(0.2)  # a slow network
    if page not in PAGES:
        raise LookupError(f"there is no {page}")
    return len(PAGES[page].split())


@registry.orchestration
def count_all(ctx: OrchestrationContext, names: list[str]) -> Orchestration[int]:
    """All or nothing: the first error, in the order of the arguments, is raised here."""
    counts = yield from ctx.join(*(ctx.schedule_activity(count_words, f"main/{name}") for name in names))
    return sum(counts)


@registry.orchestration
def count_what_is_there(ctx: OrchestrationContext, names: list[str]) -> Orchestration[dict[str, int | None]]:
    """Take what there is, and say what is missing."""
    tasks = [ctx.schedule_activity(count_words, f"main/{name}") for name in names]
    results = yield from ctx.join(*tasks, return_exceptions=True)
    counts = (None if isinstance(result, BaseException) else result for result in results)
    return dict(zip(names, counts, strict=True))


@registry.orchestration
def count_with_mirror(ctx: OrchestrationContext, names: list[str]) -> Orchestration[dict[str, int]]:
    """Each page is a branch of two steps; one that needs its second step holds up none of the others."""
    counts = yield from ctx.join(*(count_one(ctx, name) for name in names))
    return dict(zip(names, counts, strict=True))


def count_one(ctx: OrchestrationContext, name: str) -> Orchestration[int]:
    try:
        return (yield from ctx.schedule_activity(count_words, f"main/{name}"))
    except LookupError:  # what the activity raised: builtin exceptions come back as themselves
        return (yield from ctx.schedule_activity(count_words, f"mirror/{name}"))


def main() -> None:
    with database() as url, Runtime(url, registry) as runtime:
        for orchestration in (count_all, count_what_is_there, count_with_mirror):
            instance_id = new_id("words")
            runtime.client.start_orchestration(instance_id, orchestration, NAMES)
            ended = runtime.client.wait_for_orchestration(instance_id)
            print(f"{orchestration.__name__}: {ended.output if isinstance(ended, Completed) else ended.message}")


if __name__ == "__main__":
    main()
