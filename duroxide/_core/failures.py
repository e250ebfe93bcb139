"""
Recorded failures come back as exceptions of their own kind.

What is raised at the yield is always an `ActivityFailed` or `SubOrchestrationFailed`. Where the
original was a builtin, or was registered, its class is a base as well, so that ``except ValueError:``
works. Nothing is unpickled: the class is found by name, among builtins and registered ones only.
"""

from __future__ import annotations

import builtins

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from ..errors import ActivityFailed, ErrorDetails, RemoteFailure, SubOrchestrationFailed


#: Recorded type name → class.
ExceptionTypes: TypeAlias = Mapping[str, type[Exception]]
NO_EXCEPTIONS: ExceptionTypes = MappingProxyType({})

#: What cannot come back as itself: a StopIteration means something else inside a generator, and groups hold others.
NEVER_RAISED = (StopIteration, StopAsyncIteration, ExceptionGroup)


def exception_for(details: ErrorDetails, exceptions: ExceptionTypes, *, is_activity: bool) -> RemoteFailure:
    """Return the exception that code meets where it waits for what failed."""
    base = ActivityFailed if is_activity else SubOrchestrationFailed
    original = _original(details.type, exceptions)
    if original is None:
        return base(details)
    return _combined(base, original)(details)  # type: ignore[arg-type]  # mypy takes Exception for unhashable


def _original(name: str | None, exceptions: ExceptionTypes) -> type[Exception] | None:
    if name is None:
        return None
    found = exceptions.get(name)
    if found is not None:
        return found
    builtin = getattr(builtins, name, None)
    if isinstance(builtin, type) and issubclass(builtin, Exception) and not issubclass(builtin, NEVER_RAISED):
        return builtin
    return None


@lru_cache(maxsize=512)
def _combined(base: type[RemoteFailure], original: type[Exception]) -> type[RemoteFailure]:
    if issubclass(base, original):
        return base
    try:
        combined: type[RemoteFailure] = type(original.__name__, (base, original), {"__module__": base.__module__})
    except Exception:  # noqa: BLE001  # their memory layouts do not fit, or the original will not be derived from
        return base
    return combined
