"""
What orchestrations yield: `Action`, and the ways to combine actions.

An action is a promise of an answer. It is passive: the `Scheduler` resolves it, and whoever waits for
it is told. Waiting twice for one action gives the same answer twice.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from .._nouns import noun
from .requests import Request


T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

AnyGenerator: TypeAlias = Generator[Any, Any, Any]


@noun
class Value:
    """An action's answer: what it returned."""

    value: Any


@noun
class Error:
    """An action's answer: what it raises where it is waited for, made anew each time."""

    make: Callable[[], BaseException]


Outcome: TypeAlias = Value | Error


class Waiter(Protocol):
    """Something that is told when an action it waits for is resolved."""

    def notify(self, action: Action[Any]) -> Action[Any] | None:
        """Take note that *action* has an outcome. Returns what is resolved by that, whose waiters are to be told."""
        ...


class Action(Generic[T_co]):
    """
    Something an orchestration can wait for: ``value = yield from action``.

    ``value = yield action`` does the same; only the type checker learns less.
    """

    __slots__ = ("home", "outcome", "owner", "waiters")

    def __init__(self, home: object, owner: Branch[Any] | None = None) -> None:
        #: The scheduler it belongs to; an action means nothing in another execution.
        self.home = home
        #: The branch whose end cancels it, if one does.
        self.owner = owner
        #: None: nobody has answered it yet. (An answer of None is ``Value(None)``.)
        self.outcome: Outcome | None = None
        self.waiters: list[Waiter] = []

    def __iter__(self) -> Generator[Action[Any], Any, T_co]:
        answer: T_co = yield self
        return answer

    @property
    def is_done(self) -> bool:
        """Whether the answer is known already, so that waiting for it will not suspend."""
        return self.outcome is not None

    def __repr__(self) -> str:
        return f"<{self._describe()}, {'done' if self.is_done else 'pending'}>"

    def _describe(self) -> str:
        return type(self).__name__


Orchestration: TypeAlias = Generator[Action[Any], Any, T]


class Scheduled(Action[T_co]):
    """A request to the world outside: an activity, a timer, an event, a child."""

    __slots__ = ("decode", "event_id", "is_cancelled", "is_recorded", "request")

    def __init__(self, home: object, request: Request, owner: Branch[Any], decode: Callable[[str], Any]) -> None:
        # Not by way of super(): this is done in every turn.
        self.home = home
        self.owner = owner
        self.outcome = None
        self.waiters = []
        self.request = request
        #: JSON text → the value that code receives.
        self.decode = decode
        #: Its schedule event's id, as soon as it has one.
        self.event_id = 0
        #: Whether the schedule event is in history (not just decided).
        self.is_recorded = False
        #: Whether code has given it up.
        self.is_cancelled = False

    def _describe(self) -> str:
        return repr(self.request)


class Branch(Action[T_co]):
    """A generator of several steps that runs beside others. Its answer is what it returns or raises."""

    __slots__ = ("generator", "is_closed", "next_outcome", "notify_ready", "owned")

    def __init__(
        self,
        home: object,
        generator: AnyGenerator,
        owner: Branch[Any] | None,
        notify_ready: Callable[[Branch[Any]], None],
    ) -> None:
        super().__init__(home, owner)
        self.generator = generator
        self.notify_ready = notify_ready
        #: What was started in it and is not finished: cancelled with it. An ordered set.
        self.owned: dict[Action[Any], None] = {}
        self.next_outcome: Outcome = Value(None)
        self.is_closed = False

    def notify(self, action: Action[Any]) -> None:
        """Get ready to go on with the answer of *action*."""
        if not self.is_closed and action.outcome is not None:
            self.next_outcome = action.outcome
            self.notify_ready(self)

    def _describe(self) -> str:
        return f"Branch {getattr(self.generator, '__qualname__', self.generator)!s}"


class Join(Action[T_co]):
    """Waits for all of *actions*; counts down, so that a thousand of them cost a thousand steps."""

    __slots__ = ("actions", "pending", "return_exceptions")

    def __init__(self, home: object, actions: tuple[Action[Any], ...], *, return_exceptions: bool) -> None:
        super().__init__(home)
        self.actions = actions
        self.return_exceptions = return_exceptions
        self.pending = sum(not action.is_done for action in actions)

    def notify(self, action: Action[Any]) -> Action[Any] | None:
        """Count one answer; the last one resolves the join."""
        self.pending -= 1
        if self.pending or self.outcome is not None:
            return None
        self.outcome = self.collect()
        return self

    def collect(self) -> Outcome:
        """Return all answers in argument order, or the first error in argument order."""
        values: list[Any] = []
        for action in self.actions:
            match action.outcome:
                case Value(value):
                    values.append(value)
                case Error(make) as error:
                    if not self.return_exceptions:
                        return error
                    values.append(make())
                case None:
                    raise AssertionError("a join is collected when all have answered")
        return Value(values)


@noun
class Winner(Generic[T_co]):
    """What a select returns: which of its arguments was first (from 0), and its value."""

    index: int
    value: T_co


if TYPE_CHECKING:
    # What a winner is for a type checker that is told its index: then its value is of the type of that argument.
    # Nobody makes one.
    class First(Winner[T_co]):
        """The first argument has won."""

        index: Literal[0]

    class Second(Winner[T_co]):
        """The second argument has won."""

        index: Literal[1]

    class Third(Winner[T_co]):
        """The third argument has won."""

        index: Literal[2]


class Select(Action[T_co]):
    """Waits for the first of *actions*."""

    __slots__ = ("actions", "decided")

    def __init__(
        self,
        home: object,
        actions: tuple[Action[Any], ...],
        decided: Callable[[Select[Any], int], None],
    ) -> None:
        super().__init__(home)
        self.actions = actions
        self.decided = decided

    def notify(self, action: Action[Any]) -> Action[Any] | None:
        """The first answer decides."""
        if self.outcome is not None:
            return None
        self.decided(self, self.actions.index(action))
        return self
