"""How much is done at once, where there may be any amount."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar


T = TypeVar("T")


def portions(items: Iterable[T], cost: Callable[[T], tuple[int, ...]], most: tuple[int, ...]) -> Iterator[list[T]]:
    """
    Yield *items*, in order, in portions whose costs add up to *most* at most, each kind of cost for itself.

    One item by itself is always a portion, whatever it costs.
    """
    portion: list[T] = []
    spent = (0,) * len(most)
    for item in items:
        costs = cost(item)
        after = tuple(map(sum, zip(spent, costs, strict=True)))
        if portion and any(one > bound for one, bound in zip(after, most, strict=True)):
            yield portion
            portion, after = [], costs
        portion.append(item)
        spent = after
    if portion:
        yield portion
