"""What SqlProvider says: log lines, and errors that name the value, the reason and the remedy."""

from __future__ import annotations

import logging

import pytest

from attrs import evolve

from duroxide._core.commit import ExecutionStatus
from duroxide.errors import CannotDeleteSubOrchestration, InstanceNotFound, InstanceStillRunning
from duroxide.providers.contract import Release
from duroxide.providers.sql import SqlProvider
from duroxide.testing.conformance.populations import begin, end, ended, with_child
from duroxide.testing.conformance.vocabulary import (
    UNKNOWN_LOCK,
    activity,
    ending,
    fetch,
    first_turn,
    info_of,
    lock_of,
    must_commit,
    raised,
)


class TestLogs:
    def test_orphans(self, memory: SqlProvider, caplog: pytest.LogCaptureFixture) -> None:
        """[646] Messages for nobody are removed with one warning that names the instance."""
        with caplog.at_level(logging.WARNING, "duroxide.provider"):
            memory.enqueue([raised("ghost"), raised("ghost")])
            fetch(memory)

        assert ["drop_orphans"] == [record.__dict__["action"] for record in caplog.records]
        assert "ghost" == caplog.records[0].__dict__["instance"]


class TestWrongLock:
    def test_of_an_activity(self, memory: SqlProvider) -> None:
        """The lock of an activity is no instance lock: a TypeError that names the right method."""
        with pytest.raises(TypeError, match="release_activities"):
            memory.release_orchestration_items([Release(lock_of(activity()))])

    def test_of_an_instance(self, memory: SqlProvider) -> None:
        """The lock of an instance is no activity's."""
        with pytest.raises(TypeError, match="release_orchestration_items"):
            memory.release_activities([Release(UNKNOWN_LOCK)])


class TestDeletion:
    def test_unknown(self, memory: SqlProvider) -> None:
        """An unknown id is not found."""
        with pytest.raises(InstanceNotFound, match="'nobody' not found"):
            memory.delete_instance("nobody", force=False)

    def test_running(self, memory: SqlProvider) -> None:
        """A running instance is refused with the remedy."""
        begin(memory, "a")

        with pytest.raises(InstanceStillRunning, match=r"'a' is Running\. Wait .* cancel_instance.* force=True"):
            memory.delete_instance("a", force=False)

    def test_between_executions(self, memory: SqlProvider) -> None:
        """An instance between two executions is said to be that."""
        ended(memory, "a", status=ExecutionStatus.CONTINUED_AS_NEW)

        with pytest.raises(InstanceStillRunning, match="'a' is ContinuedAsNew"):
            memory.delete_instance("a", force=False)

    def test_child_about_to_start(self, memory: SqlProvider) -> None:
        """A child that is still a message is named."""
        end(memory, with_child(memory, "root", "child"))

        with pytest.raises(InstanceStillRunning, match="'root' cannot be deleted: its child 'child' is about to start"):
            memory.delete_instance("root", force=False)

    def test_child(self, memory: SqlProvider) -> None:
        """A child is refused with the root that can be deleted."""
        ended(memory, "root")
        ended(memory, "a", parent="root")

        with pytest.raises(CannotDeleteSubOrchestration, match=r"'a' is a child .* the root, 'root'"):
            memory.delete_instance("a", force=True)


class TestText:
    @pytest.mark.parametrize(("text", "shown"), [("\0", "\\x00"), ("\ud800", "\\ud800"), ("ü", "ü")])
    def test_output(self, provider: SqlProvider, text: str, shown: str) -> None:
        """What no database takes is shown instead."""
        turn = first_turn()
        must_commit(provider, turn)
        must_commit(provider, evolve(ending(turn), output=text))

        assert shown == info_of(provider).output
