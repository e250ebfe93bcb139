"""
What we know of a user's function: its name, whether it takes an input, and the types that go in and come out.

Rule: only the annotations that matter are looked at (the input's and the result's), and a function that cannot
work is refused here, when it is registered, not when it runs.
"""

from __future__ import annotations

import builtins
import collections.abc
import functools
import inspect
import types
import typing

from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from .._nouns import frozen
from ..errors import InvalidInput, RegistrationError
from .arguments import check_type


Function = Callable[..., Any]


@frozen
class _Shape:
    """What the signature says. Kept apart from the function, so that a cache of it keeps no function alive."""

    takes_input: bool
    input_type: object
    has_default_input: bool
    result_type: object
    is_generator: bool
    is_async: bool
    #: Whether it is a wrapper around an ``async def`` function, or is one itself.
    is_async_inside: bool


@frozen
class FunctionInfo:
    """A user's function, and what its signature says about it."""

    fn: Function
    name: str
    #: Whether it is called ``fn(ctx, input)``, not ``fn(ctx)``.
    takes_input: bool
    #: The type to decode the input into. Any if it is not annotated.
    input_type: object
    #: Whether it may be called ``fn(ctx)`` although it takes an input.
    has_default_input: bool
    #: The type to decode the result into; for an orchestration the T of ``Orchestration[T]``.
    result_type: object
    is_generator: bool
    #: Whether it is called in an event loop. Others may return a coroutine as well, which then goes on in one.
    is_async: bool


def inspect_activity(
    fn: Function, *, name: str | None = None, caller_locals: Mapping[str, Any] | None = None
) -> FunctionInfo:
    """
    Return what is known of an activity function.

    Args:
        fn: A function of (ctx), (ctx, input) or (ctx, input=default), plain or ``async def``.

        name: What to call it, instead of its own name.

        caller_locals: Where to look for names in annotations that are not in the closure; see `names_in`.

    Raises:
        RegistrationError: If it cannot work as an activity.
    """
    shape = _cached(_shapes, fn, caller_locals)
    if shape.is_generator:
        msg = (
            f"activity {describe(fn)} is a generator, but activities run once and return. Remove the yield, or register"
            " it as an orchestration."
        )
        raise RegistrationError(msg)
    return _info(fn, name, shape, _awaited(shape.result_type))


def inspect_orchestration(
    fn: Function, *, name: str | None = None, caller_locals: Mapping[str, Any] | None = None
) -> FunctionInfo:
    """
    Return what is known of an orchestration function.

    Args:
        fn: A generator function of (ctx), (ctx, input) or (ctx, input=default). One without any yield will do.

        name: What to call it, instead of its own name.

        caller_locals: Where to look for names in annotations that are not in the closure; see `names_in`.

    Raises:
        RegistrationError: If it cannot work as an orchestration.
    """
    shape = _cached(_shapes, fn, caller_locals)
    if shape.is_async_inside:
        msg = (
            f"orchestration {describe(fn)} is async, but orchestrations are plain generators: write 'def', and 'yield"
            " from' where it says 'await'."
        )
        raise RegistrationError(msg)
    return _info(fn, name, shape, _returned_by_generator(shape.result_type))


def _info(fn: Function, name: str | None, shape: _Shape, result_type: object) -> FunctionInfo:
    name = _own_name(fn) if name is None else name
    if name is None:
        msg = f"{fn!r} has no name of its own: give it one with name='...'."
        raise RegistrationError(msg)
    return FunctionInfo(
        fn,
        name,
        shape.takes_input,
        shape.input_type,
        shape.has_default_input,
        result_type,
        shape.is_generator,
        shape.is_async,
    )


# Names: from a function to what it is registered as.

#: By what it is registered as: ``"activity"``, ``"orchestration"``.
_registered_names: WeakKeyDictionary[Function, dict[str, str]] = WeakKeyDictionary()
_shapes: WeakKeyDictionary[Function, _Shape] = WeakKeyDictionary()


def remember_name(fn: Function, kind: str, name: str) -> None:
    """Note that *fn* is registered as a *kind*, by *name*. What is registered twice goes by the last name."""
    try:
        _registered_names.setdefault(fn, {})[kind] = name
    except TypeError:
        return  # neither hashable nor weakly referable: it can only be called by name


def registered_name(function: Function | str, kind: str) -> str:
    """
    Return the name that *function* is registered under (in any registry), or else its own. A name is its own name.

    Args:
        function: What a caller gave as the function or name to call.

        kind: What it should be: ``"activity"`` or ``"orchestration"``.

    Raises:
        RegistrationError: If it is nothing that can be called by name, has no name, or is something else than a *kind*.
    """
    if isinstance(function, str):
        return function
    try:
        known = _registered_names.get(function)
    except TypeError:  # neither hashable nor weakly referable
        known = None
    if known is None:
        return _name_to_call(function, kind)
    name = known.get(kind)
    if name is None:
        (other,) = known
        msg = f"{describe(function)} is called as an {kind}, but registered as an {other}: give an {kind}, or call it as an {other}."
        raise RegistrationError(msg)
    return name


def _name_to_call(function: Function, kind: str) -> str:
    """Return the own name of what is not registered here; it may be elsewhere."""
    if not callable(function) or isinstance(function, type):
        what = "a class, and " if isinstance(function, type) else ""
        msg = f"{function!r} is {what}no {kind}: give its function, or the name that it is registered under."
        raise RegistrationError(msg)
    name = _own_name(function)
    if name is None:
        msg = f"{function!r} has no name of its own: register it with name='...' first, and call it by that name."
        raise RegistrationError(msg)
    return name


def describe(fn: Function) -> str:
    """Return where a function is defined, for errors: ``shop.orders.charge (orders.py:17)``."""
    inner = _unwrap(fn)
    name = f"{getattr(inner, '__module__', '?')}.{getattr(inner, '__qualname__', type(inner).__qualname__)}"
    code = getattr(inner, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if isinstance(code, types.CodeType) else name


def _own_name(fn: Function) -> str | None:
    while isinstance(fn, functools.partial):
        fn = fn.func
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) and name != "<lambda>" else None


# Signatures.


def _cached(
    cache: WeakKeyDictionary[Function, _Shape], fn: Function, caller_locals: Mapping[str, Any] | None
) -> _Shape:
    try:
        shape = cache.get(fn)
    except TypeError:
        return _shape_of(fn, caller_locals)
    if shape is None:
        shape = cache[fn] = _shape_of(fn, caller_locals)
    return shape


def _shape_of(fn: Function, caller_locals: Mapping[str, Any] | None) -> _Shape:
    signature = _signature_of(fn)
    parameter = _input_parameter(fn, signature)
    annotations = {"return": signature.return_annotation}
    if parameter is not None:
        annotations["input"] = parameter.annotation
    hints = _resolve(fn, annotations, caller_locals)
    called, inner = _called(fn), _unwrap(fn)
    return _Shape(
        takes_input=parameter is not None,
        input_type=hints.get("input", Any),
        has_default_input=parameter is not None
        and (parameter.default is not Parameter.empty or parameter.kind is Parameter.VAR_POSITIONAL),
        result_type=hints.get("return", Any),
        # Not of what is wrapped: a wrapper may run a coroutine itself, or make a list of what is generated.
        is_generator=inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called),
        is_async=inspect.iscoroutinefunction(called),
        is_async_inside=inspect.iscoroutinefunction(inner) or inspect.isasyncgenfunction(inner),
    )


def _signature_of(fn: Function) -> inspect.Signature:
    try:
        return inspect.signature(fn)
    except (TypeError, ValueError) as error:
        what = "has no signature that Python can read. Wrap it" if callable(fn) else "is not a function. Write one"
        msg = f"{fn!r} {what}: def {_short(fn)}(ctx, input): ..."
        raise RegistrationError(msg) from error
    except NameError as error:
        raise _unresolvable(fn, error) from error


def _input_parameter(fn: Function, signature: inspect.Signature) -> Parameter | None:
    """Return the parameter that takes the input, if there is one."""
    positional = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [p for p in signature.parameters.values() if p.kind in positional]
    variable = [p for p in signature.parameters.values() if p.kind is Parameter.VAR_POSITIONAL]
    if not parameters and not variable:
        msg = f"{describe(fn)} takes no parameters: its first one is the context. Write def {_short(fn)}(ctx)."
        raise RegistrationError(msg)
    keywords = [p for p in signature.parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    surplus = [p.name for p in [*parameters[2:], *keywords] if p.default is Parameter.empty]
    if surplus:
        msg = (
            f"{describe(fn)} requires more than (ctx, input): {', '.join(surplus)}. An input is one value: put them"
            " into one attrs class or dict."
        )
        raise RegistrationError(msg)
    slots = [*parameters, *variable, *variable]
    return slots[1] if len(slots) > 1 else None


def _short(fn: Function) -> str:
    return str(getattr(fn, "__name__", "function"))


def _unwrap(fn: Function) -> Any:
    """Return the function that *fn* is about, past partials, methods and `functools.wraps`."""
    return _called(fn, past_wrappers=True)


def _called(fn: Function, *, past_wrappers: bool = False) -> Any:
    """Return the function whose body runs first when *fn* is called, past partials and methods."""
    while True:
        if isinstance(fn, functools.partial):
            fn = fn.func
        elif isinstance(fn, types.MethodType):
            fn = fn.__func__
        elif past_wrappers and hasattr(fn, "__wrapped__"):
            fn = fn.__wrapped__
        elif isinstance(fn, types.FunctionType | types.BuiltinFunctionType | type):
            return fn
        elif isinstance(getattr(type(fn), "__call__", None), types.FunctionType):  # noqa: B004  # its code, not whether
            fn = type(fn).__call__
        else:
            return fn


# Annotations.


def names_in(frame: types.FrameType | None, fn: Function) -> Mapping[str, Any]:
    """
    Return the local variables of *frame* that annotations of *fn* may mean, for ``caller_locals``.

    All, if *fn* is defined there. A function from elsewhere means by a name what its own module means by it.
    """
    if frame is None:
        return {}
    inner = _unwrap(fn)
    code = getattr(inner, "__code__", None)
    if any(each is code for each in frame.f_code.co_consts):
        return frame.f_locals
    known = vars(builtins) | getattr(inner, "__globals__", {})
    return {name: value for name, value in frame.f_locals.items() if name not in known}


def _resolve(fn: Function, annotations: dict[str, Any], caller_locals: Mapping[str, Any] | None) -> dict[str, Any]:
    """Evaluate *annotations*, leaving out what is not annotated."""
    given = {key: value for key, value in annotations.items() if value is not inspect.Signature.empty}
    holder = types.SimpleNamespace(__annotations__=given)
    inner = _unwrap(fn)
    try:
        hints = typing.get_type_hints(
            holder,
            globalns=getattr(inner, "__globals__", {}),
            localns=dict(caller_locals or {}) | _closure_of(inner),
        )
    except (NameError, AttributeError, TypeError, SyntaxError) as error:
        raise _unresolvable(fn, error) from error
    for what, hint in hints.items():
        _check_hint(fn, what, hint)
    return hints


def _check_hint(fn: Function, what: str, hint: object) -> None:
    """Refuse ``any``, ``[int]``, ``Literal[{}]``: Python takes everything for an annotation."""
    try:
        hash(hint)
        check_type(hint)
    except (TypeError, InvalidInput) as error:
        name = "the result" if what == "return" else "the input"
        msg = (
            f"{describe(fn)} annotates {name} with {hint!r}, which is no type: write a class or a type hint, like int, Order"
            " or list[Order]."
        )
        raise RegistrationError(msg) from error


def _closure_of(fn: Any) -> dict[str, Any]:
    names = fn.__code__.co_freevars if isinstance(fn, types.FunctionType) else ()
    closure: dict[str, Any] = {}
    for name, cell in zip(names, getattr(fn, "__closure__", None) or (), strict=False):
        try:
            closure[name] = cell.cell_contents
        except ValueError:
            continue  # not assigned yet
    return closure


def _unresolvable(fn: Function, error: Exception) -> RegistrationError:
    return RegistrationError(
        f"the annotations of {describe(fn)} cannot be resolved: {error}. The types of the input and the result are"
        " needed at run time: import them at the top of the module, not under 'if TYPE_CHECKING:'."
    )


#: What says what it comes to, and as which of its arguments.
_COMES_TO: Mapping[object, int] = {collections.abc.Awaitable: 0, collections.abc.Coroutine: 2}


def _awaited(hint: object) -> object:
    """Return the T of ``Coroutine[Any, Any, T]``, Any if it does not say: a plain function may return one."""
    place = _COMES_TO.get(typing.get_origin(hint) or hint)
    if place is None:
        return hint
    arguments = typing.get_args(hint)
    return arguments[place] if len(arguments) > place else Any


_ITERATORS = (collections.abc.Iterator, collections.abc.Iterable)

# Where Generator[yields, is sent, returns] has what it returns.
_RETURNED = 2


def _returned_by_generator(hint: object) -> object:
    """Return the T of ``Orchestration[T]``, which is ``Generator[Action[Any], Any, T]``; Any if it does not say."""
    origin = typing.get_origin(hint) or hint
    if origin in _ITERATORS:
        return Any
    if origin is not collections.abc.Generator:
        return hint
    arguments = typing.get_args(hint)
    returned = arguments[_RETURNED] if len(arguments) > _RETURNED else Any
    return Any if isinstance(returned, TypeVar) else returned
