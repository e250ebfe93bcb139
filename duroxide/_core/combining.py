"""How orchestration code combines actions: all of them, the first of them, none of them any more."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from ..errors import InvalidInput, OrchestrationMisuse
from .actions import Action, Winner
from .replay import Replay
from .scheduler import Scheduler


if TYPE_CHECKING:
    from .actions import First, Second, Third  # which are there for type checkers only

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

#: What join() and select() accept: an action, or a generator of several steps.
Awaitable: TypeAlias = Action[T] | Generator[Action[Any], Any, T]


class Combining:
    """The part of `OrchestrationContext` that combines actions."""

    _replay: Replay

    @overload
    def join(self, *awaitables: Awaitable[T], return_exceptions: Literal[False] = False) -> Action[list[T]]: ...
    @overload
    def join(self, *awaitables: Awaitable[T], return_exceptions: bool) -> Action[list[T | BaseException]]: ...
    def join(self, *awaitables: Awaitable[T], return_exceptions: bool = False) -> Action[list[Any]]:
        """
        Return an action that waits for all of *awaitables*; its value lists theirs in argument order.

        A failure stops nothing: when all are done, the first error in argument order is raised, or,
        with *return_exceptions*, stands in the list. Generators run as branches beside each other.
        """
        return self._replay.scheduler.join(awaitables, return_exceptions=return_exceptions)

    @overload
    def select(
        self, first: Awaitable[A], second: Awaitable[B], /, *, cancel_losers: bool = True
    ) -> Action[First[A] | Second[B]]: ...
    @overload
    def select(
        self, first: Awaitable[A], second: Awaitable[B], third: Awaitable[C], /, *, cancel_losers: bool = True
    ) -> Action[First[A] | Second[B] | Third[C]]: ...
    @overload
    def select(self, *awaitables: Awaitable[T], cancel_losers: bool = True) -> Action[Winner[T]]: ...
    def select(self, *awaitables: Awaitable[Any], cancel_losers: bool = True) -> Action[Any]:
        """
        Return an action that waits for the first of *awaitables*, and says which it was.

        Whose answer comes first in history wins; among those that are ready already, the first
        argument does. If the first answer is an error, it is raised. The losers are cancelled, and the
        branches among them closed, unless *cancel_losers* is off. Of two or three *awaitables*, type checkers know the
        type of the winner's value when its index is compared.
        """
        return self._replay.scheduler.select(awaitables, cancel_losers=cancel_losers)

    def cancel(self, action: Action[Any]) -> None:
        """
        Give *action* up. No effect if it is done.

        An activity that runs is told, one that waits is removed, a child is cancelled, a branch is closed.
        """
        _check_own(action, self._replay.scheduler)
        self._replay.scheduler.cancel(action)


def _check_own(action: object, home: Scheduler) -> None:
    """Refuse to cancel what is no action, or another instance's: that one knows nothing of it."""
    if not isinstance(action, Action):
        msg = f"cancel() takes an action of this orchestration, not {action!r}."
        raise InvalidInput(msg)
    if action.home is not home:
        msg = (
            f"cancel() was given {action!r}, which belongs to another execution: an action cannot be kept in a global or"
            " passed between instances. Give one that this context returned."
        )
        raise OrchestrationMisuse(msg)
