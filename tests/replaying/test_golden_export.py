"""A document that was exported once can be read, and replayed, forever: ``tests/golden/exported.json`` is from the first release."""

from __future__ import annotations

from pathlib import Path

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry, RetryPolicy, events
from duroxide._core.exports import ExportedInstance
from duroxide.testing import Simulator, check_replay, read_document, replay, write_document


FILE = Path(__file__).parents[1] / "golden" / "exported.json"

#: An instance cannot fail and complete.
MISSING = {"OrchestrationFailed", "OrchestrationCancelRequested", "SubOrchestrationFailed"}

registry = Registry()


@registry.activity
def work(ctx: ActivityContext, number: int) -> int:
    """Double *number*, but not at the first attempt at 3."""
    if number == 3 and ctx.attempt == 1:
        raise ConnectionError("try again")
    return 2 * number


@registry.orchestration
def child(ctx: OrchestrationContext, number: int) -> Orchestration[int]:
    """Work."""
    return (yield from ctx.schedule_activity(work, number))


@registry.orchestration
def everything(ctx: OrchestrationContext, number: int) -> Orchestration[list[int]]:
    """Leave every kind of event, in two executions; a renamed or reordered field would show."""
    if number == 1:
        ctx.set_kv_value("seen", [ctx.random.randint(1, 6), str(ctx.new_guid())])
        ctx.set_custom_status("halfway")
        yield from ctx.schedule_activity(work, 3, retry=RetryPolicy(max_attempts=2))
        ctx.schedule_orchestration(child, "beside", 1)
        yield from ctx.select(ctx.schedule_wait("go"), ctx.schedule_timer(60), ctx.dequeue_event("mail"))
        yield from ctx.select(ctx.schedule_timer(1), ctx.schedule_activity(work, 5), ctx.schedule_wait("never"))
        ctx.continue_as_new(2)
    answers = yield from ctx.join(
        ctx.schedule_sub_orchestration(child, 4), ctx.schedule_activity(work, 6), ctx.dequeue_event("mail")
    )
    ctx.clear_kv_value("seen")
    ctx.clear_all_kv_values()
    yield from ctx.select(ctx.schedule_timer(0), ctx.schedule_sub_orchestration(child, 7))
    return [int(answer) for answer in answers]


def export() -> dict[str, object]:
    """Make the document anew."""
    with Simulator(registry) as simulator:
        simulator.start("golden", everything, 1)
        simulator.raise_event("golden", "go", at=20)
        simulator.enqueue_event("golden", "mail", 8, at=40)
        simulator.run()
        return simulator.client.export_instance("golden")


def test_golden() -> None:
    """The file is read and replayed by this release as it was by the one that wrote it."""
    document = read_document(FILE)

    assert ExportedInstance.from_document(document).to_document() == document
    assert 2 == replay(document, registry).executions
    check_replay(document, registry)


def test_covers_the_format() -> None:
    """It has every kind of event but those of an instance that fails, so that a change of any would show."""
    exported = ExportedInstance.from_document(read_document(FILE))
    kinds = {type(event).__name__ for history in exported.executions for event in history}

    assert MISSING == set(events.EVENT_TYPES) - kinds


if __name__ == "__main__":
    write_document(export(), FILE)
