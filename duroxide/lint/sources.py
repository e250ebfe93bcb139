"""
From what people name on the command line to source files, without importing anything.

A module that a named file imports is read too, if it lies beside it (below the same folder that its absolute
imports start from): it is followed, but not searched for orchestrations of its own.

Two folders of scripts may both have a ``helpers.py``. So the names of modules below the second folder begin with
``2:``, and each script means the one beside it.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from attrs import frozen

from ..errors import InvalidInput


NO_PREFIXES: Mapping[Path, str] = MappingProxyType({})

_INSTALLED = ("site-packages", "dist-packages")
_SKIPPED = ("__pycache__", "node_modules")


@frozen
class Source:
    """A Python file, and the name by which others import it, after the prefix of its root."""

    path: Path
    name: str
    #: The folder that absolute imports start from.
    root: Path
    #: The prefixes of all roots.
    prefixes: Mapping[Path, str] = NO_PREFIXES
    #: Whether it was named, not just imported by one that was.
    is_named: bool = True

    @property
    def is_package(self) -> bool:
        """Whether relative imports in it start from its own name."""
        return self.path.stem == "__init__"

    @property
    def shown(self) -> str:
        """The path as messages print it: relative to the current folder where that is shorter."""
        try:
            return self.path.relative_to(Path.cwd()).as_posix()
        except ValueError:
            return self.path.as_posix()


def find_sources(targets: Iterable[str]) -> list[Source]:
    """
    Return the files that *targets* (files, folders or dotted module names) stand for, sorted, each once.

    Raises:
        InvalidInput: If a target is neither a path nor a module that can be found.
    """
    files = {file: None for target in targets for file in sorted(_files_of(target))}
    places = {file: _place(file) for file in files}
    roots = dict.fromkeys(place.root for place in places.values())
    prefixes = {root: f"{number}:" if number > 1 else "" for number, root in enumerate(roots, 1)}
    return [Source(file, prefixes[place.root] + place.name, place.root, prefixes) for file, place in places.items()]


def absolute(name: str, source: Source) -> str:
    """Return what the module that *source* imports as *name* is called here, with its prefix."""
    top = name.partition(".")[0]
    if top == "duroxide":
        return name  # the library is known by its public names, also where its source lies about
    for root in (source.root, *source.prefixes):
        if top and ((root / f"{top}.py").is_file() or (root / top).is_dir()):
            return source.prefixes.get(root, "") + name
    return name


def imported(name: str, source: Source) -> Source | None:
    """Return the module *name* (with its prefix) that *source* imports, if its file lies beside what was named."""
    for root, prefix in source.prefixes.items():
        plain = name.removeprefix(prefix)
        top = plain.partition(".")[0]
        if ":" in plain or (root.name in _INSTALLED and top != source.name.partition(".")[0].rpartition(":")[2]):
            continue
        base = root.joinpath(*plain.split("."))
        for path in (base.with_name(base.name + ".py"), base / "__init__.py"):
            if path.is_file():
                return Source(path, name, root, source.prefixes, is_named=False)
    return None


def without_prefix(path: str) -> str:
    """Return the dotted name *path* as its author would write it."""
    return path.rpartition(":")[2]


def _files_of(target: str) -> Iterator[Path]:
    path = Path(target)
    if not target or not path.exists():
        path = _find_module(target)
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolve() would follow links out of the project
    if path.is_file():
        yield path
        return
    for folder, folders, files in os.walk(path):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        yield from (Path(folder, name) for name in files if name.endswith(".py"))


def _find_module(name: str) -> Path:
    """Return the file, or the package's folder, of a dotted name. Parents are not imported: files are looked at."""
    top, *rest = name.split(".")
    spec = _spec(top) if all(part.isidentifier() for part in (top, *rest)) else None
    if spec is not None and spec.submodule_search_locations is not None:
        for folder in spec.submodule_search_locations:
            base = Path(folder).joinpath(*rest)
            if base.is_dir():
                return base
            if rest and base.with_name(base.name + ".py").is_file():
                return base.with_name(base.name + ".py")
    elif spec is not None and spec.has_location and spec.origin is not None and not rest:
        return Path(spec.origin)
    msg = f"{name!r} is neither a file, nor a folder, nor a Python module that can be found from here. Check the name."
    raise InvalidInput(msg)


def _spec(top: str) -> importlib.machinery.ModuleSpec | None:
    try:
        return importlib.util.find_spec(top)
    except ValueError:  # __main__, which has no spec
        return None


@frozen
class _Place:
    """Where a file is, as imports see it."""

    name: str
    root: Path


def _place(file: Path) -> _Place:
    parts = [] if file.stem == "__init__" else [file.stem]
    folder = file.parent
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return _Place(".".join(parts) or file.parent.name, folder)
