"""Exported instances as files: one JSON file each, in a folder that belongs into version control."""

from __future__ import annotations

import hashlib
import json
import re

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .._core.exports import ExportedInstance
from ..errors import InvalidInput


#: Names that mean the same on every file system.
_PLAIN = re.compile(r"[a-z0-9_][a-z0-9_.-]{0,99}")
_LONGEST_NAME = 100


def file_name(name: str) -> str:
    """Return the name of the file for the instance (or test) called *name*; different ones never share a file."""
    if _PLAIN.fullmatch(name) and not name.endswith("."):
        return f"{name}.json"
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    readable = quote(name, safe="", errors="replace").replace("%", "_")[:_LONGEST_NAME]
    return f"{readable}-{digest}.json"


def write_document(document: Mapping[str, Any], path: str | Path) -> None:
    """Write an exported instance, with its folder if that is missing."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=1, sort_keys=False) + "\n", encoding="utf-8")


def read_document(path: str | Path) -> dict[str, Any]:
    """
    Return the exported instance that is in a file.

    Raises:
        InvalidInput: If it cannot be read, is not JSON, or no exported instance that this release can read.
    """
    try:
        document: dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        ExportedInstance.from_document(document)  # what is wrong with it is said with the name of its file
    except (OSError, ValueError, InvalidInput) as error:
        msg = f"{path} is no exported instance: {error}"
        raise InvalidInput(msg) from error
    return document


def read_folder(folder: str | Path) -> Iterator[dict[str, Any]]:
    """
    Yield the exported instances in *folder* and below, by name.

    Raises:
        InvalidInput: If there is no such folder, or none of them in it, or a JSON file that cannot be read.
    """
    if not Path(folder).is_dir():
        msg = f"{str(folder)!r} is no folder: give the one that `python -m duroxide export -o` has written."
        raise InvalidInput(msg)
    paths = sorted(Path(folder).rglob("*.json"))
    if not paths:  # usually the wrong folder; and a check that has looked at nothing must not pass
        msg = f"{str(folder)!r} has no exported instance in it, nor below: there is no file *.json."
        raise InvalidInput(msg)
    for path in paths:
        yield read_document(path)
