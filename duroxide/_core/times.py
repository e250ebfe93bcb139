"""
Points in time: people give an aware `datetime` or milliseconds since the epoch, the engine counts those milliseconds.

Rule: a time without a zone is refused. It would be another one on each machine.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from ..errors import InvalidInput
from .arguments import MAX_INTEGER


#: What callers may pass: an aware datetime, or milliseconds since the epoch.
Time: TypeAlias = datetime | int

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def time_ms(what: str, time: object) -> int:
    """
    Return *time* in milliseconds since the epoch.

    Args:
        what: What the time is for, for the error: ``"completed_before"``.

        time: An aware datetime, or milliseconds.

    Raises:
        InvalidInput: If it is neither.
    """
    if isinstance(time, datetime):
        if time.utcoffset() is None:
            msg = f"{what} is {time!r}, which has no time zone: use an aware datetime, or milliseconds since the epoch."
            raise InvalidInput(msg)
        return (time - EPOCH) // timedelta(milliseconds=1)
    if isinstance(time, bool) or not isinstance(time, int) or abs(time) > MAX_INTEGER:
        msg = f"{what} is {time!r}: use an aware datetime, or milliseconds since the epoch as an int."
        raise InvalidInput(msg)
    return time
