"""
The smallest durable program: one orchestration of two steps, kept in an SQLite file.

    python examples/hello_world.py [FILE]

FILE is ./hello.db unless you name another. The first run greets, and shows the history that it left behind.
Every later run finds the result in the file and does nothing. Had the first run been killed between its two
steps, the next one would do the second step only.
"""

from __future__ import annotations

import sys

from duroxide import ActivityContext, Client, Completed, Orchestration, OrchestrationContext, Registry, Runtime


INSTANCE = "hello-1"

registry = Registry()


@registry.activity
def greet(ctx: ActivityContext, name: str) -> str:
    """Activities do the work; here could be a request, a query, a computation."""
    return f"Hello, {name}!"


@registry.orchestration
def hello(ctx: OrchestrationContext, names: list[str]) -> Orchestration[str]:
    """Orchestrations say what is done, in plain Python. Each answer is stored before the code goes on."""
    greetings = []
    for name in names:
        greeting = yield from ctx.schedule_activity(greet, name)
        greetings.append(greeting)
    return " ".join(greetings)


def print_history(client: Client) -> None:
    for event in client.read_execution_history(INSTANCE):
        print(f"  {event.event_id}. {type(event).__name__}")


def main(file: str = "hello.db") -> None:
    with Runtime(f"sqlite:///{file}", registry) as runtime:
        client = runtime.client
        status = client.get_orchestration_status(INSTANCE)
        if isinstance(status, Completed):
            print(f"already done: {status.output}")
            print(f"Nothing was run: that is the result stored in {file}. Delete the file to start afresh.")
            return

        client.start_orchestration(INSTANCE, hello, ["world", "durable world"])
        print(client.wait_for_result(INSTANCE, type=str))
        print(f"Its history, in {file}:")
        print_history(client)
        print("Run me again: the result is stored, and nothing is done twice.")


if __name__ == "__main__":
    main(*sys.argv[1:2])
