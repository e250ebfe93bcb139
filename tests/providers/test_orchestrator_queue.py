"""The orchestrator queue: who gets which messages, when, and under which lock."""

from __future__ import annotations

import logging
import threading

from collections import Counter

import pytest

from attrs import evolve
from sqlalchemy import update

from duroxide._core.commit import CommitResult, ExecutionStatus, NewExecution, Outgoing, TurnCommit
from duroxide._core.versions import VersionRange
from duroxide.providers.contract import Release
from duroxide.providers.sql import SqlProvider
from duroxide.providers.sql.schema import orchestrator_queue

from .stores import (
    LOCK_MS,
    NOW,
    UNKNOWN_LOCK,
    HeldClock,
    Store,
    commit,
    events_of,
    fetch,
    fetch_one,
    first_turn,
    must_commit,
    next_turn,
    raised,
    scheduled,
    start,
    started,
    timer,
    under,
)


def damage(store: Store, provider: SqlProvider) -> None:
    """Make every message unreadable."""
    with provider._engine.begin() as connection:
        connection = connection.execution_options(schema_translate_map={None: store.schema})
        connection.execute(update(orchestrator_queue).values(data="{"))


class TestEnqueue:





class TestFetch:










class TestReplayable:





class TestOrphans:



class TestUnreadable:



class TestRelease:






class TestRenew:



class TestGeneralPath:








class TestNextDue:


