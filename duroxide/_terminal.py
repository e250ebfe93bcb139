"""What all commands do alike: how they print, and which numbers they take."""

from __future__ import annotations

import os
import sys

from argparse import ArgumentTypeError


#: The exit code of a command whose reader has had enough (``| head``): what a shell makes of SIGPIPE.
PIPE_CLOSED = 141


def say(text: str, *, is_error: bool = False) -> None:
    """
    Print *text* (or nothing, if there is none) to the output, or to that for errors, as far as it can show it.

    Raises:
        SystemExit: If nobody reads the output any more.
    """
    stream = sys.stderr if is_error else sys.stdout
    if not text:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"  # a process may have no output at all
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)  # a command prints
    except BrokenPipeError:
        # What is in the buffer would be tried once more at the exit, and complained about.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise SystemExit(PIPE_CLOSED) from None


def count(text: str) -> int:
    """Return the number that *text* is, for argparse; one of less than nothing is refused."""
    if not (text.isascii() and text.isdigit()):
        msg = f"{text!r} is no whole number of 0 or more"
        raise ArgumentTypeError(msg)
    return int(text)


def positive(text: str) -> int:
    """Return the number that *text* is, for argparse; nothing, or less, is refused."""
    number = count(text)
    if number == 0:
        msg = "0 is too few: give at least 1"
        raise ArgumentTypeError(msg)
    return number
