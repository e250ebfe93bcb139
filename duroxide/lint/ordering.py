"""Check for iteration over sets. What does not depend on the order (``sorted``, ``len``, ``in``) is fine."""

from __future__ import annotations

import ast

from collections.abc import Iterator

from .names import SET, is_set
from .problems import Problem, Subject, shown
from .scopes import Scope


_ORDERED = frozenset(
    f"builtins.{name}"
    for name in ("list", "tuple", "enumerate", "iter", "map", "filter", "zip", "reversed", "next", "str", "repr")
)
_ORDERED_METHODS = frozenset({"join", "extend", "fromkeys", "writelines"})
#: Of these, what keeps the elements as they are, for what is around it.
_KEEPING = frozenset(f"builtins.{name}" for name in ("list", "tuple", "iter", "map", "filter"))
_UNORDERED = frozenset(
    f"builtins.{name}" for name in ("sorted", "set", "frozenset", "any", "all", "min", "max", "len", "sum")
)


def iterates_over_sets(subject: Subject) -> Iterator[Problem]:
    """Find loops, comprehensions and conversions whose result depends on the order of a set."""
    project = subject.project
    for node, scope in subject.function.nodes:
        for iterated in _iterated(subject, node, scope):
            if is_set(project.origin(iterated, scope)):
                yield Problem("DX111", iterated, shown(iterated))


def _iterated(subject: Subject, node: ast.AST, scope: Scope) -> Iterator[ast.expr]:
    """Yield what *node* iterates over in order."""
    match node:
        case ast.For(iter=iterated) | ast.YieldFrom(value=iterated):
            yield iterated
        case ast.DictComp(generators=generators):
            yield from (generator.iter for generator in generators)
        case ast.ListComp(generators=generators) | ast.GeneratorExp(generators=generators):
            if not _is_consumed_without_order(subject, node, scope):
                yield from (generator.iter for generator in generators)
        case ast.FormattedValue(value=value):
            yield value
        case ast.Starred(value=value, ctx=ast.Load()):
            if not isinstance(subject.function.module.parents.get(node), ast.Set):
                yield value
        case ast.Call():
            yield from _iterated_by_call(subject, node, scope)
        case _:
            return


def _iterated_by_call(subject: Subject, node: ast.Call, scope: Scope) -> Iterator[ast.expr]:
    path = subject.project.called(node, scope)
    if path in _ORDERED and not (path in _KEEPING and _is_consumed_without_order(subject, node, scope)):
        yield from (argument for argument in node.args if not isinstance(argument, ast.Starred))
    if isinstance(node.func, ast.Attribute):
        if node.func.attr in _ORDERED_METHODS:
            yield from (argument for argument in node.args if not isinstance(argument, ast.Starred))
        elif node.func.attr == "pop" and not node.args:
            yield node.func.value


def _is_consumed_without_order(subject: Subject, node: ast.AST, scope: Scope) -> bool:
    """Whether the order of *node*'s elements is of no consequence: ``sorted([f(x) for x in names])``."""
    match subject.function.module.parents.get(node):
        case ast.Call() as call:
            path = subject.project.called(call, scope)
            if path in _UNORDERED or path.startswith(f"{SET}."):
                return True
            return path in _KEEPING and _is_consumed_without_order(subject, call, scope)
        case ast.SetComp():
            return True
        case ast.comprehension() | ast.ListComp() | ast.GeneratorExp() as outer:
            return _is_consumed_without_order(subject, outer, scope)
        case _:
            return False
