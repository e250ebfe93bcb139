"""What a scenario is, and what it has to work with."""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from attrs import evolve, field, frozen

from .._core.messages import StartOrchestration
from .._core.payloads import encode
from .._runtime.options import RuntimeOptions
from .._runtime.runtime import Runtime
from ..client import Client
from ..providers.contract import Provider
from . import programs
from .measuring import Figures
from .places import Place


#: How big a scenario is made, by name.
Sizes: TypeAlias = Mapping[str, int]

#: What may be set about the runtime: names of `RuntimeOptions` that are numbers.
Options: TypeAlias = Mapping[str, int | float]

#: How long (seconds) anything may take before the scenario is given up.
PATIENCE = 600.0

#: Starts that one transaction stores, where starting is not what is measured.
_BATCH = 500


@frozen
class Bench:
    """What a scenario runs on."""

    place: Place
    sizes: Sizes
    options: Options = field(factory=dict)

    def size(self, name: str) -> int:
        """Return how big *name* is to be."""
        return self.sizes[name]

    def runtime_options(self, **defaults: Any) -> RuntimeOptions:
        """Return the options of a runtime; what the user set about it comes before *defaults*."""
        return evolve(RuntimeOptions(), **{**defaults, **self.options})

    @contextmanager
    def runtime(self, **defaults: Any) -> Iterator[Runtime]:
        """Run a warm runtime, with the `runtime_options`."""
        options = self.runtime_options(**defaults)
        with self.place.open() as provider, Runtime(provider, programs.registry, options) as runtime:
            run(runtime.client, "warm-up", programs.chain, 3)
            yield runtime


@frozen
class Scenario:
    """One thing to measure."""

    name: str
    run: Callable[[Bench], Figures]
    #: The sizes that are measured when nobody asks for others; most have one set of them.
    variants: tuple[Sizes, ...]
    #: Sizes that show in a moment whether it works at all.
    tiny: Sizes
    #: Sizes of a quick look; None: the first of *variants* is quick enough.
    quick: Sizes | None = None
    #: Why it cannot run on SQLite, if so.
    needs_postgres: str | None = None

    @property
    def summary(self) -> str:
        """What it measures, in a sentence."""
        return (self.run.__doc__ or "").strip().partition("\n")[0]


def run(client: Client, instance_id: str, orchestration: Callable[..., Any], argument: object) -> Any:
    """Start an instance, wait for it, and return its output."""
    client.start_orchestration(instance_id, orchestration, argument)
    return client.wait_for_result(instance_id, PATIENCE)


def start_many(provider: Provider, ids: list[str], orchestration: str, argument: object) -> None:
    """Start instances, many in a transaction: where starting them is not what is measured."""
    text = encode(argument, where="the input of a scenario")
    for first in range(0, len(ids), _BATCH):
        batch = ids[first : first + _BATCH]
        provider.start_instances([StartOrchestration(instance_id, orchestration, text) for instance_id in batch])


def pause(seconds: float) -> None:
    """Let *seconds* pass."""
    threading.Event().wait(seconds)
