"""
When to try an activity again, and after how long a pause.

Rule: a policy decides from values alone. Chance comes in as an argument, so that replay pauses as long as
the first run did.
"""

from __future__ import annotations

import inspect
import math

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from attrs import Attribute, field

from .._nouns import frozen
from ..errors import InvalidInput
from .durations import Duration, duration_ms, to_timedelta


#: Where growing pauses stop growing: long enough to let an overloaded service breathe, short enough that
#: nobody wonders whether anything still happens.
DEFAULT_MAXIMUM = timedelta(seconds=30)

# More than any run will ever see; it keeps the exponent within what a float can be raised to.
_MOST_ATTEMPTS = 2**53


def _delay(value: Duration) -> timedelta:
    return to_timedelta(value, what="the delay of a backoff")


def _maximum(value: Duration) -> timedelta:
    return to_timedelta(value, what="the maximum of a backoff")


def _timeout(value: Duration | None) -> timedelta | None:
    return None if value is None else _time_limit("timeout", value)


def _total_timeout(value: Duration | None) -> timedelta | None:
    return None if value is None else _time_limit("total_timeout", value)


def _time_limit(what: str, value: Duration) -> timedelta:
    limit = to_timedelta(value, what=f"{what} of a RetryPolicy")
    if not limit:
        msg = f"{what} of a RetryPolicy is {value!r}: nothing can finish in no time. Give more than 0, or None."
        raise InvalidInput(msg)
    return limit


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _milliseconds(value: timedelta) -> int:
    return duration_ms(value, what="a backoff")


@frozen
class Fixed:
    """The same pause after every attempt: *delay* (a timedelta, or seconds)."""

    delay: timedelta = field(converter=_delay)

    def delay_ms(self, attempt: int) -> int:
        """Return the pause after *attempt* (from 1), in milliseconds."""
        del attempt
        return _milliseconds(self.delay)


@frozen
class Linear:
    """The pause grows by *base* with every attempt, up to *maximum* (timedeltas, or seconds)."""

    base: timedelta = field(converter=_delay)
    maximum: timedelta = field(default=DEFAULT_MAXIMUM, converter=_maximum)

    def delay_ms(self, attempt: int) -> int:
        """Return the pause after *attempt* (from 1), in milliseconds."""
        return min(_milliseconds(self.base) * attempt, _milliseconds(self.maximum))


@frozen
class Exponential:
    """The pause starts at *base* and is multiplied by *multiplier* each time, up to *maximum*."""

    base: timedelta = field(default=timedelta(milliseconds=100), converter=_delay)
    multiplier: float = field(default=2.0)
    maximum: timedelta = field(default=DEFAULT_MAXIMUM, converter=_maximum)

    @multiplier.validator
    def _check_multiplier(self, attribute: Attribute[Any], value: float) -> None:
        if not (_is_number(value) and math.isfinite(value) and value >= 1):
            msg = f"multiplier of an Exponential is {value!r}: give a number from 1 on (1 keeps the pause constant)."
            raise InvalidInput(msg)

    def delay_ms(self, attempt: int) -> int:
        """Return the pause after *attempt* (from 1), in milliseconds."""
        maximum = _milliseconds(self.maximum)
        try:
            factor = float(self.multiplier) ** min(attempt - 1, _MOST_ATTEMPTS)
        except OverflowError:
            return maximum if self.base else 0
        return int(min(_milliseconds(self.base) * factor, maximum))


#: How pauses grow. None: no pause at all.
Backoff = Fixed | Linear | Exponential | None


@frozen(kw_only=True)
class RetryPolicy:
    """
    How often an activity is tried, and how long to wait in between.

    An attempt that runs into *timeout* is not tried again, nor is one that raised a `NonRetryableError`.
    """

    #: How often to try in all, the first time included.
    max_attempts: int = field(default=3)
    #: The pause between attempts.
    backoff: Backoff = field(default=Exponential())
    #: The share of each pause, from 0 to 1, of which up to all is taken off at random. It keeps many
    #: instances that failed together from coming back together.
    jitter: float = field(default=0.0)
    #: How long one attempt may take (a timedelta, or seconds). None: as long as it likes.
    timeout: timedelta | None = field(default=None, converter=_timeout)
    #: How long all attempts and pauses together may take (a timedelta, or seconds). None: as long as they like.
    total_timeout: timedelta | None = field(default=None, converter=_total_timeout)
    #: Whether to try again after this exception. Called in the orchestration, so it must be a pure function.
    retry_if: Callable[[Exception], bool] | None = field(default=None)

    @max_attempts.validator
    def _check_max_attempts(self, attribute: Attribute[Any], value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            msg = f"max_attempts of a RetryPolicy is {value!r}: give 1 (no second try) or more."
            raise InvalidInput(msg)

    @backoff.validator
    def _check_backoff(self, attribute: Attribute[Any], value: object) -> None:
        if value is not None and not isinstance(value, Fixed | Linear | Exponential):
            msg = f"backoff of a RetryPolicy is {value!r}: give Fixed(...), Linear(...), Exponential(...) or None."
            raise InvalidInput(msg)

    @jitter.validator
    def _check_jitter(self, attribute: Attribute[Any], value: float) -> None:
        if not (_is_number(value) and 0 <= value <= 1):
            msg = f"jitter of a RetryPolicy is {value!r}: give a share from 0 (none) to 1 (the whole pause)."
            raise InvalidInput(msg)

    @retry_if.validator
    def _check_retry_if(self, attribute: Attribute[Any], value: object) -> None:
        # To make one of a class, or a coroutine, is to say yes to everything.
        is_function = callable(value) and not isinstance(value, type) and not inspect.iscoroutinefunction(value)
        if value is not None and not is_function:
            msg = (
                f"retry_if of a RetryPolicy is {value!r}: give a plain function of the exception, such as"
                " lambda error: isinstance(error, ConnectionError), or None."
            )
            raise InvalidInput(msg)

    def delay_ms(self, attempt: int, random: float = 0.0) -> int:
        """
        Return the pause after *attempt*, in milliseconds; 0 means no pause, and no timer.

        Args:
            attempt: The number of the attempt that failed, from 1.

            random: A number from 0 to 1, from the orchestration's own source of chance.
        """
        if self.backoff is None:
            return 0
        delay = self.backoff.delay_ms(attempt)
        return delay - int(delay * self.jitter * random)
