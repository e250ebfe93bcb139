"""
Durations: people give a `timedelta` or seconds, the engine counts whole milliseconds.

Rule: a duration is never shortened. Parts of a millisecond are rounded up, so that what waits for a
deadline never wakes before it.
"""

from __future__ import annotations

from datetime import timedelta

from ..errors import InvalidInput


#: What callers may pass: a `timedelta`, or a number of seconds.
Duration = timedelta | int | float

#: Durations end here: 100 years. Longer ones (also infinity) mean "practically forever", and must still
#: be added to a timestamp without leaving BIGINT or `datetime`.
MAX_DURATION_MS = 100 * 365 * 24 * 3600 * 1000

_MILLISECOND = timedelta(milliseconds=1)


def duration_ms(value: Duration, *, what: str) -> int:
    """
    Return *value* in whole milliseconds, rounded up, at most `MAX_DURATION_MS`.

    Args:
        value: A `timedelta`, or a number of seconds.

        what: What the duration is for, to be named in the error: ``"delay of the timer"``.

    Raises:
        InvalidInput: If *value* is negative, NaN, or neither of both types.
    """
    if isinstance(value, timedelta):
        milliseconds = value // _MILLISECOND + bool(value % _MILLISECOND)
        negative = value < timedelta()
    elif isinstance(value, int | float) and not isinstance(value, bool) and value == value:  # noqa: PLR0124  # not NaN
        milliseconds = _from_seconds(value)
        negative = value < 0
    else:
        msg = f"{what} is {value!r}: give a timedelta, or seconds as a number."
        raise InvalidInput(msg)
    if negative:
        msg = f"{what} is {value!r}: a duration cannot be negative. Give 0 or more."
        raise InvalidInput(msg)
    return min(milliseconds, MAX_DURATION_MS)


def seconds_of(value: Duration, *, what: str) -> float:
    """
    Return *value* in seconds, for a wait: what is left of a time that is over, less than nothing, is no time.

    Raises:
        InvalidInput: If *value* is NaN, or neither a `timedelta` nor a number.
    """
    nothing: Duration = timedelta() if isinstance(value, timedelta) else 0
    is_over = isinstance(value, timedelta | int | float) and value < nothing  # type: ignore[operator]  # of one kind
    return 0.0 if is_over else duration_ms(value, what=what) / 1000


def _from_seconds(seconds: float) -> int:
    if seconds > MAX_DURATION_MS:
        return MAX_DURATION_MS
    if seconds <= 0:
        return 0
    # By way of microseconds, because 0.07 * 1000 is a little more than 70.
    return max(-(-round(seconds * 1_000_000) // 1000), 1)


def as_timedelta(value: Duration) -> timedelta:
    """Return *value* as `to_timedelta` does; what is no duration as it is, for a validator that knows its name."""
    try:
        return to_timedelta(value, what="a duration")
    except InvalidInput:
        return value  # type: ignore[return-value]


def to_timedelta(value: Duration, *, what: str) -> timedelta:
    """Return *value* as `duration_ms` understands it, as a `timedelta` of whole milliseconds."""
    return timedelta(milliseconds=duration_ms(value, what=what))
