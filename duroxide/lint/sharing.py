"""Checks for state that orchestrations share with everything else in the process: what they change, and what they read."""

from __future__ import annotations

import ast

from collections.abc import Iterable, Iterator

from attrs import frozen

from .names import Kind, Project
from .problems import Problem, Subject, shown
from .scopes import Function, Scope, is_bound
from .sources import without_prefix


_MUTATORS = frozenset(
    {
        *("append", "appendleft", "extend", "extendleft", "insert", "pop", "popleft", "popitem", "remove", "clear"),
        *("update", "setdefault", "add", "discard", "sort", "reverse", "intersection_update", "difference_update"),
        *("symmetric_difference_update", "subtract", "__setitem__"),
    }
)
_CONTAINERS = (ast.List, ast.Dict, ast.Set, ast.ListComp, ast.DictComp, ast.SetComp)
_CONTAINER_CLASSES = frozenset(
    {
        *("builtins.list", "builtins.dict", "builtins.set", "builtins.bytearray", "collections.deque"),
        *("collections.defaultdict", "collections.OrderedDict", "collections.Counter"),
    }
)
_ITERATORS = frozenset({"itertools.count", "itertools.cycle", "builtins.iter", "types.GeneratorType"})


@frozen
class Change:
    """A place that changes something; *target* is the expression for it."""

    node: ast.AST
    target: ast.expr
    scope: Scope
    #: Whether the name itself is bound anew, not what it stands for.
    is_rebinding: bool = False


def changing_variables(project: Project) -> frozenset[str]:
    """Return the module-level variables that functions change, other than by importing."""
    return frozenset(
        path
        for module in project.modules.values()
        for function in module.functions
        for change in _changes(project, function)
        if (path := _shared_path(project, change)) is not None
    )


def changes_shared_state(subject: Subject) -> Iterator[Problem]:
    """Find assignments to, and mutations of, module-level variables, classes and default arguments."""
    project, function = subject.project, subject.function
    for change in _changes(project, function):
        path = _shared_path(project, change) or _class_attribute(project, change)
        if path is not None:
            yield Problem("DX112", change.node, without_prefix(path))
        elif _is_mutable_default(function, change):
            reason = "the default value is made once, and shared by all calls"
            yield Problem("DX112", change.node, shown(change.target), reason=reason)
        elif _is_outside(subject, change):
            reason = "it belongs to a function that ran before the orchestration, once for all instances"
            yield Problem("DX112", change.node, shown(change.target), reason=reason)
        elif _is_of_its_object(subject, change):
            reason = (
                "the object whose method was registered is one for all instances, and is changed again at every replay"
            )
            yield Problem("DX112", change.node, shown(change.target), reason=reason)


def reads_changing_state(subject: Subject) -> Iterator[Problem]:
    """Find reads of module-level variables that some function changes."""
    project = subject.project
    changed = {target for change in _changes(project, subject.function) for target in ast.walk(change.target)}
    for node, scope in subject.function.nodes:
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load) and node not in changed:
            variable = project.variable(node, scope)
            if variable is not None and variable[0] in subject.changing:
                yield Problem("DX113", node, without_prefix(variable[0]))


def _changes(project: Project, function: Function) -> Iterator[Change]:
    for node, scope in function.nodes:
        match node:
            case ast.Assign(targets=targets) | ast.Delete(targets=targets):
                yield from _assigned(node, targets, scope)
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target, value=ast.expr()):
                yield from _assigned(node, [target], scope)
            case ast.For(target=target) | ast.NamedExpr(target=target):
                yield from _assigned(node, [target], scope)
            case ast.Call(func=ast.Attribute(value=target, attr=name)) if name in _MUTATORS:
                yield Change(node, target, scope)
            case ast.Call(func=ast.Name(id="next"), args=[target, *_]):
                yield Change(node, target, scope)
            case ast.Call(func=ast.Name(id="setattr" | "delattr"), args=[target, *_]):
                yield Change(node, target, scope)
            case _:
                continue


def _assigned(node: ast.AST, targets: Iterable[ast.expr], scope: Scope) -> Iterator[Change]:
    for target in targets:
        match target:
            case ast.Tuple(elts=parts) | ast.List(elts=parts):
                yield from _assigned(node, parts, scope)
            case ast.Starred(value=part):
                yield from _assigned(node, [part], scope)
            case ast.Subscript(value=value) | ast.Attribute(value=value):
                yield Change(node, value, scope)
                if isinstance(target, ast.Attribute):
                    yield Change(node, target, scope, is_rebinding=True)
            case ast.Name():
                yield Change(node, target, scope, is_rebinding=True)
            case _:
                continue


def _shared_path(project: Project, change: Change) -> str | None:
    """Return the module-level variable that *change* is about, if it is about one."""
    target, scope = change.target, change.scope
    if change.is_rebinding:
        if isinstance(target, ast.Name):
            return _global_path(project, target, scope)
        variable = project.variable(target, scope)  # module.NAME = value
        return variable[0] if variable is not None else None
    while isinstance(target, ast.Subscript):
        target = target.value  # CACHE[a][b] = value
    variable = project.variable(target, scope)
    if variable is None:
        return None
    path, module, name = variable
    values = [binding.value for binding in module.scope.bindings[name]]
    is_call = isinstance(change.node, ast.Call)
    # A method that is called "update" may be anything; that of a container is known.
    return path if not is_call or any(_is_container(project, value, module.scope) for value in values) else None


def _global_path(project: Project, target: ast.Name, scope: Scope) -> str | None:
    at: Scope | None = scope
    while at is not None and target.id not in at.global_names:
        at = at.parent if target.id not in at.bindings else None
    if at is None:
        return None
    variable = project.variable(target, scope)
    return variable[0] if variable is not None else f"{scope.path.partition('.')[0]}.{target.id}"


def _is_container(project: Project, value: ast.expr | None, scope: Scope) -> bool:
    if isinstance(value, _CONTAINERS):
        return True
    origin = project.origin(value, scope)
    return origin is not None and origin.kind is not Kind.NAME and origin.path in _CONTAINER_CLASSES | _ITERATORS


def _class_attribute(project: Project, change: Change) -> str | None:
    """Return the class that *change* assigns an attribute of, if it does."""
    target = change.target
    if isinstance(target, ast.Attribute) and not isinstance(change.node, ast.Call):
        origin = project.origin(target.value, change.scope)
        is_class = origin is not None and origin.kind is Kind.NAME and origin.path in project.classes
        return f"{origin.path}.{target.attr}" if origin is not None and is_class else None
    return None


def _is_mutable_default(function: Function, change: Change) -> bool:
    arguments = function.node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(reversed(positional), reversed(arguments.defaults), strict=False),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    mutable = {argument.arg for argument, default in pairs if isinstance(default, _CONTAINERS)}
    target = change.target
    return (
        isinstance(target, ast.Name)
        and not change.is_rebinding
        and target.id in mutable
        and len(function.scope.bindings[target.id]) == 1
    )


def _is_outside(subject: Subject, change: Change) -> bool:
    """Whether the variable belongs to a function around the orchestration that is not part of it."""
    target, at = change.target, change.scope
    if not isinstance(target, ast.Name):
        return False
    if change.is_rebinding and target.id not in at.outer_names:
        return False
    found = subject.project.binding(target.id, target, at)
    if found is None or not isinstance(found[1].node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    binding, where = found
    if where.node in {function.node for function in subject.visit.chain}:
        return False
    return change.is_rebinding or _is_container(subject.project, binding.value, where)


def _is_of_its_object(subject: Subject, change: Change) -> bool:
    """Whether what is changed belongs to the object whose method the orchestration is."""
    function, target = subject.function, change.target
    if not subject.is_registered or function.owner is None or not is_bound(function.node):
        return False
    root: ast.expr = target
    while isinstance(root, ast.Subscript | ast.Attribute):
        root = root.value
    first = next(iter([*function.node.args.posonlyargs, *function.node.args.args]), None)
    if (
        not isinstance(root, ast.Name)
        or first is None
        or root.id != first.arg
        or (change.is_rebinding and target is root)
    ):
        return False
    return not isinstance(change.node, ast.Call) or _is_container(subject.project, target, change.scope)
