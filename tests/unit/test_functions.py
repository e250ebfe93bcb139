"""Functions: signatures, types and names."""

from __future__ import annotations

import functools
import gc
import typing
import weakref

from collections.abc import Coroutine, Generator, Iterator
from typing import Annotated, Any, Literal

import pytest

from duroxide._core.functions import inspect_activity, inspect_orchestration, registered_name, remember_name
from duroxide.errors import RegistrationError


T = typing.TypeVar("T")
Flow = typing.Generator[Any, Any, T]


class Order:
    """A type to be found by name."""


def plain(ctx, order: Order) -> int: ...


def bare(ctx): ...


def default(ctx, order: list[Order] | None = None): ...


async def asynchronous(ctx, order): ...


async def generate(ctx, order):
    yield order


def variable(*args, **kwargs): ...


def flow(ctx, order: Order) -> Flow[list[Order]]:
    yield


class Service:
    """Functions that are not functions."""

    def method(self, ctx, order: Order) -> str: ...

    def __call__(self, ctx, order: Order) -> bytes: ...


class TestActivities:
    @pytest.mark.parametrize(
        ("fn", "name", "expected"),
        [
            (plain, None, ("plain", True, Order, False, int)),
            (bare, None, ("bare", False, Any, False, Any)),
            (default, None, ("default", True, list[Order] | None, True, Any)),
            (asynchronous, None, ("asynchronous", True, Any, False, Any)),
            (variable, None, ("variable", True, Any, True, Any)),
            (Service().method, None, ("method", True, Order, False, str)),
            (Service(), "called", ("called", True, Order, False, bytes)),
            (functools.partial(plain), None, ("plain", True, Order, False, int)),
            (lambda ctx: 1, "one", ("one", False, Any, False, Any)),
        ],
    )
    def test_signatures(self, fn, name, expected):
        """Input and result are known from the signature."""
        info = inspect_activity(fn, name=name)

        assert info.fn is fn
        assert expected == (info.name, info.takes_input, info.input_type, info.has_default_input, info.result_type)

    def test_async(self):
        """An async activity is known as such; of a wrapper it is what the wrapper itself is that counts."""
        plain_outside = functools.wraps(asynchronous)(lambda ctx, order: None)

        async def async_outside(ctx, order): ...

        assert inspect_activity(asynchronous).is_async
        assert inspect_activity(functools.partial(asynchronous)).is_async
        assert inspect_activity(functools.wraps(plain)(async_outside)).is_async
        assert not inspect_activity(plain_outside).is_async
        assert not inspect_activity(plain).is_async

    @pytest.mark.parametrize(
        ("annotation", "expected"),
        [
            (Coroutine[Any, Any, Order], Order),
            (typing.Awaitable[dict[int, str]], dict[int, str]),
            (Coroutine, Any),
            (typing.Awaitable, Any),
        ],
    )
    def test_awaited(self, annotation, expected):
        """A plain function that says that it returns a coroutine returns what that comes to."""

        def activity(ctx): ...

        activity.__annotations__["return"] = annotation

        assert expected == inspect_activity(activity).result_type

    def test_generator_inside(self):
        """A wrapper that makes something of a generator is an activity."""
        collected = functools.wraps(flow)(lambda ctx, order: list(flow(ctx, order)))

        assert inspect_activity(collected).input_type is Order

    @pytest.mark.parametrize(
        ("fn", "reason"),
        [
            (lambda: 1, "takes no parameters"),
            (lambda ctx, a, b: 1, "requires more than (ctx, input): b. An input is one value"),
            (lambda ctx, *, key: 1, "requires more than (ctx, input): key"),
            (lambda ctx: 1, "has no name of its own"),
            (flow, "is a generator, but activities run once"),
            (generate, "is a generator, but activities run once"),
        ],
    )
    def test_refused(self, fn, reason):
        """A function that cannot work is refused with a remedy."""
        with pytest.raises(RegistrationError) as caught:
            inspect_activity(fn)

        assert reason in str(caught.value)

    def test_optional_third_parameter(self):
        """Further parameters with defaults do not matter."""
        assert inspect_activity(lambda ctx, a, b=1: 1, name="x").takes_input


class TestAnnotations:
    def test_local_types(self):
        """Types local to the registering function are found by way of its locals."""

        class Local:
            pass

        def activity(ctx, value: list[Local]) -> Local: ...

        info = inspect_activity(activity, caller_locals=locals())

        assert (list[Local], Local) == (info.input_type, info.result_type)

    def test_closure(self):
        """Types in the closure are found without."""

        class Local:
            pass

        def activity(ctx, value: Local) -> Any:
            return Local

        assert inspect_activity(activity).input_type is Local

    def test_unresolvable(self):
        """A type that is not there at run time is refused, with a remedy."""

        def activity(ctx, value: Missing) -> None: ...  # noqa: F821

        with pytest.raises(RegistrationError, match=r"'Missing' is not defined.*not under 'if TYPE_CHECKING:'"):
            inspect_activity(activity)

    @pytest.mark.parametrize("annotation", [any, [int], 3, (int, str), Literal[{}]], ids=repr)
    def test_no_type(self, annotation):
        """What is no type is refused at once: it is read by, or written for, when the function runs."""

        def activity(ctx, order): ...

        for where in ("order", "return"):
            activity.__annotations__ = {where: annotation}
            with pytest.raises(RegistrationError, match="is no type: write a class or a type hint"):
                inspect_activity(functools.partial(activity), name="activity")

    def test_notes(self):
        """What Annotated says beside a type is left out: it says nothing of an input, and need not be hashable."""

        def activity(ctx, order): ...

        activity.__annotations__ = {"order": Annotated[list[Annotated[int, {}]], {"unit": "ms"}]}

        assert inspect_activity(activity).input_type == list[int]

    def test_other_annotations_do_not_matter(self):
        """The context's annotation, and those of further parameters, need not resolve."""

        def activity(ctx: Missing, value: int, other: Missing = 1) -> None: ...  # noqa: F821

        assert inspect_activity(activity).input_type is int


class TestOrchestrations:
    @pytest.mark.parametrize(
        ("annotation", "expected"),
        [
            (Flow[list[Order]], list[Order]),
            (Flow, Any),
            (Generator[int, int, str], str),
            (Generator, Any),
            (Iterator[int], Any),
            (str, str),
            (None, type(None)),
        ],
    )
    def test_result_type(self, annotation, expected):
        """The result of Orchestration[T] is a T."""

        def orchestration(ctx):
            yield

        orchestration.__annotations__["return"] = annotation

        assert expected == inspect_orchestration(orchestration).result_type

    def test_is_generator(self):
        """A generator is told from a function that never yields."""
        assert inspect_orchestration(flow).is_generator
        assert not inspect_orchestration(plain).is_generator

    def test_async(self):
        """An async orchestration is refused."""
        with pytest.raises(RegistrationError, match="orchestrations are plain generators"):
            inspect_orchestration(asynchronous)


class TestNames:
    def test_registered(self):
        """A function goes by the name that it was registered under, else by its own."""

        def function(ctx): ...

        assert registered_name(function, "activity") == "function"

        remember_name(function, "activity", "Function")

        assert registered_name(function, "activity") == "Function"
        assert registered_name("given", "activity") == "given"

    def test_something_else(self):
        """What is registered as an activity is no orchestration, unless it is registered as one, too."""

        def function(ctx): ...

        remember_name(function, "activity", "does")
        with pytest.raises(
            RegistrationError,
            match="is called as an orchestration, but registered as an activity: give an orchestration, or",
        ):
            registered_name(function, "orchestration")

        remember_name(function, "orchestration", "orders")
        assert ["does", "orders"] == [registered_name(function, kind) for kind in ("activity", "orchestration")]

    def test_bound_method(self):
        """A bound method is known again, although Python makes a new object each time."""
        service = Service()
        kept = service.method
        remember_name(kept, "activity", "serve")

        assert registered_name(service.method, "activity") == "serve"

    def test_unnamed(self):
        """A function without a name must be registered first."""
        with pytest.raises(RegistrationError, match="has no name of its own"):
            registered_name(lambda ctx: 1, "activity")

    def test_functions_are_not_kept_alive(self):
        """What is known of a function goes with it."""

        def function(ctx): ...

        inspect_activity(function)
        remember_name(function, "activity", "f")
        ghost = weakref.ref(function)
        del function
        gc.collect()

        assert ghost() is None
