"""Histories that a store would hold, because the engine wrote them; and pieces of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from hypothesis import strategies as st

from ..._core.events import Event
from .stories import stories


@frozen
class History:
    """The events of one execution, as far as it got, and the orchestration function that wrote them."""

    orchestration: Callable[..., Any]
    events: tuple[Event, ...]


@st.composite
def histories(draw: st.DrawFn, *, prefixes: bool = True) -> History:
    """
    Draw the history of an execution of a generated orchestration.

    Args:
        prefixes: Whether it may end anywhere, also between the events of one turn. Otherwise it ends with a commit.
    """
    story = draw(stories())
    told = draw(st.sampled_from(story.executions))
    if prefixes:
        length = draw(st.integers(1, len(told.history)))
    else:
        length = draw(st.sampled_from([*(advance.before for advance in told.advances[1:]), len(told.history)]))
    return History(told.program.function(), told.history[:length])


@st.composite
def cuts(draw: st.DrawFn, events: Sequence[Event]) -> list[Sequence[Event]]:
    """Draw *events* in consecutive pieces, the first of which has the start event; some may be empty."""
    places = sorted(draw(st.lists(st.integers(1, len(events)), max_size=4)))
    return [events[start:end] for start, end in zip([0, *places], [*places, len(events)], strict=True)]
