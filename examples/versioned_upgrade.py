"""
A versioned upgrade: new code for orchestrations that are running.

    python examples/versioned_upgrade.py [--database URL]

An execution ends with the version that it began with, since its history fits no other. So register the new
version beside the old one: new instances take the latest (a registry can be told otherwise, with `Exact`), and old
ones take it at their next continue-as-new. When none is left, the old version can be removed.
"""

from __future__ import annotations

from demo import database, new_id

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime


old_release = Registry()


@old_release.activity
def note(ctx: ActivityContext, text: str) -> str:
    return f"{text} ({ctx.orchestration_version})"


@old_release.orchestration(name="collect")  # version 1.0.0, unless one says so
def collect_v1(ctx: OrchestrationContext, lines: list[str]) -> Orchestration[list[str]]:
    """Note what comes, two lines to an execution."""
    for _ in range(2):
        line = yield from ctx.dequeue_event("lines", type=str)
        if line == "end":
            return lines
        lines.append((yield from ctx.schedule_activity(note, line)))
        ctx.set_kv_value(line, "noted")
    yield ctx.continue_as_new(lines)  # the latest version; version="1.0.0" would stay with this one
    raise AssertionError("nothing after continue_as_new is run")


# The next release has everything of the old one, and more.
new_release = old_release.copy()


@new_release.orchestration(name="collect", version="2.0.0")
def collect_v2(ctx: OrchestrationContext, lines: list[str]) -> Orchestration[list[str]]:
    """Note it in upper case: other code, another history."""
    line = yield from ctx.dequeue_event("lines", type=str)
    if line == "end":
        return lines
    lines.append((yield from ctx.schedule_activity(note, line.upper())))
    yield ctx.continue_as_new(lines)
    raise AssertionError("nothing after continue_as_new is run")


def main() -> None:
    running = new_id("running")
    with database() as url:
        with Runtime(url, old_release) as runtime:
            runtime.client.start_orchestration(running, "collect", [])
            for line in ("one", "two", "three"):
                runtime.client.enqueue_event(running, "lines", line)
            runtime.client.wait_for_kv_value(running, "three", type=str)  # noted

        # Deployed. The instance is in the middle of an execution of version 1.0.0, and ends that as such.
        with Runtime(url, new_release) as runtime:
            client = runtime.client
            for line in ("four", "five", "end"):
                client.enqueue_event(running, "lines", line)
            for line in client.wait_for_result(running, type=list[str]):
                print(line)
            for execution in client.list_executions(running):
                print(f"execution {execution.execution_id}: version {execution.orchestration_version}")


if __name__ == "__main__":
    main()
