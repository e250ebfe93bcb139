"""Checks for actions and generators: that what is scheduled is waited for, and that what is yielded is an action."""

from __future__ import annotations

import ast

from collections.abc import Iterator

from .names import ACTIONS, CONTEXT, Kind
from .problems import Problem, Subject, shown
from .scopes import Scope


_DETACHED = f"{CONTEXT}.schedule_orchestration"
_CONTINUE = f"{CONTEXT}.continue_as_new"
_COMBINE = frozenset({f"{CONTEXT}.join", f"{CONTEXT}.select"})
_TAKES_VALUE = frozenset(
    f"{CONTEXT}.{name}"
    for name in ("schedule_activity", "schedule_sub_orchestration", "schedule_orchestration", "set_kv_value")
)
_COLLECTIONS = (ast.List, ast.Tuple, ast.Set, ast.ListComp, ast.SetComp, ast.GeneratorExp)
#: What is certainly no action.
_VALUES = (
    *(ast.Constant, ast.JoinedStr, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.ListComp, ast.SetComp, ast.DictComp),
    *(ast.Compare, ast.BinOp, ast.UnaryOp, ast.Lambda),
)
_CONSTANTS = (ast.Constant, ast.JoinedStr)
#: What one may ask an action itself.
_OF_AN_ACTION = frozenset({"is_done", "__iter__"})


def drops_actions(subject: Subject) -> Iterator[Problem]:
    """Find actions and generators that nobody can wait for any more."""
    project, function = subject.project, subject.function
    if _never_yields(subject):
        return
    for node, scope in function.nodes:
        match node:
            case ast.Expr(value=value):
                for call in _calls_in(value):
                    yield from _dropped(subject, node, call, scope)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=ast.Call() as call)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.Call() as call)
            ) if not _is_read(subject, name):
                yield from _dropped(subject, node, call, scope)
            case ast.Return(value=ast.expr() as value) if subject.is_registered and function.is_generator:
                if isinstance(value, ast.Call) and project.called(value, scope) == _CONTINUE:
                    continue  # it returns right after it: the next execution begins, whatever is returned
                if project.is_action(value, scope):
                    yield Problem(
                        "DX203", value, f"return {shown(value)}", reason="it returns the action, not its answer"
                    )
                elif project.is_generator(value, scope):
                    yield Problem("DX211", value, f"return {shown(value)}")


def yields_no_action(subject: Subject) -> Iterator[Problem]:
    """Find ``yield`` of what the engine cannot wait for."""
    if not subject.is_orchestration:
        return
    project = subject.project
    for node, scope in subject.function.nodes:
        match node:
            case ast.Yield(value=None):
                if not _is_never_reached(subject, node):
                    yield Problem("DX205", node, "yield")
            case ast.Yield(value=ast.expr() as value) if project.is_generator(value, scope):
                yield Problem("DX204", node, shown(node))
            case ast.Yield(value=ast.expr() as value) if isinstance(value, _VALUES) or _is_value(subject, value, scope):
                yield Problem("DX205", node, shown(node))
            case ast.YieldFrom(value=value) if isinstance(value, _CONSTANTS) or _is_value(subject, value, scope):
                yield Problem("DX205", node, shown(node))


def combines_collections(subject: Subject) -> Iterator[Problem]:
    """Find ``ctx.join([...])``."""
    for node, scope in subject.function.nodes:
        if isinstance(node, ast.Call) and subject.project.called(node, scope) in _COMBINE:
            for argument in node.args:
                found = subject.project.origin(argument, scope)
                is_list = found is not None and found.kind is not Kind.NAME and found.path in {
                    "builtins.list", "builtins.tuple", "builtins.set", "builtins.map"
                }  # fmt: skip
                if is_list or isinstance(argument, _COLLECTIONS):
                    yield Problem("DX213", argument, shown(argument))


def uses_actions_as_answers(subject: Subject) -> Iterator[Problem]:
    """Find attributes, subscripts, comparisons, conditions and inputs of an action that was not waited for."""
    project = subject.project
    for node, scope in subject.function.nodes:
        for used in _used_as_values(subject, node, scope):
            if project.is_action(used, scope):
                yield Problem("DX214", used, shown(used))


def _never_yields(subject: Subject) -> bool:
    """Whether another rule says already that nothing in it is waited for."""
    function = subject.function
    return subject.is_registered and not function.is_generator


def _dropped(subject: Subject, statement: ast.stmt, call: ast.Call, scope: Scope) -> Iterator[Problem]:
    path = subject.project.called(call, scope)
    if path == _CONTINUE:
        if isinstance(statement, ast.Expr) and not _ends_after(subject, statement):
            reason = "code after it goes on, and may wait in vain, if it does not return right after it"
            yield Problem("DX203", call, shown(call), reason=reason)
    elif path == _DETACHED:
        return
    elif subject.project.is_action(call, scope):
        yield Problem("DX203", call, shown(call))
    elif subject.project.is_generator(call, scope):
        yield Problem("DX211", call, shown(call))


def _calls_in(value: ast.expr) -> Iterator[ast.Call]:
    """Yield the calls whose result *value* may be."""
    match value:
        case ast.Call():
            yield value
        case ast.IfExp(body=first, orelse=second) | ast.BoolOp(values=[*_, first, second]):
            yield from _calls_in(first)
            yield from _calls_in(second)
        case _:
            return


def _is_read(subject: Subject, name: str) -> bool:
    scope = subject.function.scope
    if name in scope.global_names or name in scope.outer_names:
        return True
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load)
        for node in ast.walk(subject.function.node)
    )


def _ends_after(subject: Subject, statement: ast.stmt) -> bool:
    """Whether the function returns or raises right after *statement*."""
    parents = subject.function.module.parents
    node: ast.AST = statement
    while node is not subject.function.node:
        parent = parents[node]
        for _, block in ast.iter_fields(parent):
            if isinstance(block, list) and node in block:
                following = block[block.index(node) + 1 :]
                if following:
                    return isinstance(following[0], ast.Return | ast.Raise)
        if isinstance(parent, ast.For | ast.While):
            return False
        node = parent
    return True


def _is_never_reached(subject: Subject, node: ast.Yield) -> bool:
    """Whether *node* only makes a generator of its function: it stands after a return or raise, or under ``if False``."""
    parents = subject.function.module.parents
    statement = parents[node]
    parent = parents.get(statement)
    if not isinstance(statement, ast.Expr) or parent is None:
        return False
    if isinstance(parent, ast.If) and isinstance(parent.test, ast.Constant) and not parent.test.value:
        return True
    blocks = (block for _, block in ast.iter_fields(parent) if isinstance(block, list) and statement in block)
    return any(isinstance(each, ast.Return | ast.Raise) for block in blocks for each in block[: block.index(statement)])


def _is_value(subject: Subject, node: ast.expr, scope: Scope) -> bool:
    """Whether *node* is a call of a context's method that returns a plain value, or of a builtin."""
    if not isinstance(node, ast.Call):
        return False
    path = subject.project.called(node, scope)
    if path.startswith(f"{CONTEXT}."):
        return path not in ACTIONS
    return path.startswith("builtins.") and path.count(".") == 1 and path not in {"builtins.next", "builtins.getattr"}


def _used_as_values(subject: Subject, node: ast.AST, scope: Scope) -> Iterator[ast.expr]:
    """Yield the parts of *node* that must be plain values."""
    match node:
        case ast.Attribute(value=value, attr=name) if name not in _OF_AN_ACTION:
            yield value
        case ast.Subscript(value=value) | ast.FormattedValue(value=value) | ast.For(iter=value):
            yield value
        case ast.Compare(left=left, ops=operators, comparators=others):
            if not any(isinstance(operator, ast.Is | ast.IsNot | ast.In | ast.NotIn) for operator in operators):
                yield from (left, *others)
        case ast.BinOp(left=left, right=right):
            yield from (left, right)
        case ast.If(test=test) | ast.While(test=test) | ast.IfExp(test=test) | ast.Assert(test=test):
            yield from _conditions(test, scope)
        case ast.Call() if subject.project.called(node, scope) in _TAKES_VALUE:
            yield from node.args[1:]
        case ast.Call() if subject.project.called(node, scope) == _CONTINUE:
            yield from node.args[:1]


def _conditions(test: ast.expr, scope: Scope) -> Iterator[ast.expr]:
    """Yield the calls whose truth *test* depends on, and the names that are never bound to anything but one call."""
    match test:
        case ast.Call():
            yield test
        case ast.Name(id=name):
            if isinstance(_only_value(name, scope), ast.Call):
                yield test
        case ast.UnaryOp(operand=operand):
            yield from _conditions(operand, scope)
        case ast.BoolOp(values=values):
            for value in values:
                yield from _conditions(value, scope)
        case _:
            return


def _only_value(name: str, scope: Scope) -> ast.expr | None:
    """Return what *name* is bound to in *scope*, if that is one thing only. Others may be tested for being None."""
    bindings = scope.bindings.get(name, ())
    return bindings[0].value if len(bindings) == 1 else None
