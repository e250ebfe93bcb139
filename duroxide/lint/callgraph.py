"""
Which functions are orchestrations, which are activities, and which functions run when an orchestration does.

Rule: a function that is only named as an activity or a child (``ctx.schedule_activity(charge, ...)``) is not called.
"""

from __future__ import annotations

import ast

from collections import deque
from collections.abc import Iterator

from attrs import define, field, frozen

from .names import ACTIVITY_CONTEXT, CONTEXT, ORCHESTRATION, Kind, Origin, Project
from .scopes import Class, Function, Module, Scope, decorator_names


_ORCHESTRATION_DECORATORS = frozenset({"orchestration", "register_orchestration"})
_ACTIVITY_DECORATORS = frozenset({"activity", "register_activity"})
#: The methods of the context whose first argument is a function that runs elsewhere.
_NAMING = frozenset(
    f"{CONTEXT}.{name}" for name in ("schedule_activity", "schedule_sub_orchestration", "schedule_orchestration")
)
#: What the first parameters of the methods that register and schedule are called.
_FIRST_PARAMETERS = frozenset({"activity", "orchestration", "fn"})
_CONSTRUCTORS = ("__init__", "__post_init__", "__attrs_post_init__", "__enter__", "__exit__")


@frozen
class Roles:
    """What the functions of a project are registered or annotated as."""

    orchestrations: frozenset[Function]
    activities: frozenset[Function]
    #: Functions that take an orchestration's context or return an `Orchestration`, registered or not.
    annotated: tuple[Function, ...]


@frozen
class Visit:
    """A function that runs in an orchestration, and the calls that lead to it."""

    function: Function
    chain: tuple[Function, ...]


def find_roles(project: Project) -> Roles:
    """Return who is what, and note in *project* which parameters are the context."""
    orchestrations, activities, annotated = set(), set(), []
    for module in project.modules.values():
        for function in module.functions:
            names = decorator_names(function.node)
            context = first_parameter_type(project, function)
            if names & _ACTIVITY_DECORATORS or (context == ACTIVITY_CONTEXT and not names & _ORCHESTRATION_DECORATORS):
                activities.add(function)
            elif names & _ORCHESTRATION_DECORATORS:
                orchestrations.add(function)
            if context == CONTEXT or returns_orchestration(project, function):
                annotated.append(function)
        for name, function in _registered(project, module):
            (orchestrations if name in _ORCHESTRATION_DECORATORS else activities).add(function)
    for function in (*orchestrations, *annotated):
        _take_context(project, function, function.parameters[:1])
    return Roles(frozenset(orchestrations - activities), frozenset(activities), tuple(annotated))


def first_parameter_type(project: Project, function: Function) -> str | None:
    """Return the dotted name that the first parameter of *function* is annotated with."""
    parameters = function.parameters
    found = project.type_origin(parameters[0].annotation, function.defined_in) if parameters else None
    return found.path if found is not None else None


def returns_orchestration(project: Project, function: Function) -> bool:
    """Whether *function* is annotated ``-> Orchestration[...]``."""
    found = project.type_origin(function.node.returns, function.defined_in)
    return found is not None and found.path == ORCHESTRATION


def _registered(project: Project, module: Module) -> Iterator[tuple[str, Function]]:
    """Yield the functions that calls in *module* register or schedule, and as what."""
    nodes = list(_statements(module, module.tree, module.scope))
    for cls in module.classes:
        nodes.extend(_statements(module, cls.node, cls.scope))
    nodes.extend(pair for function in module.functions for pair in function.nodes)
    for node, scope in nodes:
        if not isinstance(node, ast.Call) or (named := _first_argument(node)) is None:
            continue
        target = node.func.func if isinstance(node.func, ast.Call) else node.func
        name = target.attr if isinstance(target, ast.Attribute) else ""
        if name == "schedule_activity":
            name = "register_activity"
        if name in _ORCHESTRATION_DECORATORS or name in _ACTIVITY_DECORATORS:
            function = _function_of(project, project.origin(named, scope))
            if function is not None:
                yield name, function


def _function_of(project: Project, registered: Origin | None) -> Function | None:
    """Return the function that runs when what was *registered* runs: itself, or the ``__call__`` of an object."""
    if registered is None:
        return None
    if registered.kind is Kind.NAME:
        return project.functions.get(registered.path)
    owner = project.classes.get(registered.path)
    return project.method(owner, "__call__") if owner is not None else None


def _statements(module: Module, tree: ast.Module | ast.ClassDef, scope: Scope) -> Iterator[tuple[ast.AST, Scope]]:
    for statement in tree.body:
        if not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from module.nodes(statement, scope)


def _first_argument(call: ast.Call) -> ast.expr | None:
    """Return which function *call* registers or schedules, whether or not it says the parameter's name."""
    if call.args:
        return call.args[0]
    named = (keyword.value for keyword in call.keywords if keyword.arg in _FIRST_PARAMETERS)
    return next(named, None)


def _take_context(project: Project, function: Function, parameters: list[ast.arg]) -> bool:
    """Note that *parameters*, those without an annotation, are the context; return whether that is news."""
    known = len(project.contexts)
    project.contexts.update((function.scope, each.arg) for each in parameters if each.annotation is None)
    return len(project.contexts) > known


@define
class CallGraph:
    """Follows calls from the orchestrations on."""

    project: Project
    roles: Roles
    chains: dict[Function, tuple[Function, ...]] = field(factory=dict)
    _todo: deque[Function] = field(factory=deque)

    def visits(self) -> list[Visit]:
        """Return every function that runs in an orchestration, with a shortest chain of calls to it."""
        modules = self.project.modules.values()
        functions = [f for module in modules if module.source.is_named for f in module.functions]
        annotated = set(self.roles.annotated)
        self._follow(function for function in functions if function in self.roles.orchestrations)
        self._follow(function for function in functions if function in annotated and function.is_generator)
        self._follow(function for function in functions if function in annotated)
        return [Visit(function, chain) for function, chain in self.chains.items()]

    def _follow(self, roots: Iterator[Function]) -> None:
        for root in roots:
            if root not in self.roles.activities and root not in self.chains:
                self.chains[root] = (root,)
                self._todo.append(root)
        while self._todo:
            caller = self._todo.popleft()
            for callee, has_news in self._callees(caller):
                if callee in self.roles.activities or (callee in self.chains and not has_news):
                    continue
                self.chains.setdefault(callee, (*self.chains[caller], callee))
                self._todo.append(callee)

    def _callees(self, caller: Function) -> Iterator[tuple[Function, bool]]:
        """Yield the functions that *caller* runs, and whether it is news that one of them gets the context."""
        yield from ((wrapper, False) for wrapper in self._wrappers(caller))
        named = self._only_named(caller)
        for node, scope in caller.nodes:
            if isinstance(node, ast.Call):
                found = self.project.origin(node.func, scope)
                for callee in self._run_by(found):
                    yield callee, self._pass_context(node, scope, callee)
            elif isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load) and node not in named:
                for callee in self._mentioned(node, scope):
                    yield callee, False

    def _wrappers(self, function: Function) -> Iterator[Function]:
        """Yield what decorators put around *function*: the innermost functions that they define."""
        for decorator in function.node.decorator_list:
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            found = self.project.origin(target, function.defined_in)
            maker = self.project.functions.get(found.path) if found is not None else None
            if maker is not None and maker not in self.roles.orchestrations:
                inside = [each for each in maker.module.functions if each.path.startswith(f"{maker.path}.")]
                outer = {each.scope.parent.node for each in inside if each.scope.parent is not None}
                yield from (each for each in inside if each.node not in outer)

    def _mentioned(self, node: ast.Name | ast.Attribute, scope: Scope) -> Iterator[Function]:
        """Yield what a name may run without being called right here: a callback, a property, a table of functions."""
        if isinstance(node, ast.Attribute) and (found := self.project.property_of(node, scope)) is not None:
            yield found
        origin = self.project.origin(node, scope)
        if origin is not None and origin.kind is Kind.NAME and origin.path in self.project.functions:
            yield self.project.functions[origin.path]
        variable = self.project.variable(node, scope)
        if variable is not None:
            _, module, name = variable
            values = [binding.value for binding in module.scope.bindings[name]]
            tables = [value for value in values if isinstance(value, ast.Dict | ast.List | ast.Tuple)]
            for table in tables:
                for part in ast.walk(table):
                    entry = self.project.origin(part, module.scope) if isinstance(part, ast.Name) else None
                    if entry is not None and entry.kind is Kind.NAME and entry.path in self.project.functions:
                        yield self.project.functions[entry.path]

    def _only_named(self, caller: Function) -> set[ast.AST]:
        """Return the names that stand for a function without running it, and those that a call runs anyway."""
        named: set[ast.AST] = set()
        for node, scope in caller.nodes:
            if isinstance(node, ast.Call):
                named.add(node.func)
                last = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                if (
                    self.project.called(node, scope) in _NAMING
                    or last in _ORCHESTRATION_DECORATORS | _ACTIVITY_DECORATORS
                ):
                    named.add(_first_argument(node) or node)
        return named

    def _run_by(self, called: Origin | None) -> Iterator[Function]:
        """Yield the functions that run when *called* is called."""
        if called is None:
            return
        if called.path in self.project.functions and called.kind is not Kind.RESULT:
            yield self.project.functions[called.path]
        owner = self.project.classes.get(called.path)
        if owner is not None:
            yield from self._constructors(owner, ("__call__",) if called.kind is not Kind.NAME else _CONSTRUCTORS)

    def _constructors(self, owner: Class, names: tuple[str, ...]) -> Iterator[Function]:
        for name in names:
            if (method := self.project.method(owner, name)) is not None:
                yield method

    def _pass_context(self, call: ast.Call, scope: Scope, callee: Function) -> bool:
        """Note which parameter of *callee* gets the context; return whether that is news."""
        parameters = callee.parameters
        pairs = [*zip(parameters, call.args, strict=False)]
        by_name = {each.arg: each for each in (*parameters, *callee.node.args.kwonlyargs)}
        pairs += [(by_name[each.arg], each.value) for each in call.keywords if each.arg in by_name]
        given = [parameter for parameter, argument in pairs if self.project.is_context(argument, scope)]
        return _take_context(self.project, callee, given)
