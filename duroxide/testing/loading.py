"""The registry that ``module:registry`` names: how commands and settings speak of code."""

from __future__ import annotations

import importlib
import re
import sys

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .._core.registry import Registry
from ..errors import InvalidInput


#: What is no name of a module, but people write.
_FILE = re.compile(r"[/\\]|\.py$")


def load_registry(text: str, *folders: Path) -> Registry:
    """
    Import and return the registry that *text* names: ``shop.orders:registry``, or a function that returns one.

    Modules are looked for in *folders* first, and in the current folder, as ``python -m`` does.

    Raises:
        InvalidInput: If there is none; what the module itself raises is passed on as the cause.
    """
    name, colon, path = text.partition(":")
    if not name or not colon or not path or _FILE.search(name):
        msg = (
            f"{text!r} names no registry: write module:registry, the module as it is imported, "
            "for example shop.orders:registry."
        )
        raise InvalidInput(msg)
    found = _attribute(_module(name, text, [*folders, Path.cwd()]), path, text)
    if callable(found) and not isinstance(found, Registry):
        found = _called(found, text)
    if not isinstance(found, Registry):
        msg = f"{text} is {found!r}: it must be a duroxide.Registry, or a function that returns one."
        raise InvalidInput(msg)
    return found


def _module(name: str, text: str, folders: Sequence[Path]) -> object:
    places = list(dict.fromkeys(map(str, folders)))
    sys.path[:0] = [place for place in places if place not in sys.path]
    try:
        return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        is_missing = isinstance(error, ModuleNotFoundError) and error.name is not None and name.startswith(error.name)
        reason = "there is no such module" if is_missing else f"importing it raised {type(error).__name__}: {error}"
        msg = f"{text}: {reason}. Run this where {name!r} can be imported: {', then '.join(places)} is looked through first."
        raise InvalidInput(msg) from error


def _attribute(module: object, path: str, text: str) -> object:
    found = module
    for part in path.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            registries = sorted(key for key, value in vars(module).items() if isinstance(value, Registry))
            known = f"its registries are {', '.join(registries)}" if registries else "it has no registry"
            msg = f"{text}: the module has no {path!r}; {known}."
            raise InvalidInput(msg) from error
    return found


def _called(function: Callable[[], Any], text: str) -> object:
    try:
        return function()
    except (Exception, SystemExit) as error:
        msg = f"{text} is a function, and calling it raised {type(error).__name__}: {error}"
        raise InvalidInput(msg) from error
