"""Running checks without a test framework: `run_conformance`."""

from __future__ import annotations

import traceback

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any
from unittest import SkipTest

from attrs import field, frozen

from ..._clock import Clock
from ..._core.arguments import text_set
from ...errors import InvalidInput
from ...providers.contract import Provider
from .checks import Checks
from .suite import GROUPS, ProviderConformance


@frozen
class Failure:
    """A check that a provider does not pass."""

    #: E.g. ``test_ack_after_takeover``.
    check: str
    #: What the check promises.
    promise: str
    error: BaseException = field(eq=False)

    def __str__(self) -> str:
        # With the values, which a bare assert does not tell.
        lines = traceback.TracebackException.from_exception(self.error, capture_locals=True).format()
        return f"{self.check}: {self.promise}\n{''.join(lines)}"


@frozen
class Report:
    """What became of all checks that were run."""

    passed: tuple[str, ...]
    failures: tuple[Failure, ...]
    #: Names, each with the reason.
    skipped: tuple[tuple[str, str], ...] = ()

    @property
    def failed(self) -> frozenset[str]:
        """The names of the checks that failed."""
        return frozenset(failure.check for failure in self.failures)


def run_conformance(
    suite: type[Checks] | Callable[[Clock], Provider],
    *,
    groups: Iterable[type[Checks]] = GROUPS,
    checks: Collection[str] | None = None,
) -> Report:
    """
    Run the checks of the suite, each on a store of its own; return what became of them.

    Args:
        suite: What makes an initialized provider on an empty store, given the clock; or a subclass of
            `ProviderConformance`, which can do more (`Checks`' hooks).

        groups: Only the checks of these classes.

        checks: Only the checks of these names.

    Raises:
        RuntimeError: If Python runs with -O, which removes the asserts.

        InvalidInput: If *suite* makes no providers, or *checks* is no collection.

        LookupError: If there is no such check.
    """
    if not __debug__:
        message = "the checks are asserts, which python -O removes: run them without -O."
        raise RuntimeError(message)
    made = _suite_of(suite)
    names = [name for group in groups for name in names_of(group)]
    if checks is not None:
        wanted = text_set("checks", checks, content="names of checks")
        unknown = sorted(wanted.difference(names))
        if unknown:
            message = (
                f"there is no check {unknown[0]!r}: give the names of methods of duroxide.testing.conformance.GROUPS."
            )
            raise LookupError(message)
        names = [name for name in names if name in wanted]
    passed, failures, skipped = [], [], []
    for name in names:
        match _outcome(made, name):
            case None:
                passed.append(name)
            case SkipTest() as skip:
                skipped.append((name, str(skip)))
            case error:
                promise = (getattr(made, name).__doc__ or "").strip()
                failures.append(Failure(name, promise, error))
    return Report(tuple(passed), tuple(failures), tuple(skipped))


def names_of(group: type[Checks]) -> Iterator[str]:
    """Return the names of the checks of *group*, in the order in which they are written."""
    return (name for name in vars(group) if name.startswith("test_"))


def _suite_of(suite: Any) -> type[Checks]:
    if isinstance(suite, type) and issubclass(suite, Checks):
        return suite
    if not callable(suite):
        message = (
            f"suite is {suite!r}: give a function that takes the clock and returns an initialized provider on an empty store,"
            " or a subclass of ProviderConformance."
        )
        raise InvalidInput(message)

    class Suite(ProviderConformance):
        def make_provider(self, clock: Clock) -> Provider:
            made: Provider = suite(clock)
            return made

    return Suite


def _outcome(suite: type[Checks], name: str) -> BaseException | None:
    check = suite()
    try:
        try:
            getattr(check, name)()
        finally:
            check.teardown_method()
    except Exception as error:  # noqa: BLE001  # whatever a check raises is its outcome
        return error
    return None
