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
from typing import Any

from .._nouns import noun
from ..errors import ActionCancelled, InvalidInput, OrchestrationMisuse, text_of, type_name
from .actions import Action, AnyGenerator, Branch, Error, Join, Outcome, Scheduled, Select, Value, Winner
from .arguments import check_bool
from .requests import Request
from .waiting import (
    branches_of,
    delegates,
    is_executing,
    is_fresh,
    tell,
    wait_for,
    wait_no_more,
    waits_for_itself,
    where,
)


#: How often code that is over and waits all the same is told to end, before it is left to the garbage collector.
_CLOSINGS = 10


@noun
class _Cancelling:
    """Something that is to be given up; of a branch, the second half of that: its own answer."""

    action: Action[Any]
    is_last_step: bool = False


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
        #: The generators of branches that have not ended; that of the root aside.
        self._branches: set[AnyGenerator] = set()
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
        if action.waiters:
            tell(action)

    def close(self) -> None:
        """Forget the code. What its ``finally`` blocks do from now on has no effect."""
        self._close_everything()

    def nests_too_deeply(self, error: RecursionError) -> None:
        """Note that the code cannot go on, since Python's stack is too small for what it has built."""
        self.misuse = self.misuse or OrchestrationMisuse(
            "orchestration code nests branches, joins and selects so deeply that Python's stack does not hold it"
            f" ({self.where()}). Join what belongs together in one join, and let steps follow each other in a loop."
        )
        self.misuse.__cause__ = self.misuse.__cause__ or error

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
                if self._branches and self._is_tangled(branch, awaited):
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
        self._branches.discard(generator)
        self._hand_over(branch)
        if branch is self._root:
            self.outcome = ending
        self.resolve(branch, ending)

    def _is_tangled(self, branch: Branch[Any], awaited: Action[Any]) -> bool:
        """Whether *branch* must not wait for *awaited* like this, since no good answer can come of it; takes note of it."""
        place = branch.generator
        if waits_for_itself(branch, awaited):
            self.misuse = OrchestrationMisuse(
                f"a branch waits for {awaited!r}, which is not done before that branch is ({where(place)}): it would wait"
                " for ever. Wait for it in the code that started the branch."
            )
        elif any(inner in self._branches for inner in delegates(place)):
            self.misuse = OrchestrationMisuse(
                f"`yield from` was given a generator that is a branch already ({where(place)}): one would get the"
                " other's answers. Wait for the join or select that it was passed to, or call the generator function"
                " once more."
            )
        return self.misuse is not None

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
        if not is_fresh(generator):
            raise OrchestrationMisuse(_not_fresh(generator))
        branch: Branch[Any] = Branch(self, generator, owner, self.ready.append)
        if self.is_over:
            branch.is_closed = True
            generator.close()
            return branch
        owner.owned[branch] = None
        self._branches.add(generator)
        self._step(branch)
        return branch

    def join(self, awaitables: tuple[object, ...], *, return_exceptions: bool) -> Join[list[Any]]:
        """Return an action that waits for all of *awaitables*."""
        check_bool("return_exceptions", return_exceptions)
        actions = self._actions("join", awaitables)
        join: Join[list[Any]] = Join(self, actions, return_exceptions=return_exceptions)
        if join.pending == 0:
            join.outcome = join.collect()
        else:
            wait_for(actions, join)
        return join

    def select(self, awaitables: tuple[object, ...], *, cancel_losers: bool) -> Select[Winner[Any]]:
        """Return an action that waits for the first of *awaitables*."""
        if not awaitables:
            msg = "select() needs at least one action to wait for: with none it would wait for ever."
            raise InvalidInput(msg)
        check_bool("cancel_losers", cancel_losers)
        actions = self._actions("select", awaitables)
        decided = partial(self._decide, cancel_losers=cancel_losers)
        select: Select[Winner[Any]] = Select(self, actions, decided)
        first = next((index for index, action in enumerate(actions) if action.is_done), None)
        if first is None:
            wait_for(actions, select)
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
        else:
            wait_no_more(select.actions, select)

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
        if self._current is None and self._root is not None and self._is_dying(self._root):
            # Whatever it asks for goes nowhere; an exception might be caught in a loop that never ends.
            self.is_over = True
            return self._root
        if self._current is None:
            msg = (
                f"{wanted!r} was asked for outside of the orchestration's own code. Use the context only inside the"
                " orchestration function and its generators, in the thread that runs them."
            )
            raise OrchestrationMisuse(msg)
        return self._current

    def _is_dying(self, root: Branch[Any]) -> bool:
        """Whether code that runs though nobody stepped it is being closed by the garbage collector."""
        return self.is_over or self.is_finished or any(is_executing(each.generator) for each in branches_of(root))

    # Giving up

    def cancel(self, action: Action[Any]) -> None:
        """Give *action* up, with all it consists of. Whoever still waits for it gets `ActionCancelled`."""
        stack = [_Cancelling(action)]
        while stack:
            cancelling = stack.pop()
            action = cancelling.action
            if action.outcome is not None:
                continue
            if isinstance(action, Scheduled):
                self._cancel_request(action)
            elif isinstance(action, Branch) and not cancelling.is_last_step:
                if self._close_branch(action):
                    # It has its answer when all that it owns has.
                    stack.append(_Cancelling(action, is_last_step=True))
                    stack.extend(map(_Cancelling, reversed(action.owned)))
            else:
                self.resolve(action, _cancelled(action))
                if isinstance(action, (Join, Select)):
                    stack.extend(map(_Cancelling, reversed(action.actions)))

    def give_up_everything(self) -> Iterator[Scheduled[Any]]:
        """Close all branches of a finished root, and yield what it leaves unanswered."""
        if self._root is None:
            return
        self._close_everything()
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

    def _close_branch(self, branch: Branch[Any]) -> bool:
        """Close *branch*, unless it is what runs; return whether it is closed."""
        if is_executing(branch.generator):
            self._refuse_to_end(branch)
            return False
        branch.is_closed = True
        self._branches.discard(branch.generator)
        self._close_generator(branch)
        return True

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
            self.misuse = self.misuse or OrchestrationMisuse(_not_closed(error, branch.generator))
            self.misuse.__cause__ = error
        finally:
            self._current = before

    def _close_everything(self) -> None:
        """Close all generators, the innermost first. Nothing that they do from now on counts."""
        self.is_over = True
        root = self._root
        for branch in () if root is None else branches_of(root) if root.owned else (root,):
            branch.is_closed = True
            before, self._current = self._current, branch
            for _ in range(_CLOSINGS):
                try:
                    branch.generator.close()
                    break
                except BaseException:  # noqa: BLE001, S110  # the decision is made; what dying code says has no effect
                    pass
            self._current = before

    def where(self, branch: Branch[Any] | None = None) -> str:
        """Return the source line at which *branch* (or the root) waits."""
        branch = branch or self._root
        return "" if branch is None else where(branch.generator)


def _error_of(error: Exception) -> Error:
    return Error(lambda: error)


def _cancelled(action: Action[Any]) -> Error:
    return Error(
        lambda: ActionCancelled(
            f"{action!r} was cancelled by the orchestration itself: it lost a select(), was passed to cancel(), or its"
            " branch was closed. Do not wait for it afterwards, or use select(..., cancel_losers=False)."
        )
    )


def _not_fresh(generator: AnyGenerator) -> str:
    return (
        f"{generator!r} has been begun or closed already, so it cannot be a branch ({where(generator)}). Call the generator"
        " function once for each branch. To wait for one branch twice, wait twice for the join that it was passed to."
    )


def _not_closed(error: BaseException, generator: AnyGenerator) -> str:
    said = text_of(error)
    if isinstance(error, RuntimeError) and "GeneratorExit" in said:
        remedy = "A branch that is closed cannot wait any more: do not yield in its `finally`, and do not catch GeneratorExit."
    else:
        remedy = "Nobody waits for it any more who could catch that: catch it in the branch itself."
    return f"closing a branch that lost a race raised {type_name(error)}: {said} ({where(generator)}). {remedy}"


def _not_an_action(awaited: object, place: str) -> str:
    if inspect.isgenerator(awaited):
        remedy = "Write `yield from` instead of `yield`, or pass the generator to ctx.join() or ctx.select()."
    elif isinstance(awaited, Action):
        remedy = "It belongs to another execution: an action cannot be kept in a global or passed between instances."
    else:
        remedy = "Yield what a ctx.schedule_… method, ctx.join() or ctx.select() returned."
    return f"orchestration code yielded {awaited!r}, which is not an action of this execution ({place}). {remedy}"
