"""Checks for what orchestration code must not read or touch: clocks, chance, the environment, files, networks, threads."""

from __future__ import annotations

import ast

from collections.abc import Iterator
from typing import TypeAlias

from .._rules import RULES
from .banned import AT_MOST_ARGUMENTS, BANNED, BY_REFERENCE, BY_TYPE, CLOCK, ENVIRONMENT, IDENTITY, IDS, RANDOM, ban_of
from .names import CONTEXT, Kind, Origin, Project
from .problems import Problem, Subject, shown
from .scopes import Binding, Class, Module, Scope
from .sources import without_prefix


#: What a value that was computed at import is called, how, and in which module and scope.
_Value: TypeAlias = tuple[str, Binding, Module, Scope]

#: What makes a value that is computed at import differ between processes.
_AT_IMPORT = frozenset({CLOCK, RANDOM, IDS, ENVIRONMENT, IDENTITY})


def reads_the_world(subject: Subject) -> Iterator[Problem]:
    """Find calls and names that the table in `banned.py` bans."""
    project = subject.project
    called = {node.func for node, _ in subject.function.nodes if isinstance(node, ast.Call)}
    for node, scope in subject.function.nodes:
        if isinstance(node, ast.Call):
            yield from _call(project, node, scope)
            yield from _made_by_fields(project, node, scope)
        elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            if node not in called:
                yield from _reference(project, node, scope)
            yield from _made_at_import(project, node, scope)
        elif isinstance(node, ast.withitem):
            yield from _entered(project, node.context_expr, scope)


def _call(project: Project, node: ast.Call, scope: Scope) -> Iterator[Problem]:
    origin = project.origin(node.func, scope)
    if origin is None or origin.path.startswith(CONTEXT) or _is_defined_here(project, origin):
        return
    code = _code_of_call(origin, node)
    if code is not None:
        path = _readable(origin.path)
        text = f"{shown(node.func)}()"
        yield Problem(code, node, text if text == f"{path}()" else f"{text} ({path})", subject=_short(path))


def _code_of_call(origin: Origin, node: ast.Call) -> str | None:
    ban = ban_of(origin.path)
    if ban is None or _is_harmless_hash(origin.path, node):
        return None
    limit = AT_MOST_ARGUMENTS.get(origin.path)
    if limit is not None and len(node.args) + len(node.keywords) > limit:
        return None
    if ban.is_exact or origin.kind in {Kind.NAME, Kind.SHARED}:
        return ban.code
    # What a call in this function returned was reported there; what is passed in may be harmless.
    return ban.code if origin.kind is Kind.TYPED and ban.code in BY_TYPE else None


def _is_harmless_hash(path: str, node: ast.Call) -> bool:
    """Whether the hash is one of a number, which is the same everywhere."""
    return path == "builtins.hash" and all(
        isinstance(argument, ast.Constant) and isinstance(argument.value, int | float) for argument in node.args
    )


def _reference(project: Project, node: ast.Name | ast.Attribute, scope: Scope) -> Iterator[Problem]:
    """Find names that are read or passed on: ``os.environ``, ``key=random.random``."""
    origin = project.origin(node, scope)
    if origin is None or origin.kind is not Kind.NAME or _is_defined_here(project, origin):
        return
    ban = ban_of(origin.path)
    if ban is None or ban.code not in BY_REFERENCE or origin.path in AT_MOST_ARGUMENTS:
        return
    last = origin.path.rpartition(".")[2]
    if ban.is_exact if "." in origin.path else False:
        yield Problem(ban.code, node, _readable(origin.path), subject=_short(origin.path))
    elif not ban.is_exact and ban.code in {RANDOM, IDS} and last.islower():
        yield Problem(ban.code, node, origin.path, subject=_short(origin.path))


def _entered(project: Project, node: ast.expr, scope: Scope) -> Iterator[Problem]:
    """Find ``with lock:``, where the lock was made elsewhere."""
    origin = None if isinstance(node, ast.Call) else project.origin(node, scope)
    ban = ban_of(origin.path) if origin is not None and origin.kind in {Kind.SHARED, Kind.TYPED} else None
    if origin is not None and ban is not None and ban.code in BY_TYPE:
        yield Problem(ban.code, node, f"with {shown(node)} ({_readable(origin.path)})", subject=_short(origin.path))


def _made_by_fields(project: Project, node: ast.Call, scope: Scope) -> Iterator[Problem]:
    """Find classes whose fields get their value from what is banned: ``field(factory=uuid.uuid4)``; not if it is given."""
    origin = project.origin(node.func, scope)
    owner = project.classes.get(origin.path) if origin is not None and origin.kind is Kind.NAME else None
    given = _given_fields(project, owner, node) if owner is not None else None
    if owner is None or given is None:
        return
    for cls in project.lineage(owner):
        for name, bindings in cls.scope.bindings.items():
            module = next((m for m in project.modules.values() if cls in m.classes), None)
            value = bindings[-1].value
            if module is None or value is None or name in given:
                continue
            for part, inner in module.nodes(value, module.scopes.get(value, cls.scope)):
                made_by = project.origin(part, inner) if isinstance(part, ast.Name | ast.Attribute) else None
                ban = ban_of(made_by.path) if made_by is not None and made_by.kind is Kind.NAME else None
                if made_by is not None and ban is not None and ban.code in _AT_IMPORT and _is_deed(made_by.path):
                    reason = f"its field {name!r} comes from {_readable(made_by.path)}; {RULES[ban.code].reason}"
                    yield Problem(ban.code, node, f"{shown(node.func)}()", reason=reason)


def _given_fields(project: Project, owner: Class, call: ast.Call) -> set[str] | None:
    """Return which fields of *owner* get their value from *call*; None if that cannot be known."""
    if any(keyword.arg is None for keyword in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    if project.method(owner, "__init__") is not None:
        return set()  # what its parameters are for, only it knows
    bases_first = reversed(list(project.lineage(owner)))
    bindings = (each for cls in bases_first for each in cls.scope.bindings.items())
    fields = dict.fromkeys(name for name, (*_, last) in bindings if last.path is None)
    return {*list(fields)[: len(call.args)], *(keyword.arg for keyword in call.keywords if keyword.arg is not None)}


def _is_deed(path: str) -> bool:
    """Whether *path* is a function or a value of the environment, not a class or a module."""
    return "." in path and path.rpartition(".")[2].islower() and path in BANNED


def _made_at_import(project: Project, node: ast.Name | ast.Attribute, scope: Scope) -> Iterator[Problem]:
    """Find values of modules and classes that another process computes differently: ``STARTED = time.time()``."""
    for path, binding, module, where in (*_of_module(project, node, scope), *_of_class(project, node, scope)):
        if binding.value is None or isinstance(binding.value, ast.Lambda | ast.Name | ast.Attribute):
            continue
        for part, inner in module.nodes(binding.value, where):
            found = _differs(project, part, inner)
            if found is not None:
                reason = f"it was computed from {found[1]} at import, and differs in another process"
                yield Problem(found[0], node, without_prefix(path), reason=reason)
                return


def _of_module(project: Project, node: ast.Name | ast.Attribute, scope: Scope) -> Iterator[_Value]:
    """Yield what the module-level variable *node* is bound to, if it is one."""
    variable = project.variable(node, scope)
    if variable is not None:
        path, module, name = variable
        yield from ((path, binding, module, module.scope) for binding in module.scope.bindings[name])


def _of_class(project: Project, node: ast.Name | ast.Attribute, scope: Scope) -> Iterator[_Value]:
    """Yield what the attribute *node* of a class, or of an object that all code shares, is bound to, if it is one."""
    base = project.origin(node.value, scope) if isinstance(node, ast.Attribute) else None
    owner = project.classes.get(base.path) if base is not None else None
    if base is None or owner is None or base.kind not in {Kind.NAME, Kind.SHARED}:
        return
    assert isinstance(node, ast.Attribute), "only attributes have a base"
    is_object = base.kind is Kind.SHARED
    for cls in project.lineage(owner):
        module = next(each for each in project.modules.values() if cls in each.classes)
        path = f"{cls.path}.{node.attr}"
        if is_object and node.attr in cls.assigned:
            yield path, cls.assigned[node.attr], module, cls.assigned_in[node.attr]
            return
        if node.attr in cls.scope.bindings:
            # An annotated one may be a field, which an object may have been given a value of its own for.
            bindings = (each for each in cls.scope.bindings[node.attr] if not is_object or each.annotation is None)
            yield from ((path, binding, module, cls.scope) for binding in bindings)
            return


def _differs(project: Project, node: ast.AST, scope: Scope) -> tuple[str, str] | None:
    origin: Origin | None = None
    code: str | None = None
    if isinstance(node, ast.Call):
        origin = project.origin(node.func, scope)
        code = _code_of_call(origin, node) if origin is not None else None
        if origin is not None and origin.path == "random.Random":
            code = None  # what is drawn from it is reported where it is drawn
    elif isinstance(node, ast.Attribute):
        origin = project.origin(node, scope)
        ban = ban_of(origin.path) if origin is not None and origin.kind is Kind.NAME else None
        code = ENVIRONMENT if ban is not None and ban.is_exact and ban.code == ENVIRONMENT else None
    return (code, _readable(origin.path)) if origin is not None and code in _AT_IMPORT and code is not None else None


def _is_defined_here(project: Project, origin: Origin) -> bool:
    """Whether the code at hand defines it, whatever its name."""
    return origin.path in project.functions or origin.path in project.classes


def _readable(path: str) -> str:
    return path.removeprefix("builtins.")


def _short(path: str) -> str:
    """Return the last two words of *path*: enough to recognise it."""
    return ".".join(_readable(path).split(".")[-2:])
