"""The command ``python -m duroxide export``. Exit codes: 0 done, 1 not all could be found and read, 2 wrong usage."""

from __future__ import annotations

import argparse
import json

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .._core.commit import ExecutionStatus
from .._nouns import define
from .._terminal import count, say
from ..client import Client
from ..errors import DuroxideError, InstanceNotFound, InvalidInput, UnreadableHistory
from ..providers.management import InstanceFilter
from ..providers.sql import SqlProvider
from .documents import file_name, write_document


SUMMARY = "write instances with their histories as JSON, for tests that replay them; writes nothing to the database"

#: The options that choose instances where none are named.
_CHOOSING = ("status", "name", "prefix", "limit")
_LIMIT = 100

INCOMPLETE = 1
WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("ids", nargs="*", metavar="INSTANCE", help="which instances; without any, all that match")
    parser.add_argument("--url", required=True, help="the database: sqlite:///path.db or postgresql://host/database")
    parser.add_argument("--schema", help="the schema that holds the tables (Postgres)")
    statuses = [status.value for status in ExecutionStatus]
    parser.add_argument("--status", choices=statuses, action="append", help="only instances that stand so; repeatable")
    parser.add_argument("--name", help="only instances of this orchestration")
    parser.add_argument("--prefix", help="only instances whose id begins so")
    parser.add_argument("--limit", type=count, metavar="N", help=f"at most so many, the newest first ({_LIMIT})")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="a file for each; without it, a line of JSON for each"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export, and return the exit code."""
    missed = _Missed()
    try:
        provider = SqlProvider(arguments.url, schema=arguments.schema, read_only=True)
        try:
            provider.initialize()
            documents = _documents(Client(provider), arguments, missed)
            exported = sum(_put(document, arguments.output) for document in documents)
        finally:
            provider.close()
    except (DuroxideError, OSError) as error:
        say(f"duroxide export: {error}", is_error=True)
        return WRONG_USAGE
    if missed.count:
        say(f"{exported} instances exported, {missed.count} not", is_error=True)
        return INCOMPLETE
    say(f"{exported} instances exported", is_error=True)
    return 0


@define
class _Missed:
    """Tells of what is not exported, and counts it."""

    count: int = 0

    def tell(self, error: DuroxideError) -> None:
        """Say why an instance is left out."""
        self.count += 1
        say(f"duroxide export: {error}", is_error=True)


def _documents(client: Client, arguments: argparse.Namespace, missed: _Missed) -> Iterator[Mapping[str, Any]]:
    if arguments.ids:
        given = [f"--{name}" for name in _CHOOSING if getattr(arguments, name) is not None]
        if given:
            msg = f"instances ({', '.join(arguments.ids)}) and {', '.join(given)}: name instances, or let options choose them."
            raise InvalidInput(msg)
        return _listed(client, arguments.ids, missed)
    which = InstanceFilter(statuses=arguments.status, orchestration_name=arguments.name, id_prefix=arguments.prefix)
    limit = _LIMIT if arguments.limit is None else arguments.limit
    return islice(client.export_instances(which, on_unreadable=missed.tell), limit)


def _listed(client: Client, ids: Sequence[str], missed: _Missed) -> Iterator[Mapping[str, Any]]:
    for instance_id in ids:
        try:
            document = client.export_instance(instance_id)
        except (InstanceNotFound, UnreadableHistory) as error:
            missed.tell(error)
        else:
            yield document


def _put(document: Mapping[str, Any], folder: Path | None) -> int:
    """Write *document* to its file in *folder*, or as a line; return how many that are."""
    if folder is None:
        say(json.dumps(document))
    else:
        write_document(document, folder / file_name(document["instance_id"]))
    return 1
