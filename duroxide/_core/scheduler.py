"""
Runs orchestration code: steps generators, resolves actions, and decides what a lost race costs.

Rule 1: everything happens in an order that code and answers alone determine. Branches go on in the
order in which they became ready; nothing depends on garbage collection, hashing or time.

Rule 2: this file knows nothing of history. It is told of answers through `resolve`; it tells of
requests that were given up through `on_cancelled`.
"""

from __future__ import annotations

import inspect

from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

from ..errors import ActionCancelled, InvalidInput, OrchestrationMisuse
from .actions import Action, AnyGenerator, Branch, Error, Join, Outcome, Scheduled, Select, Value, Winner
from .requests import Request


class Scheduler:
    """
    The branches of one execution, the first of which is the orchestration function itself.

    Args:
        on_cancelled: Called with each request that code has given up and that was not answered yet.
    """

    def __init__(self, on_cancelled: Callable[[Scheduled[Any]], None]) -> None:
        self._on_cancelled = on_cancelled
        #: Branches that have got their answer, in the order in which they got it.
        self.ready: deque[Branch[Any]] = deque()
        self._root: Branch[Any] | None = None
        self._current: Branch[Any] | None = None
        #: What the orchestration function returned or raised, once it has.
        self.outcome: Outcome | None = None
        #: Set when code broke a rule of the engine; ends the orchestration, whatever code does about it.
        self.misuse: BaseException | None = None
        #: Whether the code has ended or was forgotten, so that nothing it still asks for counts.
        self.is_over = False

    @property
    def is_finished(self) -> bool:
        """Whether the code will not go on, whatever it is answered."""
        return self.outcome is not None or self.misuse is not None

    @property
    def is_running(self) -> bool:
        """Whether orchestration code is on the stack right now."""
        return self._current is not None

    # Running

    def start(self, generator: AnyGenerator) -> None:
        """Begin with *generator* as the root, and run until everything waits."""
        self._root = Branch(self, generator, None, self.ready.append)
        self._step(self._root)
        self.run()

    def run(self) -> None:
        """Go on with every branch that has got its answer, until everything waits or the root is done."""
        ready = self.ready
        while ready and self.outcome is None and self.misuse is None:
            branch = ready.popleft()
            if not branch.is_closed:
                self._step(branch)

    def resolve(self, action: Action[Any], outcome: Outcome) -> None:
        """Answer *action*, once, and tell those who wait for it."""
        if action.outcome is not None:
            return
        action.outcome = outcome
        if action.owner is not None:
            action.owner.owned.pop(action, None)
        _tell(action)

    def close(self) -> None:
        """Forget the code. What its ``finally`` blocks do from now on has no effect."""
        self.is_over = True
        if self._root is not None:
            self._close_generators(self._root)

    def _step(self, branch: Branch[Any]) -> None:
        """Run *branch* until it waits for something, or ends."""
        before, self._current = self._current, branch
        generator, outcome = branch.generator, branch.next_outcome
        try:
            while True:
                if isinstance(outcome, Value):
                    awaited = generator.send(outcome.value)
                else:
                    awaited = generator.throw(outcome.make())
                if not isinstance(awaited, Action) or awaited.home is not self:
                    self.misuse = OrchestrationMisuse(_not_an_action(awaited, where(generator)))
                    return
                if awaited.outcome is None:
                    awaited.waiters.append(branch)
                    return
                outcome = awaited.outcome
        except StopIteration as stop:
            ending: Outcome = Value(stop.value)
        except Exception as error:  # noqa: BLE001  # user code: whatever it raises is the branch's answer
            ending = _error_of(error)
        except BaseException as error:  # noqa: BLE001  # SystemExit and the like must not end the dispatcher
            self.misuse = error
            return
        finally:
            self._current = before
        branch.is_closed = True
        self._hand_over(branch)
        if branch is self._root:
            self.outcome = ending
        self.resolve(branch, ending)

    def _hand_over(self, branch: Branch[Any]) -> None:
        """What a finished branch started and did not wait for belongs to its owner from now on."""
        owner = branch.owner
        if owner is not None:
            for action in branch.owned:
                action.owner = owner
                owner.owned[action] = None

    # Combining

    def request(self, request: Request, decode: Callable[[str], Any]) -> Scheduled[Any]:
        """Return a new action for *request*, owned by the branch that is running."""
        owner = self._current or self._running_branch(request)
        action: Scheduled[Any] = Scheduled(self, request, owner, decode)
        if not self.is_over:
            owner.owned[action] = None
        return action

    def branch(self, generator: AnyGenerator) -> Branch[Any]:
        """Start *generator* at once, as a branch of the one that is running."""
        owner = self._running_branch(generator)
        branch: Branch[Any] = Branch(self, generator, owner, self.ready.append)
        if self.is_over:
            branch.is_closed = True
            generator.close()
            return branch
        owner.owned[branch] = None
        self._step(branch)
        return branch

    def join(self, awaitables: tuple[object, ...], *, return_exceptions: bool) -> Join[list[Any]]:
        """Return an action that waits for all of *awaitables*."""
        actions = self._actions("join", awaitables)
        join: Join[list[Any]] = Join(self, actions, self.resolve, return_exceptions=return_exceptions)
        if join.pending == 0:
            join.outcome = join.collect()
        else:
            _wait_for(actions, join)
        return join

    def select(self, awaitables: tuple[object, ...], *, cancel_losers: bool) -> Select[Winner[Any]]:
        """Return an action that waits for the first of *awaitables*."""
        if not awaitables:
            msg = "select() needs at least one action to wait for: with none it would wait for ever."
            raise InvalidInput(msg)
        actions = self._actions("select", awaitables)
        decided = partial(self._decide, cancel_losers=cancel_losers)
        select: Select[Winner[Any]] = Select(self, actions, decided)
        first = next((index for index, action in enumerate(actions) if action.is_done), None)
        if first is None:
            _wait_for(actions, select)
        else:
            decided(select, first)
        return select

    def _decide(self, select: Select[Winner[Any]], index: int, *, cancel_losers: bool) -> None:
        outcome = select.actions[index].outcome
        winner = Value(Winner(index, outcome.value)) if isinstance(outcome, Value) else outcome
        assert winner is not None, "a select is decided by an answered action"
        select.outcome = winner
        if cancel_losers:
            # Before those who wait for the select go on: they must not meet a loser that still runs.
            for loser in select.actions:
                self.cancel(loser)
        _tell(select)

    def _actions(self, combinator: str, awaitables: tuple[object, ...]) -> tuple[Action[Any], ...]:
        self._running_branch(combinator)
        return tuple(self._action(combinator, position, each) for position, each in enumerate(awaitables))

    def _action(self, combinator: str, position: int, awaitable: object) -> Action[Any]:
        if isinstance(awaitable, Action) and awaitable.home is self:
            return awaitable
        if inspect.isgenerator(awaitable):
            return self.branch(awaitable)
        msg = (
            f"argument {position} of {combinator}() is {awaitable!r}, which is neither an action of this orchestration"
            " nor a generator. Pass what a ctx.schedule_… method, join() or select() returned, or call a generator"
            " function and pass its generator."
        )
        raise OrchestrationMisuse(msg)

    def _running_branch(self, wanted: object) -> Branch[Any]:
        if self._current is None:
            msg = (
                f"{wanted!r} was asked for outside of the orchestration's own code. Use the context only inside the"
                " orchestration function and its generators, in the thread that runs them."
            )
            raise OrchestrationMisuse(msg)
        return self._current

    # Giving up

    def cancel(self, action: Action[Any]) -> None:
        """Give *action* up, with all it consists of. Whoever still waits for it gets `ActionCancelled`."""
        if action.is_done:
            return
        if isinstance(action, Scheduled):
            self._cancel_request(action)
        elif isinstance(action, Branch):
            self._cancel_branch(action)
        elif isinstance(action, (Join, Select)):
            self.resolve(action, _cancelled(action))
            for part in action.actions:
                self.cancel(part)

    def give_up_everything(self) -> Iterator[Scheduled[Any]]:
        """Close all branches of a finished root, and yield what it leaves unanswered."""
        if self._root is None:
            return
        self.is_over = True
        self._close_generators(self._root)
        stack: list[Action[Any]] = list(self._root.owned)
        for action in stack:
            if isinstance(action, Branch):
                stack.extend(action.owned)
            elif isinstance(action, Scheduled):
                yield action

    def _cancel_request(self, action: Scheduled[Any]) -> None:
        action.is_cancelled = True
        self._on_cancelled(action)
        self.resolve(action, _cancelled(action))

    def _cancel_branch(self, branch: Branch[Any]) -> None:
        if inspect.getgeneratorstate(branch.generator) == inspect.GEN_RUNNING:
            self._refuse_to_end(branch)
            return
        branch.is_closed = True
        self._close_generator(branch)
        for action in tuple(branch.owned):
            self.cancel(action)
        self.resolve(branch, _cancelled(branch))

    def _refuse_to_end(self, branch: Branch[Any]) -> None:
        """Note that code that runs has given itself up. It stays in the tree, to be closed with the rest."""
        self.misuse = self.misuse or OrchestrationMisuse(
            f"a branch gave itself up while it ran ({where(branch.generator)}): it called cancel() on itself, or on a join"
            " or select that it is part of. Let it return instead."
        )
        assert self._root is not None, "it runs, so it was started"
        branch.owner = self._root
        self._root.owned[branch] = None

    def _close_generator(self, branch: Branch[Any]) -> None:
        """Run the ``finally`` blocks of *branch*. What they ask for still belongs to it."""
        before, self._current = self._current, branch
        try:
            branch.generator.close()
        except BaseException as error:  # noqa: BLE001  # user code, also sys.exit(): a clean-up that fails has nobody to tell
            self.misuse = self.misuse or OrchestrationMisuse(
                f"closing a branch that lost a race raised {error!r} ({where(branch.generator)}). A branch that is"
                " closed cannot wait any more: do not yield in its `finally`, and do not catch GeneratorExit."
            )
            self.misuse.__cause__ = error
        finally:
            self._current = before

    def _close_generators(self, branch: Branch[Any]) -> None:
        for action in tuple(branch.owned):
            if isinstance(action, Branch):
                self._close_generators(action)
        branch.is_closed = True
        before, self._current = self._current, branch
        try:
            branch.generator.close()
        except BaseException:  # noqa: BLE001, S110  # the decision is made; what dying code says has no effect
            pass
        finally:
            self._current = before

    def where(self, branch: Branch[Any] | None = None) -> str:
        """Return the source line at which *branch* (or the root) waits."""
        branch = branch or self._root
        return "" if branch is None else where(branch.generator)


def where(generator: AnyGenerator) -> str:
    """Return ``file:line in function`` of the innermost user frame in which *generator* is suspended."""
    assert inspect.isgenerator(generator), "branches are generators"
    innermost: FrameType | None = generator.gi_frame
    inner: object = generator
    while inspect.isgenerator(inner):
        frame = inner.gi_frame
        if frame is not None and frame.f_code is not Action.__iter__.__code__:
            innermost = frame
        inner = inner.gi_yieldfrom
    if innermost is None:
        code = generator.gi_code
        return f"{code.co_filename}:{code.co_firstlineno} in {code.co_name}, which has returned"
    return f"{innermost.f_code.co_filename}:{innermost.f_lineno} in {innermost.f_code.co_name}"


def _tell(action: Action[Any]) -> None:
    """Tell those who wait for *action* that it has its answer; now that it has, nobody else will."""
    for waiter in action.waiters:
        waiter.notify(action)
    action.waiters.clear()


def _wait_for(actions: tuple[Action[Any], ...], waiter: Join[Any] | Select[Any]) -> None:
    for action in actions:
        if action.outcome is None:
            action.waiters.append(waiter)


def _error_of(error: Exception) -> Error:
    return Error(lambda: error)


def _cancelled(action: Action[Any]) -> Error:
    return Error(
        lambda: ActionCancelled(
            f"{action!r} was cancelled by the orchestration itself: it lost a select(), was passed to cancel(), or its"
            " branch was closed. Do not wait for it afterwards, or use select(..., cancel_losers=False)."
        )
    )


def _not_an_action(awaited: object, place: str) -> str:
    if inspect.isgenerator(awaited):
        remedy = "Write `yield from` instead of `yield`, or pass the generator to ctx.join() or ctx.select()."
    elif isinstance(awaited, Action):
        remedy = "It belongs to another execution: an action cannot be kept in a global or passed between instances."
    else:
        remedy = "Yield what a ctx.schedule_… method, ctx.join() or ctx.select() returned."
    return f"orchestration code yielded {awaited!r}, which is not an action of this execution ({place}). {remedy}"
