"""
Which function an activity's name means in a simulation: the real one or a fake, and every call is recorded.

A fake is called as the real one would be: what it does not say of its input and result, the signature of the real one says.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from attrs import evolve, field, frozen

from ..._core.durations import Duration, to_timedelta
from ..._core.functions import FunctionInfo, inspect_activity, registered_name
from ..._core.messages import ActivityKey
from ..._core.registry import Registry
from ..._runtime.activity_context import ActivityContext
from ...errors import InvalidInput
from .ending import ends_test


#: An activity function, or the name of one.
Activity = Callable[..., Any] | str


@frozen
class Call:
    """One run of an activity's code."""

    activity: str
    #: Instance, execution and schedule event: runs of one scheduled attempt have the same.
    key: ActivityKey
    #: As the function got it; None if it takes none.
    input: Any
    #: Which attempt of the retry policy it was, from 1. The same attempt may run more than once, after a crash.
    attempt: int
    #: Whether nobody wanted the result any more.
    was_cancelled: bool


@frozen
class _Fake:
    """What stands in for an activity."""

    info: FunctionInfo
    takes: timedelta = timedelta()


@frozen
class Fakes:
    """The activities of a simulation."""

    registry: Registry
    built_in: Mapping[str, FunctionInfo]
    #: Every run of an activity so far.
    calls: list[Call] = field(factory=list)
    #: Names that were asked for, and mean nothing here.
    unknown: list[str] = field(factory=list)
    #: What an activity raised to end the test.
    endings: list[BaseException] = field(factory=list)
    _run: set[ActivityKey] = field(factory=set)
    _fakes: dict[str, _Fake] = field(factory=dict)
    _found: dict[str, FunctionInfo] = field(factory=dict)

    def add(self, activity: Activity, fake: Callable[..., Any] | None, takes: Duration) -> None:
        """
        Let *fake* stand in for *activity*, which then takes a virtual time of *takes*.

        Raises:
            InvalidInput: If no activity is called that.
        """
        name = self.known_name(activity)
        real = self.registry.activities.resolve(name)
        assert real is not None, "that was checked"
        info = real if fake is None else _as_activity(fake, real)
        self._fakes[name] = _Fake(info, to_timedelta(takes, what=f"the time that activity {name!r} takes"))
        self._found.pop(name, None)

    def find(self, name: str) -> FunctionInfo | None:
        """Return the function to run; None, and it is noted, if there is neither an activity nor a fake."""
        found = self._found.get(name)
        if found is not None:
            return found
        fake = self._fakes.get(name)
        info = fake.info if fake is not None else self.registry.activities.resolve(name) or self.built_in.get(name)
        if info is None:
            self.unknown.append(name)
            return None
        return self._found.setdefault(name, evolve(info, fn=self._recording(name, info)))

    def has_run(self, key: ActivityKey) -> bool:
        """Whether the code of this very activity has run before."""
        return key in self._run

    def takes(self, name: str) -> timedelta:
        """Return how much virtual time the activity takes."""
        fake = self._fakes.get(name)
        return timedelta() if fake is None else fake.takes

    def known_name(self, activity: Activity) -> str:
        """
        Return what *activity* is registered as.

        Raises:
            InvalidInput: If it is not registered.
        """
        name = registered_name(activity, "activity")
        if not self.registry.activities.has(name):
            known = ", ".join(map(repr, self.registry.activities.list_names())) or "nothing"
            msg = (
                f"there is no activity {name!r} in the registry of this simulation, which knows {known}. Correct the"
                f" name; or, if other workers have it, register the fake: registry.register_activity(fake, name={name!r})."
            )
            raise InvalidInput(msg)
        return name

    def _recording(self, name: str, info: FunctionInfo) -> Callable[..., Any]:
        def recorded(ctx: ActivityContext, *arguments: Any) -> Any:
            input_ = arguments[0] if arguments else None
            key = ActivityKey(ctx.instance_id, ctx.execution_id, ctx.activity_id)
            self._run.add(key)
            self.calls.append(Call(name, key, input_, ctx.attempt, ctx.is_cancelled))
            with self._noting():
                result = info.fn(ctx, *arguments)
            return self._awaited(result) if info.is_async else result

        return recorded

    async def _awaited(self, coroutine: Awaitable[Any]) -> Any:
        with self._noting():
            return await coroutine

    @contextmanager
    def _noting(self) -> Iterator[None]:
        """Take note of what is raised to end the test: to the worker it is a failure of the activity like any other."""
        try:
            yield
        except BaseException as error:
            if ends_test(error):
                self.endings.append(error)
            raise


def _as_activity(fake: Callable[..., Any], real: FunctionInfo) -> FunctionInfo:
    """Return what is known of *fake*; what it does not say of its input and its result is as with the *real* one."""
    info = inspect_activity(fake, name=real.name)
    return evolve(
        info,
        input_type=real.input_type if info.input_type is Any else info.input_type,
        result_type=real.result_type if info.result_type is Any else info.result_type,
    )
