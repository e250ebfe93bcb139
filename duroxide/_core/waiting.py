"""
Who waits for whom, and who runs in whom.

Rule 1: nothing here calls itself. Code may nest joins and branches as deeply as it likes; the stack of the thread
that happens to run it must not decide what it may do.
"""

from __future__ import annotations

import inspect

from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any

from .actions import Action, AnyGenerator, Branch, Scheduled, Select, Waiter


def tell(action: Action[Any]) -> None:
    """
    Tell those who wait for *action* that it has its answer; now that it has, nobody else will.

    What one of them resolves thereby is told of before the next of them is.
    """
    while len(action.waiters) == 1:  # nearly always, and in every turn
        resolved = action.waiters.pop().notify(action)
        if resolved is None:
            return
        action = resolved
    waiters = [(waiter, action) for waiter in reversed(action.waiters)]
    action.waiters.clear()
    while waiters:
        waiter, answered = waiters.pop()
        resolved = waiter.notify(answered)
        if resolved is not None:
            waiters.extend((other, resolved) for other in reversed(resolved.waiters))
            resolved.waiters.clear()


def wait_for(actions: tuple[Action[Any], ...], waiter: Waiter) -> None:
    """Have *waiter* told of each of *actions* that is not done."""
    for action in actions:
        if action.outcome is None:
            action.waiters.append(waiter)


def wait_no_more(actions: tuple[Action[Any], ...], waiter: Waiter) -> None:
    """Forget that *waiter* is to be told of *actions*: one that goes on for long would keep all who ever waited for it."""
    for action in actions:
        if action.outcome is None and waiter in action.waiters:
            action.waiters.remove(waiter)


def waits_for_itself(branch: Branch[Any], awaited: Action[Any]) -> bool:
    """Whether *awaited* cannot be answered before *branch* ends, so that waiting for it there would never end."""
    if awaited.outcome is not None or isinstance(awaited, Scheduled):
        return False
    blocked: set[object] = {branch}
    reached: list[Action[Any]] = [branch]
    while reached and awaited not in blocked:
        waiters: Sequence[object] = reached.pop().waiters
        for waiter in waiters:
            if not isinstance(waiter, Action) or waiter in blocked:
                continue
            if isinstance(waiter, Select) and not blocked.issuperset(waiter.actions):
                continue  # another part may answer it
            blocked.add(waiter)
            reached.append(waiter)
    return awaited in blocked


def branches_of(root: Branch[Any]) -> list[Branch[Any]]:
    """Return *root* and all branches that run in it, in the order in which to close them: the inner ones first."""
    found: list[Branch[Any]] = []
    stack = [root]
    while stack:
        branch = stack.pop()
        found.append(branch)
        stack.extend(action for action in branch.owned if isinstance(action, Branch))
    found.reverse()
    return found


def is_fresh(generator: AnyGenerator) -> bool:
    """Whether nobody has begun or closed *generator*."""
    return inspect.getgeneratorstate(generator) == inspect.GEN_CREATED


def is_executing(generator: AnyGenerator) -> bool:
    """Whether *generator* is on the stack of some thread."""
    return inspect.getgeneratorstate(generator) == inspect.GEN_RUNNING


def delegates(generator: AnyGenerator) -> Iterator[AnyGenerator]:
    """Yield the generators that *generator* is suspended in by ``yield from``, the outermost first."""
    assert inspect.isgenerator(generator), "branches are generators"
    inner: object = generator.gi_yieldfrom
    while inspect.isgenerator(inner):
        yield inner
        inner = inner.gi_yieldfrom


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
