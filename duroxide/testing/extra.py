"""What needs Hypothesis says so, with the remedy, where Hypothesis is missing."""

from __future__ import annotations

from importlib.util import find_spec


def needs_hypothesis(name: str) -> None:
    """
    Check that Hypothesis is there, for *name*.

    Raises:
        ModuleNotFoundError: If it is not; the message says what to install.
    """
    try:
        is_there = find_spec("hypothesis") is not None
    except ValueError:  # somebody has put something else in its place
        is_there = False
    if not is_there:
        msg = f"{name} needs Hypothesis: pip install 'duroxide-python[testing]'"
        raise ModuleNotFoundError(msg, name="hypothesis")
