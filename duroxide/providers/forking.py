"""
Which process this is, and which one something was made in.

A child that is forked is another process: threads, sockets and locks of files stay with the parent, while the objects that
speak of them come along. What was made before the fork must not be used after it, and says so.
"""

from __future__ import annotations

import os

from collections.abc import Callable

from .._clock import new_token
from ..errors import ProviderError


class Process:
    """The process that runs this. A child that is forked has a name of its own."""

    def __init__(self) -> None:
        #: Its name, unique across machines.
        self.token = new_token()

    def __str__(self) -> str:
        return self.token

    def begin_as_child(self) -> None:
        """Take another name than the parent's."""
        self.token = new_token()


class Birthplace:
    """The process that something was made in."""

    def __init__(self) -> None:
        self._token = PROCESS.token

    @property
    def is_elsewhere(self) -> bool:
        """Whether that is another process than this one, which was forked since."""
        return self._token != PROCESS.token

    def check(self, operation: str) -> None:
        """
        Refuse what does not work across a fork.

        Raises:
            ProviderError: If this is another process.
        """
        if self._token != PROCESS.token:  # before everything that is asked of a database
            message = (
                "this was made before the process was forked, and its connections are the parent's. Make a new Client,"
                " Runtime or SqlProvider in the child, after the fork."
            )
            raise ProviderError(operation, message, retryable=False)


def in_child(begin: Callable[[], None]) -> None:
    """Call *begin* in every child that is forked from now on, where there is such a thing."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=begin)


#: The process that runs this.
PROCESS = Process()
in_child(PROCESS.begin_as_child)
