"""
Management: look through what is stored, and remove what is not needed any more.

    python examples/management.py [--database URL]

Histories stay until you remove them. A client can do that, without any runtime: in a job of its own, say, that
runs at night. Whatever may be long is done in short transactions, so that others can work meanwhile.
"""

from __future__ import annotations

from demo import database, new_id

from duroxide import (
    Client,
    InstanceFilter,
    InstanceStillRunning,
    Orchestration,
    OrchestrationContext,
    Registry,
    Runtime,
)


registry = Registry()


@registry.orchestration
def count_down(ctx: OrchestrationContext, number: int) -> Orchestration[str]:
    yield from ctx.schedule_timer(0)
    if number:
        yield ctx.continue_as_new(number - 1)
    return "lift-off"


@registry.orchestration
def launch(ctx: OrchestrationContext) -> Orchestration[str]:
    result = yield from ctx.schedule_sub_orchestration(count_down, 5, instance_id=f"{ctx.instance_id}/count-down")
    return f"{result}!"


@registry.orchestration
def orbit(ctx: OrchestrationContext) -> Orchestration[None]:
    ctx.set_custom_status("in orbit")
    yield from ctx.schedule_wait("landing")


def show(client: Client, which: InstanceFilter) -> None:
    """Print all that match, the newest first; lists come page by page, however long they are."""
    cursor = None
    while True:
        page = client.list_instances(which, limit=2, cursor=cursor)
        for info in page:
            print(f"  {info.instance_id}: {info.orchestration_name} {info.status}, execution {info.execution_id}")
        if (cursor := page.cursor) is None:
            return


def main() -> None:
    mission = new_id("mission")
    ours = InstanceFilter(id_prefix=mission)
    with database() as url:
        with Runtime(url, registry) as runtime:
            for number in (1, 2):
                runtime.client.start_orchestration(f"{mission}/{number}", launch)
                runtime.client.wait_for_orchestration(f"{mission}/{number}")
            runtime.client.start_orchestration(f"{mission}/orbit", orbit)
            runtime.client.wait_for_status_change(f"{mission}/orbit", last_seen_version=0)

        with Client(url) as client:
            print("all of this mission:")
            show(client, ours)
            print(f"below {mission}/1: {', '.join(client.get_instance_tree(f'{mission}/1').ids[1:])}")
            print(f"in all of the database: {client.get_system_metrics()}")

            pruned = client.prune_executions(f"{mission}/1/count-down", keep_last=2)
            print(f"pruned {pruned.executions} executions with {pruned.events} events")

            try:
                client.delete_instance(f"{mission}/orbit")
            except InstanceStillRunning as error:
                print(f"not deleted: {error}")
            deleted = client.delete_instance_bulk(InstanceFilter(id_prefix=mission, statuses=["Completed"]))
            print(f"deleted {deleted.instances} instances, children with their parents; left:")
            show(client, ours)
            client.delete_instance(f"{mission}/orbit", force=True)


if __name__ == "__main__":
    main()
