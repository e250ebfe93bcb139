"""
The guard: says something when orchestration code calls what will give another answer in replay.

Rule: switched off, it is not there: an `Executor` without any of it runs, and what does the watching is not even imported.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TypeAlias, get_args

from .._core.executor import Executor
from ..errors import InvalidInput


#: What to do about such a call: nothing, log it once for each line that makes it, or raise.
Mode: TypeAlias = Literal["off", "warn", "raise"]

#: What tests have switched on for the whole process; the last one counts.
_switched: dict[object, Mode] = {}


def executor_class(mode: Mode) -> type[Executor]:
    """Return the class of executors that do *mode* about such calls; what is off may be `switched_on` by a test."""
    if mode == "off" and _switched:
        mode = next(reversed(_switched.values()))
    if mode == "off":
        return Executor
    if mode not in get_args(Mode):
        msg = f"guard is {mode!r}: use one of {', '.join(get_args(Mode))}."
        raise InvalidInput(msg)
    from .watching import GUARDED  # noqa: PLC0415  # a process that does not guard starts without it

    return GUARDED[mode]


@contextmanager
def switched_on(mode: Mode) -> Iterator[None]:
    """Guard whatever begins or is replayed in this process meanwhile, and is not guarded anyway."""
    switch = object()
    _switched[switch] = mode
    try:
        yield
    finally:
        del _switched[switch]
