"""
``python -m duroxide COMMAND ...``: a table of commands, each of which lives with the thing that it is about.

A command declares its arguments and runs with them; it returns the exit code. For all of them, 2 is wrong usage, and 130
Ctrl-C.
"""

from __future__ import annotations

import argparse

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from attrs import frozen

from .._version import __version__
from ..lint import command as lint
from ..providers.sql import command as schema
from ..testing import export_command as export
from ..testing import replay_command as replay


@frozen
class Command:
    """One subcommand."""

    #: What it is for, in one line.
    summary: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


COMMANDS: Mapping[str, Command] = MappingProxyType(
    {
        "export": Command(export.SUMMARY, export.add_arguments, export.run),
        "lint": Command(lint.SUMMARY, lint.add_arguments, lint.run),
        "replay": Command(replay.SUMMARY, replay.add_arguments, replay.run),
        "schema": Command(schema.SUMMARY, schema.add_arguments, schema.run),
    }
)


_ABOUT = "Tools around durable orchestrations."
_ELSEWHERE = "`python -m duroxide.bench --help`: measure duroxide on your machine and database."

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that *arguments* (by default, those of the process) name; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m duroxide", description=_ABOUT, epilog=_ELSEWHERE)
    parser.add_argument("--version", action="version", version=f"duroxide-python {__version__}")
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        command.add_arguments(subparsers.add_parser(name, help=command.summary, description=command.summary))
    parsed = parser.parse_args(arguments)
    try:
        return COMMANDS[parsed.command].run(parsed)
    except KeyboardInterrupt:
        return INTERRUPTED
