"""The command ``python -m duroxide replay``. Exit codes: 0 all fits, 1 something would break, 2 wrong usage."""

from __future__ import annotations

import argparse

from collections.abc import Iterable
from typing import get_args

from attrs import define

from .._guard import Mode
from .._terminal import count, say
from ..errors import DuroxideError, InvalidInput
from ..providers.sql import SqlProvider
from .documents import read_folder
from .gate import Outcome, Selection, replay_stored
from .loading import load_registry
from .replaying import replay


SUMMARY = "replay what runs in a database against this checkout, before it is deployed; writes nothing"

BREAKS = 1
WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("registry", metavar="MODULE:REGISTRY", help="the code, e.g. shop.orders:registry")
    parser.add_argument("ids", nargs="*", metavar="INSTANCE", help="only these instances, running or not")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--url", help="the database: sqlite:///path.db or postgresql://host/database")
    source.add_argument("--folder", help="a folder of exported instances, instead of a database")
    parser.add_argument("--schema", help="the schema that holds the tables (Postgres)")
    parser.add_argument("--all", action="store_true", help="report everything that would break, not just the first")
    parser.add_argument("--finished", type=count, default=0, metavar="N", help="also the newest N that have ended")
    parser.add_argument("--skip-unregistered", action="store_true", help="leave out what is not registered here")
    parser.add_argument("--guard", choices=get_args(Mode), default="off", help="about calls to the clock etc. (off)")


def run(arguments: argparse.Namespace) -> int:
    """Replay, print, and return the exit code."""
    try:
        return _run(arguments)
    except DuroxideError as error:
        say(f"duroxide replay: {error}", is_error=True)
        return WRONG_USAGE


def _run(arguments: argparse.Namespace) -> int:
    registry = load_registry(arguments.registry)
    if arguments.folder is not None:
        _check_folder_only(arguments)
        documents = read_folder(arguments.folder)
        report = replay(documents, registry, skip_unregistered=arguments.skip_unregistered, guard=arguments.guard)
        say(str(report))
        return 0 if report.is_clean else BREAKS
    selection = Selection(
        ids=tuple(arguments.ids) or None,
        finished=arguments.finished,
        skip_unregistered=arguments.skip_unregistered,
        guard=arguments.guard,
    )
    provider = SqlProvider(arguments.url, schema=arguments.schema, read_only=True)
    try:
        provider.initialize()
        return _report(replay_stored(provider, registry, selection), stop_at_first=not arguments.all)
    finally:
        provider.close()


def _check_folder_only(arguments: argparse.Namespace) -> None:
    """
    Refuse what chooses instances of a database.

    Raises:
        InvalidInput: If there is any of it.
    """
    given = [f"instances ({', '.join(arguments.ids)})"] if arguments.ids else []
    given += ["--finished"] if arguments.finished else []
    given += ["--schema"] if arguments.schema is not None else []
    if given:
        msg = f"--folder and {', '.join(given)}: a folder is replayed as a whole."
        raise InvalidInput(msg)


@define
class _Count:
    """How many instances there were of each kind."""

    replayed: int = 0
    broken: int = 0
    skipped: int = 0


def _report(outcomes: Iterable[Outcome], *, stop_at_first: bool) -> int:
    counted = _Count()
    for outcome in outcomes:
        counted.skipped += outcome.is_skipped
        counted.replayed += not outcome.is_skipped
        if outcome.divergence is not None:
            counted.broken += 1
            say(str(outcome.divergence))
            if stop_at_first:
                break
    left_out = f", {counted.skipped} left out" if counted.skipped else ""
    stopped = " (stopped at the first; --all goes on)" if counted.broken and stop_at_first else ""
    say(f"{counted.replayed} instances replayed{left_out}, {counted.broken} would break{stopped}", is_error=True)
    return BREAKS if counted.broken else 0
