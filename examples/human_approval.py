"""
Human approval: wait for an answer, but not for ever.

    python examples/human_approval.py [--database URL]

`ctx.schedule_wait` waits for an event that a client raises, `ctx.schedule_timer` for a time, and `ctx.select` for
whichever comes first. While they wait, they cost nothing: no thread, no polling. The wait may take weeks, through
any number of restarts; a timer is a point in time in the database. Here it is half a second.
"""

from __future__ import annotations

from datetime import timedelta

from attrs import frozen
from demo import database, new_id

from duroxide import Orchestration, OrchestrationContext, Registry, Runtime


#: What clients see while an expense waits. In the list of instances, it is what the approver looks for.
WAITING = "waiting for approval"


@frozen
class Expense:
    """Something that somebody wants paid."""

    what: str
    price: int
    answer_within: timedelta


@frozen
class Decision:
    """What the approver says. Like all payloads it is stored as JSON, and comes back as what it was."""

    approved: bool
    by: str


registry = Registry()


@registry.orchestration
def approve(ctx: OrchestrationContext, expense: Expense) -> Orchestration[str]:
    if expense.price < 100:
        return f"{expense.what}: paid, without asking"

    answer = ctx.schedule_wait("decision", type=Decision)
    deadline = ctx.schedule_timer(expense.answer_within)
    # An event that is raised before somebody waits for it is lost. So say that you wait when you do: the status is
    # written together with the wait. (Where the sender cannot know, use a queue: see chat_mailbox.py.)
    ctx.set_custom_status(WAITING)
    winner = yield from ctx.select(answer, deadline)  # and the loser is cancelled
    ctx.reset_custom_status()

    if winner.value is None:  # a timer's value
        return f"{expense.what}: no answer in time, so no"
    if not winner.value.approved:
        return f"{expense.what}: rejected by {winner.value.by}"
    return f"{expense.what}: approved by {winner.value.by}"


EXPENSES = [
    (Expense("pencils", 12, answer_within=timedelta(days=7)), None),
    (Expense("desk", 450, answer_within=timedelta(days=7)), Decision(approved=True, by="Ada")),
    (Expense("yacht", 90_000, answer_within=timedelta(days=7)), Decision(approved=False, by="Ada")),
    (Expense("chair", 250, answer_within=timedelta(seconds=0.5)), None),
]


def main() -> None:
    with database() as url, Runtime(url, registry) as runtime:
        client = runtime.client
        for expense, decision in EXPENSES:
            instance_id = new_id("expense")
            client.start_orchestration(instance_id, approve, expense)
            status = client.wait_for_status_change(instance_id, last_seen_version=0)
            if decision is not None and status.custom_status == WAITING:
                # Usually in another process, say a web server: all that it needs is Client(url) and the id.
                client.raise_event(instance_id, "decision", decision)
            print(client.wait_for_result(instance_id, type=str))


if __name__ == "__main__":
    main()
