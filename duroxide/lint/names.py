"""
What an expression is: a dotted name, whatever it was imported, renamed or assigned as.

``dt.now`` is ``datetime.datetime.now`` after ``from datetime import datetime as dt``; ``self.log.info`` is
``logging.getLogger.info`` if the class says ``self.log = logging.getLogger()``. What cannot be known is None, and
nobody is accused because of it.
"""

from __future__ import annotations

import ast
import builtins

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from importlib import import_module
from types import MappingProxyType

from attrs import define, evolve, field, frozen

from .scopes import Binding, Class, Function, Module, Scope, decorator_names, is_bound
from .sources import without_prefix


_LIBRARY = "duroxide"

#: The names that this linter knows the library by, wherever they are imported from.
CONTEXT = "duroxide.OrchestrationContext"
ACTIVITY_CONTEXT = "duroxide.ActivityContext"
ORCHESTRATION = "duroxide.Orchestration"
ACTION = "duroxide.Action"

#: The methods of the context that return an action.
ACTIONS = frozenset(
    f"{CONTEXT}.{name}"
    for name in (
        *("schedule_activity", "schedule_timer", "schedule_wait", "dequeue_event", "schedule_sub_orchestration"),
        *("schedule_orchestration", "continue_as_new", "join", "select", "get_kv_value_from_instance"),
    )
)

#: Attributes that hold the context when nobody says what they are.
_CONTEXT_ATTRIBUTES = frozenset({"ctx", "_ctx", "context", "_context"})

#: Every kind of set.
SET = "builtins.set"
_SAME: Mapping[str, str] = MappingProxyType(
    dict.fromkeys(
        (
            *("builtins.frozenset", "typing.Set", "typing.FrozenSet", "typing.AbstractSet", "typing.MutableSet"),
            *("collections.abc.Set", "collections.abc.MutableSet"),
            *(f"{SET}.{name}" for name in ("union", "intersection", "difference", "symmetric_difference", "copy")),
            *(f"builtins.frozenset.{name}" for name in ("union", "intersection", "difference", "copy")),
        ),
        SET,
    )
)

_LITERALS: Mapping[type[ast.expr], str] = MappingProxyType(
    {
        ast.Set: SET,
        ast.SetComp: SET,
        ast.List: "builtins.list",
        ast.ListComp: "builtins.list",
        ast.Dict: "builtins.dict",
        ast.DictComp: "builtins.dict",
        ast.Tuple: "builtins.tuple",
        ast.GeneratorExp: "types.GeneratorType",
    }
)

_SET_OPERATORS = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
_WRAPPERS = frozenset({"Optional", "Annotated", "Final", "ClassVar", "Required", "NotRequired"})

# Chains of assignments and imports that are longer than this are circular.
_DEEPEST = 40


class Kind(Enum):
    """How code comes by a thing."""

    #: It is the named thing itself.
    NAME = "name"
    #: A call in the function at hand returned it.
    RESULT = "result"
    #: A call outside of functions returned it: all code shares it.
    SHARED = "shared"
    #: An annotation says that it is an instance.
    TYPED = "typed"


@frozen
class Origin:
    """What an expression is: the dotted name, or something that was made by calling it."""

    path: str
    kind: Kind = Kind.NAME


@define(eq=False)
class Project:
    """All modules that are looked at, and what names mean in them."""

    modules: dict[str, Module] = field(factory=dict)
    functions: dict[str, Function] = field(factory=dict)
    classes: dict[str, Class] = field(factory=dict)
    #: Parameters without an annotation that are given the context.
    contexts: set[tuple[Scope, str]] = field(factory=set)
    _depth: int = 0

    def add(self, module: Module) -> None:
        """Take *module* in."""
        self.modules[module.source.name] = module
        self.functions.update((function.path, function) for function in module.functions)
        self.classes.update((cls.path, cls) for cls in module.classes)

    # Expressions

    def origin(self, node: ast.AST | None, scope: Scope) -> Origin | None:
        """Return what the expression *node* in *scope* is, if that can be known."""
        if node is None or self._depth > _DEEPEST:
            return None
        self._depth += 1
        try:
            return self._origin(node, scope)
        finally:
            self._depth -= 1

    def _origin(self, node: ast.AST, scope: Scope) -> Origin | None:
        match node:
            case ast.Name(id=name):
                return self._name(name, node, scope)
            case ast.Attribute(value=value, attr=name):
                return self._attribute(self.origin(value, scope), name)
            case ast.Call():
                return self._call(node, scope)
            case ast.BinOp(left=left, op=operator, right=right) if isinstance(operator, _SET_OPERATORS):
                sides = (self.origin(left, scope), self.origin(right, scope))
                return Origin(SET, Kind.RESULT) if any(is_set(side) for side in sides) else None
            case ast.IfExp(body=first, orelse=second) | ast.BoolOp(values=[first, second]):
                return self.origin(first, scope) or self.origin(second, scope)
            case ast.NamedExpr(value=value):
                return self.origin(value, scope)
            case ast.Yield(value=value) | ast.YieldFrom(value=value):
                return self._answer(value, scope)
            case ast.expr() if type(node) in _LITERALS:
                return Origin(_LITERALS[type(node)], Kind.RESULT)
        return None

    def _name(self, name: str, node: ast.Name, scope: Scope) -> Origin | None:
        found = self.binding(name, node, scope)
        if found is not None:
            binding, where = found
            return self._bound(name, binding, where)
        if hasattr(builtins, name):
            return Origin(f"builtins.{name}")
        star = self._star(self.modules[_top(scope).path], name)
        return self.lookup(f"{star}.{name}") if star is not None else None

    def binding(self, name: str, node: ast.AST, scope: Scope) -> tuple[Binding, Scope] | None:
        """Return the binding of *name* that counts at *node*, and the scope that has it."""
        at = scope
        while True:
            if name in at.bindings and (at is scope or not at.is_class) and name not in at.outer_names:
                bindings = at.bindings[name]
                if at is scope or not at.is_module:
                    place = (getattr(node, "lineno", 0), getattr(node, "col_offset", 0))
                    before = bisect_right(bindings, place, key=_place)  # they are in the order of the source
                    return bindings[max(before - 1, 0)], at
                return bindings[-1], at
            if at.parent is None:
                return None
            at = at.parent

    def _bound(self, name: str, binding: Binding, scope: Scope) -> Origin | None:
        if binding.path is not None:
            return self.lookup(binding.path)
        if binding.annotation is not None and (typed := self.type_origin(binding.annotation, scope)) is not None:
            return typed
        if binding.is_parameter:
            if (scope, name) in self.contexts:
                return Origin(CONTEXT, Kind.TYPED)
            return self._self(name, scope)
        found = self.origin(binding.value, scope)
        if found is not None and found.kind is Kind.RESULT and (scope.is_module or scope.is_class):
            return evolve(found, kind=Kind.SHARED)
        return found

    def _self(self, name: str, scope: Scope) -> Origin | None:
        """Return the class if *name* is the first parameter of a method."""
        node, parent = scope.node, scope.parent
        if parent is None or not parent.is_class or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return None
        arguments = [*node.args.posonlyargs, *node.args.args]
        if not arguments or arguments[0].arg != name or not is_bound(node):
            return None
        return Origin(parent.path, Kind.NAME if "classmethod" in decorator_names(node) else Kind.TYPED)

    def _attribute(self, base: Origin | None, name: str) -> Origin | None:
        if base is None:
            return Origin(CONTEXT, Kind.TYPED) if name in _CONTEXT_ATTRIBUTES else None
        if (owner := self.classes.get(base.path)) is not None:
            return self._member(owner, name)
        found = self.lookup(f"{base.path}.{name}")
        if found is None or base.kind is Kind.NAME or found.kind is not Kind.NAME:
            return found
        return evolve(found, kind=base.kind)

    def _call(self, node: ast.Call, scope: Scope) -> Origin | None:
        if isinstance(node.func, ast.Name) and node.func.id == "super":
            return self._super(scope)
        called = self.origin(node.func, scope)
        if called is None:
            return None
        if called.path == "functools.partial" and node.args:
            return self.origin(node.args[0], scope)
        function = self.functions.get(called.path)
        if function is not None and not function.is_generator and not function.is_async:
            returned = self.type_origin(function.node.returns, function.defined_in)
            if returned is None and function.node.returns is None:
                returned = self._returned(function)
            if returned is not None:
                return returned
        kind = Kind.SHARED if called.kind is Kind.SHARED else Kind.RESULT
        return Origin(_SAME.get(called.path, called.path), kind)

    def _returned(self, function: Function) -> Origin | None:
        """Return what a function without annotations returns, as its first telling ``return`` says."""
        returns = ((node.value, scope) for node, scope in function.nodes if isinstance(node, ast.Return))
        origins = (self.origin(value, scope) for value, scope in returns)
        return next((origin for origin in origins if origin is not None), None)

    def _super(self, scope: Scope) -> Origin | None:
        at: Scope | None = scope
        while at is not None and not at.is_class:
            at = at.parent
        owner = self.classes.get(at.path) if at is not None else None
        base = next(self._bases(owner), None) if owner is not None else None
        return Origin(base.path, Kind.TYPED) if base is not None else None

    def _answer(self, awaited: ast.expr | None, scope: Scope) -> Origin | None:
        """Return what waiting for *awaited* gives, as the annotation of the activity or generator says."""
        if not isinstance(awaited, ast.Call):
            return None
        called = self.origin(awaited.func, scope)
        if called is not None and called.path == f"{CONTEXT}.schedule_activity" and awaited.args:
            activity = self.origin(awaited.args[0], scope)
            function = self.functions.get(activity.path) if activity is not None else None
            return self.type_origin(function.node.returns, function.defined_in) if function is not None else None
        function = self.functions.get(called.path) if called is not None else None
        if function is not None and isinstance(function.node.returns, ast.Subscript):
            return self.type_origin(function.node.returns.slice, function.defined_in)
        return None

    # Annotations

    def type_origin(self, node: ast.AST | None, scope: Scope) -> Origin | None:
        """Return the type that the annotation *node* names, without its parameters."""
        match node:
            case ast.Constant(value=str(text)):
                try:
                    return self.type_origin(ast.parse(text, mode="eval").body, scope)
                except SyntaxError:
                    return None
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                return self.type_origin(left, scope) or self.type_origin(right, scope)
            case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner) if name in _WRAPPERS:
                first = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner
                return self.type_origin(first, scope)
            case ast.Subscript(value=value):
                return self.type_origin(value, scope)
            case ast.Name() | ast.Attribute():
                found = self._aliased(node, scope) or self.origin(node, scope)
                return Origin(_SAME.get(found.path, found.path), Kind.TYPED) if found is not None else None
            case _:
                return None

    def _aliased(self, node: ast.Name | ast.Attribute, scope: Scope) -> Origin | None:
        """Return the type that the name *node* was made to stand for: ``Names = set[str]``, ``type Names = set[str]``."""
        variable = self.variable(node, scope)
        if variable is None or self._depth > _DEEPEST:
            return None
        _, module, name = variable
        self._depth += 1
        try:
            return self.type_origin(module.scope.bindings[name][-1].value, module.scope)
        finally:
            self._depth -= 1

    # Dotted names

    def lookup(self, path: str) -> Origin | None:
        """Follow the dotted name *path* through the modules at hand, to where it is defined."""
        path = _canonical(path)
        if path in self.functions or path in self.classes or path in self.modules or self._depth > _DEEPEST:
            return Origin(path)
        module, rest = self._split(path)
        if module is None:
            return Origin(path)
        bindings = module.scope.bindings.get(rest[0])
        if not bindings:
            star = self._star(module, rest[0])
            return self.lookup(".".join([star, *rest])) if star is not None else Origin(path)
        self._depth += 1
        try:
            found = self._bound(rest[0], bindings[-1], module.scope)
            for name in rest[1:]:
                found = self._attribute(found, name) if found is not None else None
        finally:
            self._depth -= 1
        return found

    def variable(self, node: ast.AST, scope: Scope) -> tuple[str, Module, str] | None:
        """Return the dotted name, the module and the own name of the module-level variable that *node* is."""
        if isinstance(node, ast.Name):
            found = self.binding(node.id, node, scope)
            if found is None or not found[1].is_module:
                return None
            path = found[0].path or f"{found[1].path}.{node.id}"
        elif isinstance(node, ast.Attribute):
            base = self.origin(node.value, scope)
            if base is None or base.kind is not Kind.NAME:
                return None
            path = f"{base.path}.{node.attr}"
        else:
            return None
        return self._variable(path)

    def _variable(self, path: str, hops: int = 0) -> tuple[str, Module, str] | None:
        module, rest = self._split(path)
        if module is None or len(rest) != 1 or hops > _DEEPEST or path in self.functions or path in self.classes:
            return None
        bindings = module.scope.bindings.get(rest[0])
        if not bindings:
            return None
        if bindings[-1].path is not None:
            return self._variable(bindings[-1].path, hops + 1)
        return f"{module.source.name}.{rest[0]}", module, rest[0]

    def _split(self, path: str) -> tuple[Module | None, list[str]]:
        """Return the module that *path* begins with, and the names below it."""
        parts = path.split(".")
        for length in range(len(parts) - 1, 0, -1):
            module = self.modules.get(".".join(parts[:length]))
            if module is not None:
                return module, parts[length:]
        return None, parts

    def _star(self, module: Module, name: str) -> str | None:
        """Return the module that brings *name* to *module* by ``from ... import *``: the last that has it, if any is known to."""
        known = (star for star in reversed(module.stars) if self._has(star, name, set()))
        unknown = (star for star in module.stars if star not in self.modules and star != _LIBRARY)
        return next(known, None) or next(unknown, None)

    def _has(self, path: str, name: str, seen: set[str]) -> bool:
        """Whether the module *path*, as far as it is known, has *name*."""
        module = self.modules.get(path)
        if module is None or path in seen:
            return path == _LIBRARY and name in _public_names()
        seen.add(path)
        return name in module.scope.bindings or any(self._has(star, name, seen) for star in module.stars)

    # Classes

    def _member(self, owner: Class, name: str) -> Origin | None:
        for cls in self.lineage(owner):
            if name in cls.scope.bindings:
                found = self._bound(name, cls.scope.bindings[name][-1], cls.scope)
                method = self.functions.get(found.path) if found is not None else None
                if method is not None and is_property(method):
                    return self.type_origin(method.node.returns, method.defined_in)
                return found
            if name in cls.assigned:
                found = self._bound(name, cls.assigned[name], cls.assigned_in[name])
                return evolve(found, kind=Kind.SHARED) if found and found.kind is Kind.RESULT else found
        external = next((base for cls in self.lineage(owner) for base in self._bases(cls)), None)
        if external is not None and external.path not in self.classes:
            return Origin(f"{external.path}.{name}")
        return Origin(CONTEXT, Kind.TYPED) if name in _CONTEXT_ATTRIBUTES else None

    def property_of(self, node: ast.Attribute, scope: Scope) -> Function | None:
        """Return the property that the attribute *node* runs, if it is one."""
        base = self.origin(node.value, scope)
        owner = self.classes.get(base.path) if base is not None else None
        method = self.method(owner, node.attr) if owner is not None else None
        return method if method is not None and is_property(method) else None

    def method(self, owner: Class, name: str) -> Function | None:
        """Return the method *name* of *owner* or of what it inherits from."""
        paths = (f"{cls.path}.{name}" for cls in self.lineage(owner))
        return next((self.functions[path] for path in paths if path in self.functions), None)

    def lineage(self, owner: Class) -> Iterator[Class]:
        """Yield *owner* and the classes that it inherits from, nearest first."""
        seen, todo = set(), [owner]
        while todo:
            cls = todo.pop(0)
            if cls not in seen:
                seen.add(cls)
                yield cls
                todo.extend(self.classes[base.path] for base in self._bases(cls) if base.path in self.classes)

    def _bases(self, cls: Class) -> Iterator[Origin]:
        for base in cls.node.bases:
            found = self.type_origin(base, cls.scope.parent or cls.scope)
            if found is not None:
                yield found

    # The library's own

    def is_context(self, node: ast.AST, scope: Scope) -> bool:
        """Whether *node* is the orchestration's context."""
        found = self.origin(node, scope)
        return found is not None and found.path == CONTEXT and found.kind is not Kind.NAME

    def is_action(self, node: ast.AST | None, scope: Scope) -> bool:
        """Whether *node* is an action: what a schedule method returned."""
        found = self.origin(node, scope)
        return found is not None and found.kind is not Kind.NAME and (found.path in ACTIONS or found.path == ACTION)

    def is_generator(self, node: ast.AST | None, scope: Scope) -> bool:
        """Whether *node* is a generator, made by calling a generator function or by an expression."""
        found = self.origin(node, scope)
        if found is None or found.kind is Kind.NAME:
            return False
        function = self.functions.get(found.path)
        return found.path in {ORCHESTRATION, "types.GeneratorType"} or (function is not None and function.is_generator)

    def called(self, node: ast.Call, scope: Scope) -> str:
        """Return the dotted name of what *node* calls; empty if unknown."""
        found = self.origin(node.func, scope)
        return found.path if found is not None else ""


def is_set(origin: Origin | None) -> bool:
    """Whether *origin* is a set, whose order means nothing."""
    return origin is not None and origin.path == SET and origin.kind is not Kind.NAME


def is_property(function: Function) -> bool:
    """Whether reading an attribute runs *function*."""
    names = (
        target.attr if isinstance(target, ast.Attribute) else target.id
        for target in function.node.decorator_list
        if isinstance(target, ast.Name | ast.Attribute)
    )
    return any(name in {"property", "cached_property"} for name in names)


@cache
def _public_names() -> frozenset[str]:
    """Return what ``from duroxide import *`` brings."""
    return frozenset(import_module(_LIBRARY).__all__)


def _canonical(path: str) -> str:
    """Return the public name of what the library defines somewhere inside."""
    if not without_prefix(path).startswith("duroxide."):
        return path
    parts = path.split(".")
    first = next((index for index, part in enumerate(parts) if part[:1].isupper()), None)
    return path if first is None else ".".join(["duroxide", *parts[first:]])


def _place(binding: Binding) -> tuple[int, int]:
    return binding.line, binding.column


def _top(scope: Scope) -> Scope:
    while scope.parent is not None:
        scope = scope.parent
    return scope
