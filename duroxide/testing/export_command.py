"""The command ``python -m duroxide export``. Exit codes: 0 done, 1 an instance was not found, 2 wrong usage."""

from __future__ import annotations

import argparse
import json

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from .._core.commit import ExecutionStatus
from .._terminal import count, say
from ..client import Client
from ..errors import DuroxideError, InstanceNotFound
from ..providers.management import InstanceFilter
from ..providers.sql import SqlProvider
from .documents import file_name, write_document


SUMMARY = "write instances with their histories as JSON, for tests that replay them; writes nothing to the database"

NOT_FOUND = 1
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
    parser.add_argument("--limit", type=count, default=100, metavar="N", help="at most so many, the newest first (100)")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FOLDER", help="a file for each; without it, a line of JSON for each"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export, and return the exit code."""
    try:
        provider = SqlProvider(arguments.url, schema=arguments.schema, read_only=True)
        try:
            provider.initialize()
            exported = sum(_put(document, arguments.output) for document in _documents(Client(provider), arguments))
        finally:
            provider.close()
    except InstanceNotFound as error:
        say(f"duroxide export: {error}", is_error=True)
        return NOT_FOUND
    except (DuroxideError, OSError) as error:
        say(f"duroxide export: {error}", is_error=True)
        return WRONG_USAGE
    say(f"{exported} instances exported", is_error=True)
    return 0


def _documents(client: Client, arguments: argparse.Namespace) -> Iterator[Mapping[str, Any]]:
    if arguments.ids:
        return (client.export_instance(instance_id) for instance_id in arguments.ids)
    which = InstanceFilter(statuses=arguments.status, orchestration_name=arguments.name, id_prefix=arguments.prefix)
    return islice(client.export_instances(which), arguments.limit)


def _put(document: Mapping[str, Any], folder: Path | None) -> int:
    """Write *document* to its file in *folder*, or as a line; return how many that are."""
    if folder is None:
        say(json.dumps(document))
    else:
        write_document(document, folder / file_name(document["instance_id"]))
    return 1
