"""The guard, for tests: `guard`."""

from __future__ import annotations

from contextlib import AbstractContextManager

from .._guard import Mode, switched_on
from ..errors import InvalidInput


def guard(mode: Mode = "raise") -> AbstractContextManager[None]:
    """
    Watch, meanwhile, over all orchestrations of this process: runtimes, simulators and replays that begin in it.

    Code that reads the clock, a random number or the environment, that sleeps, opens a file or a socket, or starts a
    thread or a process, raises `NondeterministicCall` there, and its orchestration fails with it, whatever it catches.
    Activities may do all that.

    Args:
        mode: ``"raise"``, or ``"warn"`` to log it once for each line of code.

    Raises:
        InvalidInput: If *mode* is anything else.
    """
    if mode not in ("raise", "warn"):
        msg = f'mode is {mode!r}: use "raise" or "warn".'
        raise InvalidInput(msg)
    return switched_on(mode)
