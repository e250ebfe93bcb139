"""
Sub-orchestrations: orchestrations that start others, wait for them, and share their fate.

    python examples/sub_orchestrations.py [--database URL]

A child is an instance of its own, with a history of its own, which may run on another machine. Its parent gets its
result, or its failure as a `SubOrchestrationFailed` that can be caught. Cancelling a parent cancels all below it.
"""

from __future__ import annotations

from demo import database, new_id

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, Runtime, SubOrchestrationFailed


SALES = {"Rome": [3, 4], "Milan": [5], "Oslo": [2, 2], "Bergen": [-1]}
REGIONS = {"Italy": ["Rome", "Milan"], "Norway": ["Oslo", "Bergen"]}

registry = Registry()


@registry.activity
def add_up(ctx: ActivityContext, city: str) -> int:
    if min(SALES[city]) < 0:
        raise ValueError(f"the books of {city} are wrong")
    return sum(SALES[city])


@registry.orchestration
def report_city(ctx: OrchestrationContext, city: str) -> Orchestration[int]:
    return (yield from ctx.schedule_activity(add_up, city))


@registry.orchestration
def report_region(ctx: OrchestrationContext, region: str) -> Orchestration[int]:
    children = [ctx.schedule_sub_orchestration(report_city, city) for city in REGIONS[region]]
    return sum((yield from ctx.join(*children)))


@registry.orchestration
def report_company(ctx: OrchestrationContext) -> Orchestration[dict[str, int | str]]:
    """Report each region, or say why it could not be reported."""
    report: dict[str, int | str] = {}
    for region in REGIONS:
        # An id of one's own makes a child easy to find; without, it gets one that nobody else has.
        child = ctx.schedule_sub_orchestration(report_region, region, instance_id=f"{ctx.instance_id}/{region}")
        try:
            report[region] = yield from child
        except SubOrchestrationFailed as failure:
            report[region] = f"no report: {failure}"
    return report


@registry.orchestration
def delegate(ctx: OrchestrationContext, levels: int) -> Orchestration[None]:
    """Leave it to a child, which leaves it to a child..., the last of which waits for what never comes."""
    if levels > 1:
        yield from ctx.schedule_sub_orchestration(delegate, levels - 1, instance_id=f"{ctx.instance_id}/below")
    else:
        ctx.set_custom_status("waiting")
        yield from ctx.schedule_wait("never")


def print_tree(runtime: Runtime, instance_id: str, depth: int = 0) -> None:
    info = runtime.client.get_instance_info(instance_id)
    print(f"{'  ' * depth}{info.orchestration_name}: {info.status}, {info.output}")
    for child in runtime.client.get_instance_tree(instance_id).children_of(instance_id):
        print_tree(runtime, child.instance_id, depth + 1)


def main() -> None:
    with database() as url, Runtime(url, registry) as runtime:
        client = runtime.client
        company = new_id("company")
        client.start_orchestration(company, report_company)
        client.wait_for_orchestration(company)
        print_tree(runtime, company)

        top = new_id("top")
        client.start_orchestration(top, delegate, 3)
        bottom = f"{top}/below/below"
        client.wait_for_status_change(bottom, last_seen_version=0)
        client.cancel_instance(top, "nobody needs it any more")
        client.wait_for_orchestration(bottom)
        print_tree(runtime, top)


if __name__ == "__main__":
    main()
