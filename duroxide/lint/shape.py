"""Checks for how orchestration code is written: generators, handlers around a yield, activities and their context."""

from __future__ import annotations

import ast

from collections.abc import Iterable, Iterator

from .callgraph import first_parameter_type, returns_orchestration
from .names import ACTIONS, ACTIVITY_CONTEXT, CONTEXT
from .problems import Problem, Subject, shown
from .scopes import Scope


_ONLY_IN_ACTIVITIES = frozenset(
    f"{CONTEXT}.{name}"
    for name in (
        *("activity_name", "activity_id", "attempt", "worker_id", "session_id", "tag", "client"),
        *("is_cancelled", "wait_cancelled", "raise_if_cancelled"),
    )
)
_ALL = frozenset({"builtins.BaseException", "builtins.GeneratorExit"})
_FAILURES = frozenset({"builtins.Exception", "duroxide.DuroxideError"})
_NOTHING = (ast.Pass, ast.Continue, ast.Break)


def is_no_generator(subject: Subject) -> Iterator[Problem]:
    """Find orchestrations that are ``async``, or that schedule without a yield."""
    function = subject.function
    if function.is_async:
        yield Problem("DX201", function.node, f"async def {function.node.name}")
        return
    is_declared = subject.is_registered or returns_orchestration(subject.project, function)
    if not is_declared or function.is_generator:
        return
    calls = [node for node, scope in function.nodes if isinstance(node, ast.Call) and _schedules(subject, node, scope)]
    if calls:
        yield Problem("DX202", function.node, f"def {function.node.name}")


def calls_activities(subject: Subject) -> Iterator[Problem]:
    """Find activities that are called like functions."""
    project = subject.project
    activities = {function.path for function in subject.roles.activities}
    for node, scope in subject.function.nodes:
        if isinstance(node, ast.Call) and (path := project.called(node, scope)) in activities:
            yield Problem("DX206", node, shown(node), subject=path.rpartition(".")[2])


def uses_activity_context(subject: Subject) -> Iterator[Problem]:
    """Find what only an `ActivityContext` has, and orchestrations that ask for one; and ``ctx.is_replaying``."""
    project, function = subject.project, subject.function
    if subject.is_registered and first_parameter_type(project, function) == ACTIVITY_CONTEXT:
        yield Problem("DX207", function.parameters[0], "ActivityContext")
    for node, scope in function.nodes:
        if isinstance(node, ast.Attribute):
            found = project.origin(node, scope)
            if found is None:
                continue
            if found.path in _ONLY_IN_ACTIVITIES:
                yield Problem("DX207", node, shown(node))
            elif found.path == f"{CONTEXT}.is_replaying":
                yield Problem("DX212", node, shown(node))


def catches_too_much(subject: Subject) -> Iterator[Problem]:
    """Find handlers around a yield that swallow what they must not."""
    if not subject.is_orchestration:
        return
    for node, scope in subject.function.nodes:
        match node:
            case ast.Try() | ast.TryStar():
                if _yields(node.body):
                    for handler in node.handlers:
                        yield from _handler(subject, handler, scope)
                if (yielded := next(_yields_in(node.finalbody), None)) is not None:
                    yield Problem("DX210", yielded, shown(yielded))
            case ast.With(items=items, body=body) if _yields(body):
                for item in items:
                    yield from _suppress(subject, item.context_expr, scope)


def _schedules(subject: Subject, node: ast.Call, scope: Scope) -> bool:
    path = subject.project.called(node, scope)
    return path in ACTIONS and path not in {f"{CONTEXT}.schedule_orchestration", f"{CONTEXT}.continue_as_new"}


def _handler(subject: Subject, handler: ast.ExceptHandler, scope: Scope) -> Iterator[Problem]:
    caught = _caught(subject, handler.type, scope)
    what = f"except {shown(handler.type)}" if handler.type is not None else "except"
    if handler.type is None or caught & _ALL:
        if not any(isinstance(node, ast.Raise) for node in _own(handler.body)):
            yield Problem("DX208", handler, what)
    elif caught & _FAILURES and all(isinstance(each, _NOTHING) or _is_constant(each) for each in handler.body):
        yield Problem("DX209", handler, f"{what}: {shown(handler.body[0])}")


def _suppress(subject: Subject, node: ast.expr, scope: Scope) -> Iterator[Problem]:
    if isinstance(node, ast.Call) and subject.project.called(node, scope) == "contextlib.suppress":
        caught = {name for argument in node.args for name in _caught(subject, argument, scope)}
        if caught & _ALL:
            yield Problem("DX208", node, shown(node))
        elif caught & _FAILURES:
            yield Problem("DX209", node, shown(node))


def _caught(subject: Subject, node: ast.expr | None, scope: Scope) -> set[str]:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    origins = (subject.project.origin(part, scope) for part in parts)
    return {origin.path for origin in origins if origin is not None}


def _is_constant(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _yields(statements: Iterable[ast.stmt]) -> bool:
    return next(_yields_in(statements), None) is not None


def _yields_in(statements: Iterable[ast.stmt]) -> Iterator[ast.Yield | ast.YieldFrom]:
    return (node for node in _own(statements) if isinstance(node, ast.Yield | ast.YieldFrom))


def _own(statements: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield all nodes of *statements*, but not those of functions that are defined in them."""
    for statement in statements:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield statement
            yield from _own(ast.iter_child_nodes(statement))
