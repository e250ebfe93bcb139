"""How long to leave alone what has failed: twice as long each time, up to a bound."""

from __future__ import annotations


#: The longest pause, in seconds.
LONGEST = 3.0


def pause_after(failures: int, first: float) -> float:
    """Return for how many seconds to pause after *failures* in a row, which doubles *first* for each."""
    return min(first * 2.0 ** min(failures, 6), LONGEST)
