"""Durations among a runtime's options: how they are given, refused and counted."""

from __future__ import annotations

import pickle

from datetime import timedelta

import pytest

from duroxide import RetentionPolicy, RetentionRule, RuntimeOptions
from duroxide._runtime.options import milliseconds
from duroxide.errors import InvalidInput


@pytest.mark.parametrize("value", [0.0001, timedelta(microseconds=1)])
def test_shortest(value: float | timedelta) -> None:
    """What is longer than nothing lasts a millisecond at least: no lock has expired when it is taken."""
    assert 1 == milliseconds(RuntimeOptions(orchestrator_lock_timeout=value).orchestrator_lock_timeout)  # type: ignore[arg-type]


def test_longest() -> None:
    """However it is given, what is longer than 100 years lasts 100 years, and can be waited for."""
    options = RuntimeOptions(poll_interval=timedelta.max, shutdown_timeout=float("inf"))  # type: ignore[arg-type]

    assert timedelta(days=36500) == options.poll_interval == options.shutdown_timeout


def test_elsewhere() -> None:
    """Options can be sent to a process that is started by spawn."""
    options = RuntimeOptions(retention=RetentionPolicy(completed_after=1, overrides={"a": RetentionRule()}))

    assert options == pickle.loads(pickle.dumps(options))  # noqa: S301  # our own


def test_units() -> None:
    """Numbers are seconds."""
    options = RuntimeOptions(worker_lock_timeout=2.5, poll_interval=1)  # type: ignore[arg-type]

    assert (2500, 1000) == (milliseconds(options.worker_lock_timeout), milliseconds(options.poll_interval))


@pytest.mark.parametrize("value", [0, timedelta(0), -1, "5 s", True, None])
def test_refused(value: object) -> None:
    """What is no duration, or none that lasts, is refused by the option's name."""
    with pytest.raises(InvalidInput, match=r"RuntimeOptions\.worker_lock_timeout"):
        RuntimeOptions(worker_lock_timeout=value)  # type: ignore[arg-type]
