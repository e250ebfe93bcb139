"""
What a provider may offer besides its contract: commits that are under way while the caller goes on with other work.

It is worth something where the store is another process, which can work while this one does. A provider that has no
`send_turns` lacks nothing: whoever commits asks whether it is `Pipelined`, and calls `Provider.commit_turns` otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from .._core.commit import CommitResult, TurnCommit


class SentTurns(Protocol):
    """A batch of commits that is under way."""

    def results(self) -> Sequence[CommitResult]:
        """
        Wait for the answer, and return what `Provider.commit_turns` returns for the batch; or raise what it raises.

        To be called once, in the thread that sent the batch. Afterwards everything is as after `Provider.commit_turns`.
        """
        ...


@runtime_checkable
class Pipelined(Protocol):
    """A provider that can do without the caller while it commits."""

    def send_turns(self, commits: Sequence[TurnCommit], *, lock_ms: int) -> SentTurns:
        """
        Begin to do what `Provider.commit_turns` does, and return while it is being done.

        Raises no ProviderError: `SentTurns.results` does. When the batch is written, before `results` is called or
        then, is open. `results` wakes those who wait in this process; and it deals with a batch that has to be tried again, or
        in which a commit is refused. Until it is called, the batch may hold a connection and locks of the database, so it
        should be called soon, and nothing else that waits for the same instances. If it never is, the batch may or may
        not have been written.

        Several batches, of different instances, may be under way at the same time, each with its thread.
        """
        ...
