"""
Everything that can go wrong, as one tree of exceptions and one record.

`ErrorDetails` is what is stored when something failed: it travels in history as JSON, never as a
pickle. The exceptions are what people catch:

    DuroxideError
    ├── RemoteFailure                 something that an orchestration waited for failed
    │   ├── ActivityFailed            … an activity
    │   ├── SubOrchestrationFailed    … a child
    │   └── OrchestrationFailed       Client.wait_for_result(): the instance ended Failed
    │       └── NondeterminismError   … because its code no longer does what history says it did
    ├── ActionCancelled               the orchestration waits for an action that it cancelled itself
    ├── ActivityCancelled             ActivityContext.raise_if_cancelled(): nobody wants the result
    ├── NonRetryableError             raise it (or a subclass) in an activity: do not try again
    ├── InvalidInput                  a bad argument (also a ValueError)
    │   ├── PayloadError              a value that cannot be encoded or decoded
    │   ├── LimitExceeded             a value over a documented limit
    │   └── RegistrationError         a mistake in registering a function
    ├── OrchestrationMisuse           orchestration code broke a rule of the engine (a "panic")
    │   └── NondeterministicCall      … it read the clock, a random number, the environment, the world outside
    ├── ReplayDiverged                duroxide.testing: today's code does not do what a history recorded
    ├── UnreadableHistory             an event was written by a newer release, or is damaged
    ├── WaitTimeout                   a wait_for_… call ran out of time (also a TimeoutError)
    ├── InstanceError
    │   ├── InstanceNotFound
    │   ├── InstanceAlreadyExists
    │   ├── InstanceStillRunning
    │   └── CannotDeleteSubOrchestration
    └── ProviderError                 storage failed; `retryable` says whether trying again helps
"""

from __future__ import annotations

import traceback as tracebacks

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, Self, TypeVar

from attrs import field

from ._nouns import frozen


ErrorT = TypeVar("ErrorT", bound=BaseException)


class ErrorCategory(StrEnum):
    """Whose fault a failure is."""

    #: User code raised, or an instance was cancelled. Orchestration code can catch it.
    APPLICATION = "application"
    #: Storage or the runtime failed.
    INFRASTRUCTURE = "infrastructure"
    #: The deployed code does not fit the recorded history.
    CONFIGURATION = "configuration"
    #: A message was delivered more often than allowed, without ever being processed.
    POISON = "poison"


class ErrorKind(StrEnum):
    """What failed, within its category."""

    ACTIVITY_FAILED = "ActivityFailed"
    ORCHESTRATION_FAILED = "OrchestrationFailed"
    PANICKED = "Panicked"
    CANCELLED = "Cancelled"
    TIMED_OUT = "TimedOut"
    PROVIDER = "Provider"
    NONDETERMINISM = "Nondeterminism"
    POISONED_ORCHESTRATION = "PoisonedOrchestration"
    POISONED_ACTIVITY = "PoisonedActivity"
    UNREADABLE_HISTORY = "UnreadableHistory"


@frozen
class ErrorDetails:
    """What is recorded of a failure: plain values only, the same on every machine."""

    category: ErrorCategory
    kind: ErrorKind
    #: The text of the exception, without its type.
    message: str
    #: The name of the Python type that was raised, e.g. ``ValueError`` or ``shop.errors.OutOfStock``.
    type: str | None = None
    #: The formatted traceback where it was raised.
    traceback: str | None = field(default=None, repr=False)
    #: What it was raised from, outermost first.
    cause: ErrorDetails | None = None
    #: Whether trying the same again may help.
    retryable: bool = False
    #: Which attempt of a retry policy this was, from 1.
    attempt: int = 1
    #: What it is about: a provider operation, an activity, an instance.
    subject: str | None = None
    #: Poison only: how often the message was delivered, and how often it may be.
    attempt_count: int | None = None
    max_attempts: int | None = None

    @property
    def is_system_error(self) -> bool:
        """Whether this ends the orchestration that meets it, without a chance to catch it."""
        return self.category is not ErrorCategory.APPLICATION

    @property
    def display(self) -> str:
        """The one-line text people see in statuses and logs."""
        if self.category is ErrorCategory.INFRASTRUCTURE:
            return f"infrastructure:{self.subject}: {self.message}"
        if self.category is ErrorCategory.CONFIGURATION:
            return f"nondeterministic: {self.message}"
        if self.category is ErrorCategory.POISON:
            reason = "" if self.cause is None else f": {self.cause.message}"
            return f"poison: {self.subject} exceeded {self.attempt_count} attempts (max {self.max_attempts}){reason}"
        if self.kind is ErrorKind.CANCELLED:
            return f"canceled: {self.message}"
        text = self.message or self.type or ""  # TimeoutError() has no message, and is better than nothing
        return f"orchestration panicked: {text}" if self.kind is ErrorKind.PANICKED else text

    @classmethod
    def from_exception(
        cls,
        error: BaseException,
        *,
        kind: ErrorKind,
        attempt: int = 1,
    ) -> ErrorDetails:
        """
        Record *error* with its type, traceback and causes.

        A failure that merely passes through (an `ActivityFailed` nobody caught) stays the message
        it was, with the failure as its cause.
        """
        return cls(
            category=ErrorCategory.APPLICATION,
            kind=kind,
            message=text_of(error),
            type=type_name(error),
            traceback=_traceback_of(error),
            cause=_cause_of(error, kind),
            retryable=kind is ErrorKind.ACTIVITY_FAILED and not isinstance(error, NonRetryableError),
            attempt=attempt,
        )

    @classmethod
    def because(cls, reason: str, *, kind: ErrorKind) -> ErrorDetails:
        """Record *reason*, which nothing was raised for, as the cause of a failure of *kind*."""
        return cls(ErrorCategory.APPLICATION, kind, reason)

    @classmethod
    def cancelled(cls, reason: str) -> ErrorDetails:
        """Record that an instance was cancelled because of *reason*."""
        return cls(ErrorCategory.APPLICATION, ErrorKind.CANCELLED, reason)

    @classmethod
    def nondeterminism(cls, message: str) -> ErrorDetails:
        """Record that code and history do not fit together."""
        return cls(ErrorCategory.CONFIGURATION, ErrorKind.NONDETERMINISM, message)

    def chain(self) -> Iterator[ErrorDetails]:
        """Yield this failure, then what it was raised from, and so on."""
        link: ErrorDetails | None = self
        while link is not None:
            yield link
            link = link.cause


def type_name(error: BaseException) -> str:
    """Return the name that history records for the type of *error*."""
    if isinstance(error, RemoteFailure) and error.details.type:
        return error.details.type
    return class_name(type(error))


def class_name(cls: type) -> str:
    """Return what *cls* is called in histories and in messages; builtins by their name alone."""
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def text_of(error: BaseException) -> str:
    """Return the message of *error*; a user's own `__str__` may itself raise, whatever it likes."""
    try:
        return _bounded(str(error))
    except BaseException as broken:  # noqa: BLE001  # the failure being recorded must not be lost
        return f"<{type(error).__qualname__} whose __str__ raised {type(broken).__qualname__}>"


def _traceback_of(error: BaseException) -> str:
    """Return the formatted traceback of *error*; groups in groups may be too deep for that, and it asks users' objects."""
    try:
        return _bounded("".join(tracebacks.format_exception(error)))
    except BaseException as broken:  # noqa: BLE001  # as above
        return f"<a traceback that Python could not format, because of {type(broken).__qualname__}>"


#: Longer messages and tracebacks lose their middle: history keeps them for good, and each parent gets them, too.
MAX_ERROR_CHARACTERS = 65_536


#: The same for what is said of an argument, which is shown, and may be of any length.
MAX_ARGUMENT_CHARACTERS = 2_000


def _bounded(text: str, most: int = MAX_ERROR_CHARACTERS) -> str:
    left_out = len(text) - most
    if left_out <= 0:
        return text
    end = most // 4
    return f"{text[: most - end]}\n[… {left_out} characters are left out …]\n{text[-end:]}"


#: Longer chains of causes lose their end: it helps nobody.
MAX_CAUSES = 50


def _cause_of(error: BaseException, kind: ErrorKind) -> ErrorDetails | None:
    """Return what *error* was raised from, and that from, as far as they differ."""
    if isinstance(error, RemoteFailure):
        return error.details
    details: ErrorDetails | None = None
    causes = [error]
    while (cause := _raised_from(causes[-1])) is not None and len(causes) <= MAX_CAUSES:
        if isinstance(cause, RemoteFailure):
            details = cause.details
            break
        if any(cause is each for each in causes):
            break
        causes.append(cause)
    for cause in reversed(causes[1:]):
        details = ErrorDetails(ErrorCategory.APPLICATION, kind, text_of(cause), type=type_name(cause), cause=details)
    return details


def _raised_from(error: BaseException) -> BaseException | None:
    """Python's own rules for `__suppress_context__` apply."""
    if error.__cause__ is not None or error.__suppress_context__:
        return error.__cause__
    return error.__context__


class DuroxideError(Exception):
    """The base of every exception that this library raises."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Exceptions are pickled and copied by calling their class with `args`; many of ours take others.
        return _again, (type(self), self.args, self.__dict__)


def _new(cls: type[ErrorT], *args: object) -> ErrorT:
    """Return an exception of *cls* without calling what its Python classes say about making one."""
    builtin: Any = cls
    while builtin.__module__ != "builtins":
        builtin = builtin.__base__  # whose memory layout it has: others refuse to make it
    made: ErrorT = builtin.__new__(cls, *args)
    return made


def _again(cls: type[ErrorT], args: tuple[object, ...], attributes: dict[str, Any]) -> ErrorT:
    """Return the exception that was pickled or copied."""
    error = _new(cls, *args)
    error.__dict__.update(attributes)
    return error


class RemoteFailure(DuroxideError):
    """
    Something that the orchestration waited for failed, elsewhere and perhaps days ago.

    The raised class also derives from the original exception's class where that is a builtin or
    was registered with `Registry.exception`, so ``except ValueError:`` catches an activity's
    ValueError.
    """

    # The class of the original comes after this one, and may have an opinion on all of these: it may be frozen, want other
    # arguments, or compare and show attributes that nobody has set, since its `__init__` is not called.

    def __new__(cls, details: ErrorDetails) -> Self:
        """Make one, past the original's own `__new__`."""
        return _new(cls, details)

    def __init__(self, details: ErrorDetails) -> None:
        Exception.__init__(self, details.display)
        object.__setattr__(self, "_recorded", details)

    @property
    def details(self) -> ErrorDetails:
        """What was recorded of the failure."""
        details: ErrorDetails = self.__dict__["_recorded"]
        return details

    def __str__(self) -> str:
        return self.details.display

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.details.display!r})"

    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def __reduce__(self) -> tuple[Any, ...]:
        # The class may have been made at run time. What is one of ours is known in every process.
        ours = next(each for each in type(self).__mro__ if globals().get(each.__name__) is each)
        return ours, (self.details,)


class ActivityFailed(RemoteFailure):
    """An activity failed. `details` says how; its `traceback` is the activity's own."""


class SubOrchestrationFailed(RemoteFailure):
    """A child orchestration failed or was cancelled."""


class OrchestrationFailed(RemoteFailure):
    """The orchestration that a client waited for ended Failed."""


class ActionCancelled(DuroxideError):
    """The orchestration waits for an action that it has cancelled itself, or whose branch was closed."""


class ActivityCancelled(DuroxideError):
    """Nobody waits for this activity any more: clean up and return."""


class NonRetryableError(DuroxideError):
    """Raise this, or a subclass, in an activity: no retry policy tries it again."""


class InvalidInput(DuroxideError, ValueError):
    """An argument that cannot be used; the message names it, the reason and the remedy."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_bounded(message, MAX_ARGUMENT_CHARACTERS))


class PayloadError(InvalidInput):
    """A value cannot be turned into JSON, or JSON not into the type that was asked for."""


class LimitExceeded(InvalidInput):
    """A value is over one of the limits of `duroxide.limits`; nothing was written."""


class RegistrationError(InvalidInput):
    """A function cannot be registered as it is."""


class OrchestrationMisuse(DuroxideError):
    """Orchestration code broke a rule of the engine, for example yielded something that is not an action."""

    def __init__(self, message: str = "") -> None:
        super().__init__(_bounded(message, MAX_ARGUMENT_CHARACTERS))


class NondeterministicCall(OrchestrationMisuse):
    """Orchestration code called what gives another answer in replay; raised at the call, where the guard is on."""


@frozen
class Divergence:
    """One place where today's code does not do what a history recorded."""

    instance_id: str
    execution_id: int
    orchestration: str
    version: str
    #: The first event that does not fit; of what the code does beyond the history, the last event.
    event_id: int
    #: The source line at which the code is then: ``file:line in function``.
    place: str
    #: What history recorded.
    expected: str
    #: What the code does instead.
    got: str

    def __str__(self) -> str:
        return (
            f"instance {self.instance_id!r}, execution {self.execution_id} of {self.orchestration} {self.version},"
            f" event {self.event_id}, at {self.place}\n  expected: {self.expected}\n  got:      {self.got}"
        )


class ReplayDiverged(DuroxideError):
    """Histories were replayed, and code does not do what they recorded: `divergences` says where."""

    def __init__(self, *divergences: Divergence) -> None:
        super().__init__("\n".join(map(str, divergences)))
        self.divergences = divergences


class NondeterminismError(OrchestrationFailed):
    """Orchestration code no longer does what history says it did."""


class UnreadableHistory(DuroxideError):
    """An event of a history cannot be read: written by a newer release, or damaged."""


class WaitTimeout(DuroxideError, TimeoutError):
    """What was waited for did not happen in time. It may still happen."""

    retryable = True


class InstanceError(DuroxideError):
    """A call about one instance cannot be carried out."""

    def __init__(self, message: str, *, instance_id: str) -> None:
        super().__init__(message)
        self.instance_id = instance_id


class InstanceNotFound(InstanceError, LookupError):
    """No such instance."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            f"instance {instance_id!r} not found. It was never started, or has been deleted.", instance_id=instance_id
        )


class InstanceAlreadyExists(InstanceError):
    """An instance of this id exists, and the caller asked for a new one."""

    def __init__(self, instance_id: str) -> None:
        super().__init__(
            f"instance {instance_id!r} already exists. Choose another id, delete the old instance first, or start it"
            " with if_exists='use_existing'.",
            instance_id=instance_id,
        )


class InstanceStillRunning(InstanceError):
    """A running instance cannot be deleted without force."""


class CannotDeleteSubOrchestration(InstanceError):
    """A child can only be deleted together with its root, as long as somebody may wait for it."""


class ProviderError(DuroxideError):
    """
    Storage failed.

    Args:
        operation: The provider operation that failed, e.g. ``commit_turns``.

        message: What the database said, and what to do.

        retryable: Whether the same call may succeed later (busy, connection lost, deadlock).
    """

    def __init__(self, operation: str, message: str, *, retryable: bool) -> None:
        super().__init__(operation, message, retryable)
        self.operation = operation
        self.message = message
        self.retryable = retryable

    def __str__(self) -> str:
        return f"{self.operation}: {self.message}"
