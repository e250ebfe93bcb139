"""
A chat bot with a mailbox: messages wait in a queue until they are read, each once, in their order.

    python examples/chat_mailbox.py [--database URL]

An event (`raise_event`) is for somebody who waits already; a message (`enqueue_event`) waits for its reader. So the
sender need not know what the bot is doing: it may be busy with an answer, asleep because no process runs, or between
two executions. Here, all of the conversation is there before the bot reads the first line.
"""

from __future__ import annotations

from attrs import frozen
from demo import database, new_id

from duroxide import ActivityContext, Client, Orchestration, OrchestrationContext, Registry, Runtime


INBOX = "inbox"

#: So that the history of a long conversation does not grow for ever.
LINES_PER_EXECUTION = 20

registry = Registry()


@frozen
class Line:
    """What somebody says."""

    who: str
    text: str


@registry.activity
def answer(ctx: ActivityContext, line: Line) -> str:
    """Here could be a language model."""
    return f"{line.text.rstrip('?').upper()}, {line.who}? Yes."


@registry.orchestration
def chat(ctx: OrchestrationContext, read: int = 0) -> Orchestration[int]:
    """Read lines until one says bye; return how many there were."""
    for _ in range(LINES_PER_EXECUTION):
        line = yield from ctx.dequeue_event(INBOX, type=Line)
        read += 1
        if line.text == "bye":
            return read
        if line.text.endswith("?"):
            reply = yield from ctx.schedule_activity(answer, line)
            ctx.set_kv_value("last answer", reply)  # which clients can read
    # What has not been read yet goes along into the next execution.
    yield ctx.continue_as_new(read)
    raise AssertionError("nothing after continue_as_new is run")


def main() -> None:
    bot = new_id("chat")
    with database() as url:
        # A client needs no runtime: it writes to the database. So all this waits there, and would for weeks.
        with Client(url) as client:
            client.start_orchestration(bot, chat)
            for number in range(1, 61):
                client.enqueue_event(bot, INBOX, Line("Ada", f"this is fact {number}"))
            client.enqueue_event(bot, INBOX, Line("Grace", "is that so?"))
            client.enqueue_event(bot, INBOX, Line("Ada", "bye"))

        with Runtime(url, registry) as runtime:
            lines = runtime.client.wait_for_result(bot, type=int)
            print(runtime.client.get_kv_value(bot, "last answer", type=str))
            info = runtime.client.get_instance_info(bot)
            print(f"the bot read {lines} lines in {info.execution_id} executions")


if __name__ == "__main__":
    main()
