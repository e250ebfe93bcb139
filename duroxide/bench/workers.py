"""The scenario of several worker processes on one database; run as a program, one of them."""

from __future__ import annotations

import json
import subprocess
import sys

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from attrs import evolve

from .._runtime.options import RuntimeOptions
from .._runtime.runtime import Runtime
from ..client import Client
from . import programs
from .measuring import Figures, Stopwatch
from .places import Place
from .scenario import PATIENCE, Bench, run, start_many


def workers(bench: Bench) -> Figures:
    """Orchestrations of some sequential activities each, shared by several worker processes."""
    steps = bench.size("activities")
    ids = [f"shared-{number}" for number in range(bench.size("orchestrations"))]
    with ExitStack() as stack:
        provider = stack.enter_context(bench.place.open())
        for _ in range(bench.size("processes")):
            stack.enter_context(_worker(bench))
        client = Client(provider)
        run(client, "warm-up", programs.chain, 3)
        watch = Stopwatch()
        start_many(provider, ids, "chain", steps)
        for instance_id in ids:
            client.wait_for_result(instance_id, PATIENCE)
        seconds = watch.seconds()
    per_s = len(ids) / seconds
    return {"orchestrations_per_s": per_s, "activities_per_s": per_s * steps, "wall_s": seconds}


@contextmanager
def _worker(bench: Bench) -> Iterator[None]:
    """Run a worker process."""
    place = bench.place
    text = json.dumps({"url": place.url, "schema": place.schema, "options": dict(bench.options)})
    command = [sys.executable, "-m", "duroxide.bench.workers", text]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603  # our own
        assert child.stdin is not None, "it was asked for"
        assert child.stdout is not None, "it was asked for"
        child.stdout.readline()
        try:
            yield
        finally:
            child.stdin.close()


def main(text: str) -> None:
    """Be a worker until standard input ends."""
    asked = json.loads(text)
    options = evolve(RuntimeOptions(), **asked["options"])
    with Place(asked["url"], asked["schema"]).open() as provider, Runtime(provider, programs.registry, options):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
