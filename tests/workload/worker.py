"""
A process that runs what `programs` has, until its standard input ends: ``process.Worker`` starts and stops it.

It says ``loaded`` and waits for a line before it opens the database, and ``ready`` when it runs; then ``begun`` as each
activity begins, and ``fault`` with its name before each fault. Its log goes to standard error.
"""

from __future__ import annotations

import argparse
import logging
import sys
import threading

from programs import OPTIONS, meter, registry  # beside this file, which is a program

from duroxide import ProviderError, Runtime, SqlProvider
from duroxide.testing.faults import (
    CallTwice,
    Delay,
    Fail,
    Fault,
    FaultPlan,
    FaultyProvider,
    Kill,
    LoseConnection,
    ProviderCall,
    Rule,
)


#: What is injected, all with the same probability.
FAULTS = (Fail(), Delay(0.05), CallTwice(), LoseConnection(), LoseConnection(after_commit=True))


def main() -> None:
    """Run until nobody writes to us any more."""
    arguments = parse()
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("duroxide.orchestrations").setLevel(logging.ERROR)  # failed attempts are what we are here for
    say("loaded")
    sys.stdin.readline()
    meter.tell = lambda: say("begun")
    provider = SqlProvider(arguments.url, schema=arguments.schema)
    runtime = Runtime(FaultyProvider(provider, plan(arguments), on_fault=report), registry, OPTIONS)
    start(runtime)
    say("ready")
    sys.stdin.read()
    runtime.shutdown()
    provider.close()


def parse() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--schema")
    parser.add_argument("--seed", default="")
    parser.add_argument("--faults", type=float, default=0.0, help="the probability of a fault in a call")
    parser.add_argument("--kills", type=float, default=0.0, help="the probability of the end in a commit")
    return parser.parse_args()


def start(runtime: Runtime) -> None:
    """Start *runtime*; a database that is away is waited for, as by whoever supervises processes."""
    while True:
        try:
            runtime.start()
        except ProviderError as error:
            if not error.retryable:
                raise
            logging.getLogger("worker").warning("cannot start yet: %s", error)
            threading.Event().wait(0.2)
        else:
            return


def plan(arguments: argparse.Namespace) -> FaultPlan:
    """Return the faults of this process."""
    ends = [
        Rule(Kill(after_commit=after), on=("commit_turns", "ack_activities"), probability=arguments.kills / 2)
        for after in (False, True)
    ]
    return FaultPlan((*ends, *FaultPlan.at_random(*FAULTS, probability=arguments.faults).rules), arguments.seed)


def report(fault: Fault, _: ProviderCall) -> None:
    """Say which fault will happen now."""
    when = " after the commit" if getattr(fault, "after_commit", False) else ""
    say(f"fault {type(fault).__name__}{when}")


def say(line: str) -> None:
    """Print *line* in one piece, now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
