"""A provider around another one: every operation goes through one method, which may look at it, or do worse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from .._core.commit import CommitResult, TurnCommit
from .._nouns import frozen
from .contract import Provider
from .management import Management
from .pipelined import Pipelined, SentTurns
from .rousing import Rousing


#: The names of all operations of a provider, those of management included.
OPERATIONS = frozenset(
    name
    for protocol in (Provider, Management)
    for name, member in vars(protocol).items()
    if not name.startswith("_") and callable(member)
)


@frozen
class Collected:
    """Commits that are under way as far as the caller knows; *collect* gets the results."""

    collect: Callable[[], Sequence[CommitResult]]

    def results(self) -> Sequence[CommitResult]:
        """Return what becomes of them."""
        return self.collect()


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
        if isinstance(provider, Pipelined):
            self.send_turns = self._send_turns
        if isinstance(provider, Rousing):
            self.rouse = provider.rouse

    def __repr__(self) -> str:
        return f"<{type(self).__name__}({self._provider!r})>"

    def _send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> SentTurns:
        """Let `_call` collect the results, as those of ``commit_turns``."""
        assert isinstance(self._provider, Pipelined), "it was when it was wrapped"
        sent = self._provider.send_turns(commits, lock_ms=lock_ms)
        collect = partial(self._call, "commit_turns", lambda *_, **__: sent.results(), commits, lock_ms=lock_ms)
        return Collected(collect)

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        """Call *operation*, which is the wrapped provider's *name*, or do something else."""
        raise NotImplementedError


def door_of(provider: Provider) -> object:
    """
    Return what a client must share with a runtime of its process to hand messages over to it.

    That is the database, and a wrapper, if there is one: its faults, or what it counts, are those of its own users. And who
    only reads is not to write by way of somebody else.
    """
    is_apart = isinstance(provider, WrappedProvider) or getattr(provider, "read_only", False)
    return provider if is_apart else None
