"""
Cancellation: stop work that nobody waits for any more.

    python examples/cancellation.py [--database URL]

Three ways lead there: an activity loses a race (`ctx.select`), an orchestration gives it up (`ctx.cancel`), or a
client cancels the instance. Python cannot stop a thread from outside, so a long activity has to ask: it sleeps with
`ctx.wait_cancelled(seconds)` instead of time.sleep, or looks at `ctx.is_cancelled` between two steps. It is told
within a second by its own runtime, and within a few seconds across processes. Cleaning up is then its own business.
"""

from __future__ import annotations

from demo import database, new_id

from duroxide import ActivityContext, Failed, Orchestration, OrchestrationContext, Registry, Runtime


registry = Registry()


@registry.activity
def download(ctx: ActivityContext, mirror: str) -> str:
    """Get a file, in a hundred pieces."""
    seconds_a_piece = 0.001 if mirror == "near" else 0.5
    try:
        for _ in range(100):
            ctx.wait_cancelled(seconds_a_piece)  # a piece arrives
            ctx.raise_if_cancelled()  # let it through: the result is not wanted anyhow
    finally:
        if ctx.is_cancelled:
            print(f"  {mirror}: cancelled, removing what has arrived")
    return f"from the {mirror} mirror"


@registry.orchestration
def download_from_fastest(ctx: OrchestrationContext) -> Orchestration[str]:
    far = ctx.schedule_activity(download, "far")
    near = ctx.schedule_activity(download, "near")
    winner = yield from ctx.select(far, near)  # the loser is cancelled; with cancel_losers=False it would go on
    return winner.value


@registry.orchestration
def download_if_quick(ctx: OrchestrationContext) -> Orchestration[str]:
    file = ctx.schedule_activity(download, "slow")
    yield from ctx.schedule_timer(0.3)
    if not file.is_done:
        ctx.cancel(file)
        return "it would have taken too long"
    return (yield from file)


@registry.orchestration
def download_patiently(ctx: OrchestrationContext) -> Orchestration[str]:
    ctx.set_custom_status("downloading")
    try:
        return (yield from ctx.schedule_activity(download, "distant"))
    finally:
        # Runs here too, but the instance has ended: what it would still schedule is not done.
        ctx.set_custom_status("this is never seen")


def main() -> None:
    # Leaving the block waits for the activities that are still cleaning up.
    with database() as url, Runtime(url, registry) as runtime:
        client = runtime.client
        for orchestration in (download_from_fastest, download_if_quick):
            instance_id = new_id("download")
            client.start_orchestration(instance_id, orchestration)
            print(f"{orchestration.__name__}: {client.wait_for_result(instance_id, type=str)}")

        instance_id = new_id("download")
        client.start_orchestration(instance_id, download_patiently)
        client.wait_for_status_change(instance_id, last_seen_version=0)
        client.cancel_instance(instance_id, reason="the user closed the window")
        ended = client.wait_for_orchestration(instance_id)
        assert isinstance(ended, Failed)
        print(f"download_patiently: is_cancelled={ended.is_cancelled}, {ended.message}, status {ended.custom_status!r}")


if __name__ == "__main__":
    main()
