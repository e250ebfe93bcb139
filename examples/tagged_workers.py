"""
Tags: some activities need a worker that has something special, and only such workers take them.

    python examples/tagged_workers.py [--database URL]

A tag says what an activity needs, a worker's `TagFilter` what it offers. Any number of workers may serve a tag; what
nobody serves waits. If it should not wait for ever, give it a time to live: not begun by then, it fails.
"""

from __future__ import annotations

import logging

from demo import database, new_id

from duroxide import (
    ActivityContext,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
    RuntimeOptions,
    TagFilter,
)


registry = Registry()


@registry.activity
def prepare(ctx: ActivityContext, video: str) -> str:
    return f"{video} prepared by {ctx.worker_id}"


@registry.activity
def render(ctx: ActivityContext, video: str) -> str:
    return f"{video} rendered by {ctx.worker_id} ({ctx.tag})"


@registry.orchestration
def publish(ctx: OrchestrationContext, video: str) -> Orchestration[list[str]]:
    done = []
    done.append((yield from ctx.schedule_activity(prepare, video)))
    try:
        # The best machine, if there is one that has time within half a second.
        step = yield from ctx.schedule_activity(render, video, tag="quantum", time_to_live=0.5)
    except TimeoutError as error:
        done.append(f"not on the best machine: {error}")
        step = yield from ctx.schedule_activity(render, video, tag="gpu")
    done.append(step)
    return done


#: Takes what has no tag, and runs the orchestrations. This is what a runtime does by default.
OFFICE = RuntimeOptions(worker_node_id="office")

#: Takes nothing but what needs a graphics card, two at a time, and leaves orchestrations to others.
GPU_BOX = RuntimeOptions(
    worker_node_id="gpu-box",
    worker_tag_filter=TagFilter(untagged=False, tags={"gpu"}),
    worker_concurrency=2,
    orchestration_concurrency=0,
)


def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # what nobody began in time is a warning in the log; here it is expected
    # In real life, on two machines.
    with database() as url, Runtime(url, registry, OFFICE) as office, Runtime(url, registry, GPU_BOX):
        instance_id = new_id("video")
        office.client.start_orchestration(instance_id, publish, "cats.mp4")
        for line in office.client.wait_for_result(instance_id, type=list[str]):
            print(line)


if __name__ == "__main__":
    main()
