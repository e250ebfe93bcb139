"""
An eternal monitor: an orchestration that looks, sleeps and begins anew, until somebody stops it.

    python examples/eternal_monitor.py [--database URL]

A loop without end would fill its history without end. So each round is an execution of its own: it ends with
`ctx.continue_as_new(input)`, which starts the next one with an empty history, under the same instance id.
Carried over are the input, the custom status, the key-values, and messages that nobody has read.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen
from demo import database, new_id

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime


@frozen
class Watch:
    """The state of the monitor: whatever the next round must know is in here."""

    every: timedelta
    rounds: int = 0
    alarms: int = 0


registry = Registry()


@registry.activity
def measure_temperature(ctx: ActivityContext, round_: int) -> float:
    return 20 + 7 * (round_ % 4)


@registry.orchestration
def monitor(ctx: OrchestrationContext, watch: Watch) -> Orchestration[Watch]:
    degrees = yield from ctx.schedule_activity(measure_temperature, watch.rounds)
    is_alarm = degrees > 40
    watch = Watch(watch.every, watch.rounds + 1, watch.alarms + is_alarm)
    ctx.set_custom_status(f"round {watch.rounds}: {degrees} degrees{', alarm!' if is_alarm else ''}")
    ctx.set_kv_value("last measured", ctx.utc_now())

    # The end comes through a queue, not as an event: a message waits to be read, so it cannot be lost while
    # one execution follows another.
    stop = ctx.dequeue_event("stop")
    winner = yield from ctx.select(stop, ctx.schedule_timer(watch.every))
    if winner.index == 0:
        return watch
    yield ctx.continue_as_new(watch)
    raise AssertionError("nothing after continue_as_new is run")


def main() -> None:
    with database() as url, Runtime(url, registry) as runtime:
        client = runtime.client
        instance_id = new_id("monitor")
        client.start_orchestration(instance_id, monitor, Watch(every=timedelta(milliseconds=50)))

        version = 0
        for _ in range(6):
            status = client.wait_for_status_change(instance_id, version)
            version = status.custom_status_version
            print(status.custom_status)

        client.enqueue_event(instance_id, "stop")
        watch = client.wait_for_result(instance_id, type=Watch)
        executions = client.list_executions(instance_id, limit=1000)
        print(f"stopped after {watch.rounds} rounds with {watch.alarms} alarms")
        print(f"one execution for each round: {len(executions) == watch.rounds}")
        print(f"events in the longest history: {max(each.event_count for each in executions)}")


if __name__ == "__main__":
    main()
