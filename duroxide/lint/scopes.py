"""
A file as the linter sees it: its syntax tree, its functions and classes, and what each name is bound to where.

Rule: this file knows one module at a time. What a name means across modules is in `names.py`.
"""

from __future__ import annotations

import ast
import warnings

from collections.abc import Iterator
from typing import Any, TypeAlias

from attrs import define, field, frozen

from .sources import Source, absolute


AnyFunction: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension: TypeAlias = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_ANNOTATIONS = ("annotation", "returns")
_UNBOUND = frozenset({"staticmethod", "orchestration", "activity"})


@frozen
class Binding:
    """One place where a name gets a meaning. If it has neither path, value nor annotation, nobody knows which."""

    line: int
    column: int
    #: What an import, a definition or a class binds.
    path: str | None = None
    #: What an assignment binds.
    value: ast.expr | None = None
    annotation: ast.expr | None = None
    is_parameter: bool = False


@define(eq=False)
class Scope:
    """Where names are looked up: a module, a class, a function, a lambda or a comprehension."""

    path: str
    node: ast.AST
    parent: Scope | None = None
    bindings: dict[str, list[Binding]] = field(factory=dict)
    global_names: set[str] = field(factory=set)
    outer_names: set[str] = field(factory=set)

    def bind(self, name: str, binding: Binding) -> None:
        """Note that *name* gets a meaning here."""
        scope = self
        if name in self.global_names:
            while scope.parent is not None:
                scope = scope.parent
        scope.bindings.setdefault(name, []).append(binding)

    @property
    def is_module(self) -> bool:
        """Whether its names are shared by everything in the process."""
        return self.parent is None

    @property
    def is_class(self) -> bool:
        """Whether its names are seen from the functions in it only as attributes."""
        return isinstance(self.node, ast.ClassDef)


@define(eq=False)
class Function:
    """A function or method."""

    path: str
    node: AnyFunction
    module: Module
    #: The scope of its own names; the parent is where it is defined.
    scope: Scope
    #: Its class, if it is a method.
    owner: Class | None
    nodes: tuple[tuple[ast.AST, Scope], ...] = ()

    @property
    def name(self) -> str:
        """What a chain of calls shows."""
        return f"{self.owner.node.name}.{self.node.name}" if self.owner else self.node.name

    @property
    def is_async(self) -> bool:
        """Whether it is an ``async def``."""
        return isinstance(self.node, ast.AsyncFunctionDef)

    @property
    def is_generator(self) -> bool:
        """Whether calling it makes a generator, and no context manager."""
        if "contextmanager" in decorator_names(self.node):
            return False
        return any(isinstance(node, ast.Yield | ast.YieldFrom) for node, _ in self.nodes)

    @property
    def defined_in(self) -> Scope:
        """The scope that its definition stands in."""
        assert self.scope.parent is not None
        return self.scope.parent

    @property
    def parameters(self) -> list[ast.arg]:
        """Its positional parameters, without the ``self`` or ``cls`` of a method."""
        arguments = self.node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        return positional[1:] if self.owner is not None and is_bound(self.node) else positional


@define(eq=False)
class Class:
    """A class, and the attributes that its methods assign to ``self``."""

    path: str
    node: ast.ClassDef
    scope: Scope
    assigned: dict[str, Binding] = field(factory=dict)
    assigned_in: dict[str, Scope] = field(factory=dict)


@define(eq=False)
class Module:
    """A parsed file."""

    source: Source
    tree: ast.Module
    scope: Scope
    functions: list[Function] = field(factory=list)
    classes: list[Class] = field(factory=list)
    #: Modules whose names are all imported.
    stars: list[str] = field(factory=list)
    #: Every name of a module that is imported, also of what may be a submodule.
    imports: list[str] = field(factory=list)
    scopes: dict[ast.AST, Scope] = field(factory=dict)
    parents: dict[ast.AST, ast.AST] = field(factory=dict)

    def nodes(self, node: ast.AST, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
        """Yield what runs when *node* runs: all below it but the bodies of functions and classes, in source order."""
        yield node, scope
        for name, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else (value,):
                if not isinstance(child, ast.AST) or name in _ANNOTATIONS:
                    continue
                if isinstance(child, _DEFINITIONS):
                    for part in _evaluated_when_defined(child):
                        yield from self.nodes(part, scope)
                else:
                    yield from self.nodes(child, self.scopes.get(child, scope))


def read_module(source: Source, text: str) -> Module:
    """
    Return what *text*, the contents of *source*, says.

    Raises:
        SyntaxError: If it is no Python.
        ValueError: If it contains null bytes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # an invalid escape is nothing that we are asked about
        tree = _LambdasToFunctions().visit(ast.parse(text))
    scope = Scope(source.name, tree)
    module = Module(source, tree, scope)
    module.parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    _Reader(module).generic_visit(tree)
    for function in module.functions:
        function.nodes = tuple(_of_function(function))
    return module


def decorator_names(node: AnyFunction) -> set[str]:
    """Return the last words of the decorators of *node*."""
    names = set()
    for decorator in node.decorator_list:
        target = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(target, ast.Attribute):
            names.add(target.attr)
        elif isinstance(target, ast.Name):
            names.add(target.id)
    return names


def is_bound(method: AnyFunction) -> bool:
    """Whether the first parameter of *method* is an object or a class. Not of what is registered in the class's body."""
    return not decorator_names(method) & _UNBOUND


def _of_function(function: Function) -> Iterator[tuple[ast.AST, Scope]]:
    arguments = function.node.args
    for default in (*arguments.defaults, *arguments.kw_defaults):
        if default is not None:
            yield from function.module.nodes(default, function.defined_in)
    for statement in function.node.body:
        if isinstance(statement, _DEFINITIONS):
            for part in _evaluated_when_defined(statement):
                yield from function.module.nodes(part, function.scope)
        else:
            yield from function.module.nodes(statement, function.scope)


def _evaluated_when_defined(node: ast.AST) -> Iterator[ast.expr]:
    assert isinstance(node, _DEFINITIONS)
    yield from node.decorator_list
    if not isinstance(node, ast.ClassDef):
        yield from node.args.defaults
        yield from (default for default in node.args.kw_defaults if default is not None)


class _LambdasToFunctions(ast.NodeTransformer):
    """Makes ``name = lambda x: y`` what it means: a function of that name."""

    def visit_Assign(self, node: ast.Assign) -> ast.stmt:
        self.generic_visit(node)
        if len(node.targets) != 1 or not isinstance(node.value, ast.Lambda):
            return node
        target, function = node.targets[0], node.value
        if not isinstance(target, ast.Name):
            return node
        body = ast.copy_location(ast.Return(function.body), function.body)
        made = ast.FunctionDef(target.id, function.args, [body], [], None, None)
        return ast.copy_location(made, node)


class _Reader(ast.NodeVisitor):
    """Fills a module with its scopes, functions and classes."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.scope = module.scope
        self.owner: Class | None = None

    # Definitions

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def _function(self, node: AnyFunction) -> None:
        path = f"{self.scope.path}.{node.name}"
        self.scope.bind(node.name, Binding(node.lineno, node.col_offset, path=path))
        for part in _evaluated_when_defined(node):
            self.visit(part)
        owner = self.owner if self.scope.is_class else None
        function = Function(path, node, self.module, Scope(path, node, self.scope), owner)
        self.module.functions.append(function)
        self._inside(function.scope, node.args, node.body, owner)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        for default in (*node.args.defaults, *node.args.kw_defaults):
            if default is not None:
                self.visit(default)
        self._inside(Scope(f"{self.scope.path}.<lambda>", node, self.scope), node.args, [node.body], self.owner)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        path = f"{self.scope.path}.{node.name}"
        self.scope.bind(node.name, Binding(node.lineno, node.col_offset, path=path))
        scope = Scope(path, node, self.scope)
        owner = Class(path, node, scope)
        self.module.classes.append(owner)
        for part in (*node.decorator_list, *node.bases):
            self.visit(part)
        self._inside(scope, None, node.body, owner)

    def _inside(
        self, scope: Scope, arguments: ast.arguments | None, body: list[ast.stmt] | list[ast.expr], owner: Class | None
    ) -> None:
        before = self.scope, self.owner
        self.scope, self.owner = scope, owner
        self.module.scopes[scope.node] = scope
        if arguments is not None:
            self._bind_parameters(arguments)
        for part in body:
            self.visit(part)
        self.scope, self.owner = before

    def _bind_parameters(self, arguments: ast.arguments) -> None:
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            binding = Binding(argument.lineno, argument.col_offset, annotation=argument.annotation, is_parameter=True)
            self.scope.bind(argument.arg, binding)
        for rest in (arguments.vararg, arguments.kwarg):
            if rest is not None:
                self.scope.bind(rest.arg, Binding(rest.lineno, rest.col_offset))

    def _comprehension(self, node: Comprehension) -> None:
        before = self.scope
        self.scope = Scope(self.scope.path, node, self.scope)
        self.module.scopes[node] = self.scope
        self.generic_visit(node)
        self.scope = before

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    # Imports

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            path = absolute(alias.name, self.module.source)
            self.module.imports.append(path)
            if not alias.asname:
                path = path.partition(".")[0]
            name = alias.asname or alias.name.partition(".")[0]
            self.scope.bind(name, Binding(node.lineno, node.col_offset, path=path))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = self._imported_from(node)
        self.module.imports.append(origin)
        for alias in node.names:
            if alias.name == "*":
                self.module.stars.append(origin)
                continue
            path = f"{origin}.{alias.name}" if origin else alias.name
            self.module.imports.append(path)
            self.scope.bind(alias.asname or alias.name, Binding(node.lineno, node.col_offset, path=path))

    def _imported_from(self, node: ast.ImportFrom) -> str:
        if node.level == 0:
            return absolute(node.module or "", self.module.source)
        parts = self.module.source.name.split(".")
        up = node.level - self.module.source.is_package
        base = parts[: len(parts) - up] if up else parts
        return ".".join([*base, node.module] if node.module else base)

    # Assignments

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.global_names.update(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.scope.outer_names.update(node.names)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assign(target, node.value)
        self.visit(node.value)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._assign(node.target, node.value, node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def visit_TypeAlias(self, node: Any) -> None:
        """Bind ``type Name = ...``, which Python 3.11 does not have."""
        self._assign(node.name, node.value)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        scope = self.scope
        while isinstance(scope.node, COMPREHENSIONS) and scope.parent is not None:
            scope = scope.parent
        scope.bind(node.target.id, Binding(node.lineno, node.col_offset, value=node.value))
        self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)

    def visit_withitem(self, node: ast.withitem) -> None:
        self.visit(node.context_expr)
        if node.optional_vars is not None:
            self._assign(node.optional_vars, node.context_expr)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.name is not None:
            self.scope.bind(node.name, Binding(node.lineno, node.col_offset, annotation=node.type))
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Store) and node.id not in self.scope.outer_names:
            self.scope.bind(node.id, Binding(node.lineno, node.col_offset))

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        if node.name is not None:
            self.scope.bind(node.name, Binding(node.lineno, node.col_offset))
        self.generic_visit(node)

    def _assign(self, target: ast.expr, value: ast.expr | None, annotation: ast.expr | None = None) -> None:
        binding = Binding(target.lineno, target.col_offset, value=value, annotation=annotation)
        if isinstance(target, ast.Name):
            if target.id not in self.scope.outer_names:
                self.scope.bind(target.id, binding)
        elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
            if self.owner is not None:
                self.owner.assigned.setdefault(target.attr, binding)
                self.owner.assigned_in.setdefault(target.attr, self.scope)
        else:
            self.visit(target)  # tuples: each name is bound to something unknown
