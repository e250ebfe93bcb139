"""A provider around another one: every operation goes through one method, which may look at it, or do worse."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .contract import Provider
from .management import Management


#: The names of all operations of a provider, those of management included.
OPERATIONS = frozenset(
    name
    for protocol in (Provider, Management)
    for name, member in vars(protocol).items()
    if not name.startswith("_") and callable(member)
)

# To a type checker, a wrapper is whatever it wraps: its operations are made at run time.
_Anything: Any = object


class WrappedProvider(_Anything):  # type: ignore[misc]  # see above
    """
    Has the operations that *provider* has, and sends each through `_call`.

    To a Runtime or a Client it is a provider like any other.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.wakeups = provider.wakeups
        for name in OPERATIONS:
            operation = getattr(provider, name, None)
            if callable(operation):
                setattr(self, name, partial(self._call, name, operation))

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._provider!r})>"

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """Call *operation*, which is the wrapped provider's *name*, or do something else."""
        raise NotImplementedError


def door_of(provider: Provider) -> object:
    """
    Return what a client must share with a runtime of its process to hand messages over to it.

    That is the database, and a wrapper, if there is one: its faults, or what it counts, are those of its own users.
    """
    return provider if isinstance(provider, WrappedProvider) else None
