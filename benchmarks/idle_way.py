"""The way from start to result on an idle runtime, call by call and statement by statement, for `cost.py`."""

from __future__ import annotations

import threading
import time

from collections.abc import Iterator
from typing import Any

from attrs import frozen
from cost_tables import IdleWay

from duroxide import Registry, Runtime, RuntimeOptions
from duroxide.bench.counting import Call, watch


_TIMES = 60
_PAUSE = 0.02


@frozen
class Way:
    """One start to result."""

    begun: float
    seconds: float
    calls: list[Call]


def idle_way(provider: Any, registry: Registry, chain: Any) -> IdleWay:
    """Go the way many times, and return what the middle one asked."""
    watched, calls = watch(provider)
    ways: list[Way] = []
    with Runtime(watched, registry, RuntimeOptions(poll_interval=3600)) as runtime:
        for number in range(_TIMES):
            threading.Event().wait(_PAUSE)
            calls.clear()
            begun = time.monotonic()
            runtime.client.start_orchestration(f"idle-{number}", chain, 1)
            runtime.client.wait_for_result(f"idle-{number}", 30)
            seconds = time.monotonic() - begun
            ways.append(Way(begun, seconds, list(calls.all)))
    ways.sort(key=lambda way: way.seconds)
    middle = ways[len(ways) // 2]
    return IdleWay(middle.seconds * 1000, ways[len(ways) * 95 // 100].seconds * 1000, list(_table(middle)))


def _table(way: Way) -> Iterator[str]:
    yield "| begins (ms) | takes (ms) | thread | call | asks (µs) |"
    yield "| ---: | ---: | --- | --- | --- |"
    for call in sorted(way.calls, key=lambda each: each.begun):
        asked = ", ".join(f"{each.what} {each.seconds * 1e6:.0f}" for each in call.asked)
        thread = "caller" if call.thread == "MainThread" else call.thread.removeprefix("duroxide-").partition("-")[0]
        at, took = (call.begun - way.begun) * 1000, call.seconds * 1000
        yield f"| {at:.2f} | {took:.2f} | {thread} | `{call.operation}` | {asked} |"
    yield f"| {way.seconds * 1000:.2f} | | caller | has the result | |"
