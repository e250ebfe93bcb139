"""
Which function is meant by a name: the registries of orchestrations and activities.

Rule 1: a mistake raises where it is made, and names both sides of a conflict.

Rule 2: tables are replaced, not changed, so that reading needs no lock while others register.
"""

from __future__ import annotations

import inspect

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, TypeVar, overload

from attrs import Attribute, field

from .._nouns import frozen
from ..errors import InvalidInput, RegistrationError, class_name
from .arguments import check_str
from .failures import NEVER_RAISED
from .functions import FunctionInfo, describe, inspect_activity, inspect_orchestration, names_in, remember_name
from .limits import check_activity_name, check_function_name, check_name
from .versions import Version


F = TypeVar("F", bound=Callable[..., Any])
E = TypeVar("E", bound=type[Exception])

DEFAULT_VERSION = "1.0.0"

# What errors call them.
_ACTIVITY = "activity"
_ORCHESTRATION = "orchestration"
_ACTIVITY_NAME = f"{_ACTIVITY} name"
_ORCHESTRATION_NAME = f"{_ORCHESTRATION} name"


@frozen
class Latest:
    """Executions that ask for no version get the highest registered one."""


@frozen
class Exact:
    """Executions that ask for no version get *version*; nothing, if it is not registered."""

    version: str = field()

    @version.validator
    def _check_version(self, attribute: Attribute[Any], value: str) -> None:
        Version.parse(value)


Policy = Latest | Exact


@frozen
class _Entry:
    version: Version
    text: str
    info: FunctionInfo


class OrchestrationRegistry:
    """Orchestrations by name and version, and which version is meant when none is given."""

    def __init__(self) -> None:
        # Ascending by version.
        self._entries: dict[str, tuple[_Entry, ...]] = {}
        # Shared with copies.
        self._policies: dict[str, Policy] = {}

    def add(self, info: FunctionInfo, version: str = DEFAULT_VERSION) -> None:
        """
        Add a function under its name and *version*, in any order of versions.

        Raises:
            RegistrationError: If the name is empty, reserved, or taken in this version, or *version* is not one.
        """
        _check_registrable(_ORCHESTRATION, info)
        entry = _Entry(_parse(version, info), version, info)
        entries = self._entries.get(info.name, ())
        for other in entries:
            if other.version == entry.version:
                what = f"{info.name!r} {version}"
                raise _conflict(_ORCHESTRATION, what, other.info, info)
        self._entries[info.name] = tuple(sorted((*entries, entry), key=lambda e: e.version))

    def register(
        self,
        fn: F,
        *,
        name: str | None = None,
        version: str = DEFAULT_VERSION,
        caller_locals: Mapping[str, Any] | None = None,
    ) -> F:
        """
        Register *fn* as *version* of *name*, by default its own, and return it.

        Args:
            caller_locals: Where to look for names in its annotations, besides its module; by default the caller's.
        """
        _check_callable(fn, _ORCHESTRATION)
        info = inspect_orchestration(
            fn, name=name, caller_locals=_locals_of_caller(fn) if caller_locals is None else caller_locals
        )
        self.add(info, version)
        remember_name(fn, _ORCHESTRATION, info.name)
        return fn

    def set_policy(self, name: str, policy: Policy) -> None:
        """Say which version new executions of *name* get when none is asked for. Copies of this registry follow."""
        check_name(_ORCHESTRATION_NAME, name)
        _check_policy(policy)
        self._policies[name] = policy

    def resolve(self, name: str, version: str | None = None) -> tuple[str, FunctionInfo] | None:
        """Return version and function for *name*: exactly *version*, or what the policy says. None: there is none."""
        check_str(_ORCHESTRATION_NAME, name)
        entries = self._entries.get(name, ())
        if version is None:
            policy = self._policies.get(name)
            if not isinstance(policy, Exact):
                return (entries[-1].text, entries[-1].info) if entries else None
            version = policy.version
        return next(((entry.text, entry.info) for entry in entries if entry.text == version), None)

    def has(self, name: str, version: str | None = None) -> bool:
        """Whether *name* is registered (in *version*)."""
        check_str(_ORCHESTRATION_NAME, name)
        entries = self._entries.get(name, ())
        return bool(entries) if version is None else any(entry.text == version for entry in entries)

    def list_names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._entries)

    def list_versions(self, name: str) -> list[str]:
        """Return the versions of *name*, ascending."""
        check_str(_ORCHESTRATION_NAME, name)
        return [entry.text for entry in self._entries.get(name, ())]

    def count(self) -> int:
        """Return how many functions there are, each version counted."""
        return sum(1 for _ in self.functions())

    def functions(self) -> Iterator[tuple[str, FunctionInfo]]:
        """Yield version and function of everything registered."""
        for entries in tuple(self._entries.values()):
            yield from ((entry.text, entry.info) for entry in entries)

    def copy(self) -> OrchestrationRegistry:
        """Return a registry of the same functions that can grow by itself; policies stay shared."""
        copy = OrchestrationRegistry()
        copy._entries = dict(self._entries)
        copy._policies = self._policies
        return copy

    def merge(self, other: OrchestrationRegistry) -> None:
        """
        Add everything of *other*, and its policies for names that have none here.

        The same function under the same name and version is no conflict.

        Raises:
            RegistrationError: If another function is registered already; nothing is added then.
        """
        _check_mergeable(other, OrchestrationRegistry)
        merged = self.copy()
        for version, info in other.functions():
            known = merged.resolve(info.name, version)
            if known is None or known[1].fn != info.fn:
                merged.add(info, version)
        self._entries = merged._entries  # noqa: SLF001  # of its own class
        for name, policy in tuple(other._policies.items()):
            self._policies.setdefault(name, policy)

    def __repr__(self) -> str:
        return f"<duroxide.OrchestrationRegistry({self.count()} orchestrations)>"


class ActivityRegistry:
    """Activities by name. They have no versions: the newest code is the right code for a step not yet done."""

    def __init__(self) -> None:
        self._functions: dict[str, FunctionInfo] = {}

    def add(self, info: FunctionInfo) -> None:
        """
        Add a function under its name, which may be empty.

        Raises:
            RegistrationError: If the name is reserved or taken.
        """
        _check_registrable(_ACTIVITY, info)
        known = self._functions.setdefault(info.name, info)
        if known is not info:
            what = repr(info.name)
            raise _conflict(_ACTIVITY, what, known, info)

    def register(self, fn: F, *, name: str | None = None, caller_locals: Mapping[str, Any] | None = None) -> F:
        """
        Register *fn* under *name*, by default its own, and return it.

        Args:
            caller_locals: Where to look for names in its annotations, besides its module; by default the caller's.
        """
        _check_callable(fn, _ACTIVITY)
        info = inspect_activity(
            fn, name=name, caller_locals=_locals_of_caller(fn) if caller_locals is None else caller_locals
        )
        self.add(info)
        remember_name(fn, _ACTIVITY, info.name)
        return fn

    def resolve(self, name: str) -> FunctionInfo | None:
        """Return the activity called *name*, if there is one."""
        check_str(_ACTIVITY_NAME, name)
        return self._functions.get(name)

    def has(self, name: str) -> bool:
        """Whether *name* is registered."""
        check_str(_ACTIVITY_NAME, name)
        return name in self._functions

    def list_names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._functions)

    def count(self) -> int:
        """Return how many activities there are."""
        return len(self._functions)

    def copy(self) -> ActivityRegistry:
        """Return a registry of the same activities that can grow by itself."""
        copy = ActivityRegistry()
        copy._functions = dict(self._functions)
        return copy

    def merge(self, other: ActivityRegistry) -> None:
        """
        Add everything of *other*. The same function under the same name is no conflict.

        Raises:
            RegistrationError: If another function is registered already; nothing is added then.
        """
        _check_mergeable(other, ActivityRegistry)
        merged = self.copy()
        for info in tuple(other._functions.values()):
            known = merged.resolve(info.name)
            if known is None or known.fn != info.fn:
                merged.add(info)
        self._functions = merged._functions  # noqa: SLF001  # of its own class

    def __repr__(self) -> str:
        return f"<duroxide.ActivityRegistry({self.count()} activities)>"


class Registry:
    """
    All functions and exceptions that a runtime may meet.

    Register by decorator, with or without arguments, or by call::

        registry = Registry()

        @registry.activity
        def charge(ctx, order): ...

        @registry.orchestration(name="Fulfil", version="2.0.0")
        def fulfil(ctx, order): ...

        registry.register_activity(print_label, name="PrintLabel")
    """

    def __init__(self) -> None:
        self.orchestrations = OrchestrationRegistry()
        self.activities = ActivityRegistry()
        self._exceptions: dict[str, type[Exception]] = {}

    @overload
    def activity(self, fn: F, /) -> F: ...

    @overload
    def activity(self, /, *, name: str | None = None) -> Callable[[F], F]: ...

    def activity(self, fn: Any = None, /, *, name: str | None = None) -> Any:
        """
        Register an activity; return the function as it is.

        Args:
            fn: The function, when used without arguments.

            name: What it is called in histories. Default: the function's own name.

        Raises:
            RegistrationError: If the name is empty, reserved or taken, or the function cannot work as an activity.
        """
        if fn is not None:
            return self.activities.register(fn, name=name, caller_locals=_locals_of_caller(fn))
        return lambda decorated: self.activities.register(
            decorated, name=name, caller_locals=_locals_of_caller(decorated)
        )

    @overload
    def orchestration(self, fn: F, /) -> F: ...

    @overload
    def orchestration(self, /, *, name: str | None = None, version: str = DEFAULT_VERSION) -> Callable[[F], F]: ...

    def orchestration(self, fn: Any = None, /, *, name: str | None = None, version: str = DEFAULT_VERSION) -> Any:
        """
        Register an orchestration; return the function as it is.

        Args:
            fn: The function, when used without arguments.

            name: What it is called in histories. Default: the function's own name.

            version: A semantic version. Running executions stay with the version that they began with.

        Raises:
            RegistrationError: If the name is empty, reserved or taken in this version, *version* is not a version, or
                the function cannot work as an orchestration.
        """
        if fn is not None:
            return self.orchestrations.register(fn, name=name, version=version, caller_locals=_locals_of_caller(fn))
        return lambda decorated: self.orchestrations.register(
            decorated, name=name, version=version, caller_locals=_locals_of_caller(decorated)
        )

    def register_activity(self, fn: F, *, name: str | None = None) -> F:
        """Register an activity by call; see `activity`."""
        return self.activities.register(fn, name=name, caller_locals=_locals_of_caller(fn))

    def register_orchestration(self, fn: F, *, name: str | None = None, version: str = DEFAULT_VERSION) -> F:
        """Register an orchestration by call; see `orchestration`."""
        return self.orchestrations.register(fn, name=name, version=version, caller_locals=_locals_of_caller(fn))

    def exception(self, cls: E) -> E:
        """
        Register an exception class (by decorator or call), so that it comes back as itself.

        An activity that raised it then raises, at the yield, something that ``except ThatClass:`` catches.

        Raises:
            RegistrationError: If *cls* is not an exception class, is one of groups or of StopIteration, or another one of
                its name is registered.
        """
        _check_exception(cls)
        name = class_name(cls)
        if self._exceptions.setdefault(name, cls) is not cls:
            msg = f"another exception class called {name!r} is registered already. Rename one of them."
            raise RegistrationError(msg)
        return cls

    @property
    def exceptions(self) -> Mapping[str, type[Exception]]:
        """The registered exception classes, by the type name that history records for them."""
        return MappingProxyType(self._exceptions)

    def copy(self) -> Registry:
        """Return a registry of the same content that can grow by itself; version policies stay shared."""
        copy = Registry()
        copy.orchestrations = self.orchestrations.copy()
        copy.activities = self.activities.copy()
        copy._exceptions = dict(self._exceptions)
        return copy

    def merge(self, *others: Registry) -> Registry:
        """
        Add everything of *others*, which stay as they are; return this registry.

        The same function under the same name is no conflict, so registries may share parts.

        Raises:
            RegistrationError: If different functions meet under one name; nothing is added then.

            InvalidInput: If one of *others* is no Registry.
        """
        merged = Registry()
        for other in (self, *others):
            _check_mergeable(other, Registry)
            merged.activities.merge(other.activities)
            merged.orchestrations.merge(other.orchestrations)
            for cls in tuple(other.exceptions.values()):
                merged.exception(cls)
        self.activities.merge(merged.activities)
        self.orchestrations.merge(merged.orchestrations)
        self._exceptions = merged._exceptions
        return self

    def __repr__(self) -> str:
        return (
            f"<duroxide.Registry({self.orchestrations.count()} orchestrations, {self.activities.count()} activities,"
            f" {len(self._exceptions)} exceptions)>"
        )


def _locals_of_caller(fn: Any) -> Mapping[str, Any]:
    """Return the local variables of whoever called the function (or lambda) that calls this, as *fn* may mean them."""
    frame = inspect.currentframe()
    caller = frame.f_back.f_back if frame is not None and frame.f_back is not None else None
    return names_in(caller, fn)


def _check_policy(policy: object) -> None:
    if not isinstance(policy, Latest | Exact):
        msg = f"policy {policy!r}: give Latest() or Exact('1.0.0')."
        raise InvalidInput(msg)


def _check_mergeable(other: object, kind: type) -> None:
    if not isinstance(other, kind):
        msg = f"merge() was given {other!r}: give a duroxide.{kind.__name__}."
        raise InvalidInput(msg)


def _check_callable(fn: object, kind: str) -> None:
    if not callable(fn):
        msg = f"{fn!r} is not a function. A name is given as @registry.{kind}(name='...')."
        raise RegistrationError(msg)


def _check_exception(cls: object) -> None:
    if not (isinstance(cls, type) and issubclass(cls, Exception)):
        msg = f"{cls!r} is not an exception class: register a subclass of Exception."
        raise RegistrationError(msg)
    if issubclass(cls, NEVER_RAISED):
        msg = (
            f"{cls!r} cannot come back as itself: a StopIteration would end the code that waits, and a group holds other"
            " exceptions, which are not stored. Catch ActivityFailed, and look at its details.type."
        )
        raise RegistrationError(msg)


def _check_registrable(kind: str, info: FunctionInfo) -> None:
    try:
        if kind == _ACTIVITY:
            check_activity_name("activity name", info.name)
        else:
            check_function_name(_ORCHESTRATION_NAME, info.name)
    except InvalidInput as error:
        msg = f"{describe(info.fn)} cannot be registered: {error}"
        raise RegistrationError(msg) from error


def _parse(version: str, info: FunctionInfo) -> Version:
    try:
        return Version.parse(version)
    except InvalidInput as error:
        msg = f"orchestration {info.name!r} of {describe(info.fn)}: {error}"
        raise RegistrationError(msg) from error


def _conflict(kind: str, what: str, known: FunctionInfo, new: FunctionInfo) -> RegistrationError:
    hint = " or version" if kind == _ORCHESTRATION else ""
    return RegistrationError(
        f"duplicate {kind} registration: {what} is {describe(known.fn)} already, and cannot be {describe(new.fn)} too."
        f" Give one of them another name{hint}."
    )
