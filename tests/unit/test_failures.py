"""Failures that come back as themselves, whatever their class thinks of being made, changed, compared, shown or pickled."""

from __future__ import annotations

import builtins
import copy
import dataclasses
import pickle

from typing import Self

import attrs
import pytest

from duroxide._core import events as e
from duroxide._core.executor import Executor
from duroxide._core.failures import NEVER_RAISED, exception_for
from duroxide.errors import (
    MAX_ARGUMENT_CHARACTERS,
    MAX_CAUSES,
    MAX_ERROR_CHARACTERS,
    ActivityFailed,
    Divergence,
    ErrorDetails,
    ErrorKind,
    InstanceAlreadyExists,
    InstanceNotFound,
    InstanceStillRunning,
    InvalidInput,
    LimitExceeded,
    NondeterminismError,
    NonRetryableError,
    OrchestrationFailed,
    OrchestrationMisuse,
    PayloadError,
    ProviderError,
    RegistrationError,
    ReplayDiverged,
    WaitTimeout,
)
from duroxide.providers.management import ExecutionNotFound

from .histories import activity, details, failed, started


class Wants(Exception):
    """Is made of two things."""

    def __init__(self, code: int, *, what: str) -> None:
        super().__init__(f"{what} {code}")
        self.code = code


class Makes(Exception):
    """Has a `__new__` of its own."""

    def __new__(cls, code: int, what: str) -> Self:
        return super().__new__(cls, code, what)


class Named(Exception):
    """Calls something else its details."""

    @property
    def details(self) -> str:
        """Return nothing that we want."""
        return "its own"


@attrs.frozen
class Frozen(Exception):
    code: int


@attrs.define
class Defined(Exception):
    code: int


@dataclasses.dataclass
class Data(Exception):
    code: int


class Immutable(Exception):
    """Cannot be changed."""

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(name)


class Missing(FileNotFoundError):
    """One whose class is laid out in memory in its own way."""


class Asks(Exception):
    """Knows no attributes but its own, as `urllib.error.HTTPError` does before it has got its file."""

    def __getattr__(self, name: str) -> object:
        return {}[name]


class Final(Exception):
    """Does not want to be derived from."""

    def __init_subclass__(cls) -> None:
        msg = "final"
        raise ValueError(msg)


CLASSES = [Wants, Makes, Named, Frozen, Defined, Data, Immutable, Missing, Asks, MemoryError]


def is_raised_again(cls: object) -> bool:
    return isinstance(cls, type) and issubclass(cls, Exception) and not issubclass(cls, NEVER_RAISED)


def type_of(cls: type[Exception]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def come_back(cls: type[Exception]) -> ActivityFailed:
    failure = exception_for(details("no 1", type=type_of(cls)), {type_of(cls): cls}, is_activity=True)
    assert isinstance(failure, ActivityFailed)
    return failure


class TestComingBack:
    @pytest.mark.parametrize("cls", CLASSES)
    def test_any_class(self, cls: type[Exception]) -> None:
        """It is caught as what it was, and has text and details; nothing of its class stands in the way."""
        failure = come_back(cls)

        assert isinstance(failure, cls)
        assert (str(failure), failure.details.message) == ("no 1", "no 1")
        assert repr(failure) == f"{cls.__name__}('no 1')"
        assert failure == failure  # noqa: PLR0124  # its class may compare attributes that it has not
        assert len({failure, come_back(cls)}) == 2

    @pytest.mark.parametrize("cls", [each for each in vars(builtins).values() if is_raised_again(each)])
    @pytest.mark.parametrize("is_activity", [True, False])
    def test_builtins(self, cls: type[Exception], *, is_activity: bool) -> None:
        """Every exception of Python's own is caught as what it was; MemoryError is particular about who makes it."""
        failure = exception_for(details("no 1", type=cls.__name__), {}, is_activity=is_activity)

        assert isinstance(failure, cls)
        assert str(failure) == "no 1"

    def test_not_derived_from(self) -> None:
        """One that cannot be derived from comes back as a failure whose details say what it was."""
        failure = come_back(Final)

        assert type(failure) is ActivityFailed
        assert failure.details.type == type_of(Final)

    @pytest.mark.parametrize("cls", CLASSES)
    def test_caught(self, cls: type[Exception]) -> None:
        """Orchestration code catches it at the yield, and finds it in the list of a join."""

        def flow(ctx):
            (first,) = yield from ctx.join(ctx.schedule_activity("A"), return_exceptions=True)
            try:
                yield from ctx.schedule_activity("A")
            except cls as second:
                return [str(first), str(second)]

        executor = Executor(flow, started(), exceptions={type_of(cls): cls})
        executor.feed()
        for schedule in (2, 4):
            scheduled = e.ActivityScheduled(schedule, 0, "A", "null")
            turn = executor.feed([scheduled, failed(schedule + 1, schedule, details("no 1", type=type_of(cls)))])

        assert turn.verdict.output == '["no 1","no 1"]'

    @pytest.mark.parametrize("cls", CLASSES)
    def test_uncaught(self, cls: type[Exception]) -> None:
        """Orchestration code that lets it pass fails with its text."""

        def flow(ctx):
            yield from ctx.schedule_activity("A")

        executor = Executor(flow, started(), exceptions={type_of(cls): cls})
        turn = executor.feed([activity(2), failed(3, 2, details("no 1", type=type_of(cls)))])

        assert turn.verdict.details.message == "no 1"


@pytest.mark.parametrize("kind", [InvalidInput, PayloadError, LimitExceeded, RegistrationError, OrchestrationMisuse])
def test_argument_of_any_length(kind: type[Exception]) -> None:
    """What is said of an argument begins with its name and ends with the remedy, however long the argument is."""
    text = str(kind(f"filter is {'x' * 10**6}: use an InstanceFilter."))

    assert len(text) < MAX_ARGUMENT_CHARACTERS + 100
    assert text.startswith("filter is xxx")
    assert text.endswith("xxx: use an InstanceFilter.")


class Broken(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


class Unformattable(Exception):
    """Has what Python asks for when it formats a traceback, and does not give it."""

    @property
    def __notes__(self) -> list[str]:
        raise KeyboardInterrupt


@pytest.mark.parametrize(("error", "said"), [(AssertionError(), "AssertionError"), (ValueError("5"), "5")])
def test_without_a_text(error: Exception, said: str) -> None:
    """A failure whose exception says nothing is shown by its type."""
    failure = ActivityFailed(ErrorDetails.from_exception(error, kind=ErrorKind.ACTIVITY_FAILED))

    assert [said] * 3 == [
        failure.details.display,
        str(failure),
        ErrorDetails.from_exception(failure, kind=ErrorKind.ACTIVITY_FAILED).message,
    ]


def test_recorded() -> None:
    """An exception whose text or traceback is not to be had is recorded all the same."""
    recorded = ErrorDetails.from_exception(Broken(), kind=ErrorKind.ACTIVITY_FAILED)
    unformatted = ErrorDetails.from_exception(Unformattable("no 1"), kind=ErrorKind.ACTIVITY_FAILED)

    assert recorded.message == "<Broken whose __str__ raised KeyboardInterrupt>"
    assert unformatted.message == "no 1"
    assert unformatted.traceback == "<a traceback that Python could not format, because of KeyboardInterrupt>"


def test_without_message() -> None:
    """An exception that says nothing is shown by its type: an empty line helps nobody."""
    failed_ = ErrorDetails.from_exception(TimeoutError(), kind=ErrorKind.ACTIVITY_FAILED)
    panicked = ErrorDetails.from_exception(KeyboardInterrupt(), kind=ErrorKind.PANICKED)

    assert (failed_.message, failed_.display) == ("", "TimeoutError")
    assert panicked.display == "orchestration panicked: KeyboardInterrupt"


@pytest.mark.parametrize("length", [MAX_ERROR_CHARACTERS, MAX_ERROR_CHARACTERS + 1, 10**6])
def test_long_message(length: int) -> None:
    """A message that is very long is kept without its middle, and so is a traceback, which ends with it; also of a cause."""
    text = "begins" + "x" * (length - 10) + "ends"
    error, between = RuntimeError(text), KeyError()
    error.__cause__, between.__cause__ = between, ValueError(text)
    recorded = ErrorDetails.from_exception(error, kind=ErrorKind.ACTIVITY_FAILED)
    links = list(recorded.chain())

    assert ["RuntimeError", "KeyError", "ValueError"] == [link.type for link in links]
    for message in (links[0].message, links[2].message):
        assert message.startswith("beginsx")
        assert message.endswith("xends")
        assert (message == text) == (length == MAX_ERROR_CHARACTERS)
        assert len(message) <= MAX_ERROR_CHARACTERS + 100
    assert recorded.traceback is not None
    assert recorded.traceback.startswith("ValueError: begins")
    assert recorded.traceback.endswith("xends\n")
    assert len(recorded.traceback) <= MAX_ERROR_CHARACTERS + 100


class Empty(Exception):
    """One that Python takes for false."""

    def __len__(self) -> int:
        return 0


class TestCauses:
    def types(self, error: BaseException) -> list[str | None]:
        """The types of *error* and its causes, as recorded."""
        return [link.type for link in ErrorDetails.from_exception(error, kind=ErrorKind.ACTIVITY_FAILED).chain()]

    def test_in_a_circle(self) -> None:
        """Exceptions that name each other as cause are recorded once each."""
        error, first, second = RuntimeError(), KeyError(), ValueError()
        error.__cause__, first.__cause__, second.__cause__ = first, second, first

        assert ["RuntimeError", "KeyError", "ValueError"] == self.types(error)

    def test_of_itself(self) -> None:
        """An exception that is its own cause has none."""
        error = RuntimeError()
        error.__cause__ = error

        assert ["RuntimeError"] == self.types(error)

    def test_false(self) -> None:
        """A cause stays one though it is empty, and what it was raised during is not told in its place."""
        error = RuntimeError()
        error.__cause__, error.__context__, error.__suppress_context__ = Empty(), KeyError(), False

        assert "RuntimeError" == self.types(error)[0]
        assert str(self.types(error)[1]).endswith("Empty")

    def test_context(self) -> None:
        """What an exception was raised during is its cause, unless another one or none is given."""
        during, plain, suppressed = RuntimeError(), KeyError(), ValueError()
        during.__context__ = suppressed.__context__ = plain
        suppressed.__suppress_context__ = True

        assert ["RuntimeError", "KeyError"] == self.types(during)
        assert ["ValueError"] == self.types(suppressed)

    def test_many(self) -> None:
        """A chain loses its end where it is longer than anybody reads."""
        error: BaseException = ValueError()
        for _ in range(3 * MAX_CAUSES):
            last, error = error, RuntimeError()
            error.__cause__ = last

        assert ["RuntimeError"] * (MAX_CAUSES + 1) == self.types(error)


class Declined(NonRetryableError):
    """A user's own, of ours."""

    def __init__(self, code: int, *, what: str) -> None:
        super().__init__(f"{what} {code}")
        self.code = code


@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))], ids=["copy", "pickle"])  # noqa: S301  # what we have pickled
@pytest.mark.parametrize(
    "error",
    [
        ActivityFailed(details("no")),
        OrchestrationFailed(details("no")),
        NondeterminismError(ErrorDetails.nondeterminism("no")),
        InstanceNotFound("i"),
        InstanceAlreadyExists("i"),
        InstanceStillRunning("it runs", instance_id="i"),
        ExecutionNotFound("i", 2),
        ProviderError("commit_turns", "busy", retryable=True),
        WaitTimeout("too late"),
        ReplayDiverged(Divergence("i", 1, "fn", "1.0.0", 2, "here", "this", "that")),
        Declined(3, what="card"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_pickled(error: Exception, way) -> None:
    """Exceptions of the library travel to other processes: a pool whose work raises one must not break."""
    arrived = way(error)

    assert (type(arrived), str(arrived), vars(arrived)) == (type(error), str(error), vars(error))


def test_pickled_combination() -> None:
    """A failure that came back as itself arrives as the failure that it is: its class was made here."""
    arrived = pickle.loads(pickle.dumps(come_back(Wants)))  # noqa: S301  # what we have pickled

    assert type(arrived) is ActivityFailed
    assert arrived.details == come_back(Wants).details
