"""The conformance suite can fail: each broken provider is caught, by the checks that are meant to catch it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from duroxide._clock import Clock
from duroxide.testing.conformance import run_conformance

from . import broken
from .broken import Broken


#: Which checks catch which defect. There may be others that do; these must.
CAUGHT_BY: dict[type[Broken], str] = {
    broken.LostLockIgnored: "test_general_path_expired",
    broken.ForeignLockIgnored: "test_general_path_somebody_else_holds_the_lock",
    broken.DoubleDelivery: "test_fetch_locks test_fetch_one_instance_at_once test_fetch_expiry",
    broken.DoubleActivity: "test_fetch_activities_first_in_first_out test_fetch_activities_expiry",
    broken.ExpiredLockRenewed: "test_renew_instance_expired",
    broken.ExpiredActivityRenewed: "test_renew_activity_expired",
    broken.EagerUnlocked: "test_effects_eager_activities_are_locked",
    broken.HalfACommit: "test_refusal_history_moved_on test_refusal_other_incarnation test_refusal_duplicate_event",
    broken.StaleAccepted: "test_refusal_history_moved_on",
    broken.IncarnationIgnored: "test_refusal_other_incarnation test_reuse_short_way",
    broken.DuplicateEventAccepted: "test_refusal_duplicate_event",
    broken.RefusedTakesOthersDown: "test_refusal_history_moved_on",
    broken.MessagesStay: "test_general_path_commit_consumes test_progress_leftovers_of_the_end",
    broken.MessagesSwallowed: "test_general_path_commit_consumes test_general_path_unconsumed_messages_are_back",
    broken.CancelledDelivered: "test_effects_cancelled_activities_go test_renew_activity_cancelled",
    broken.OwnershipUnproven: "test_short_way_finishes_activity test_refusal_foreign_activity test_expired_activity_is_gone",
    broken.TimerFiresTwice: "test_short_way_timer test_refusal_missing_timer",
    broken.StatusVersionStuck: "test_custom_status_is_set_and_cleared",
    broken.KeyValuesStay: "test_kv_set_replace_remove",
    broken.VisibilityIgnored: "test_enqueue_timer_waits",
    broken.OrderLost: "test_enqueue_keeps_order",
    broken.OrphansBlock: "test_orphans_are_dropped",
    broken.AttemptsNotCounted: "test_fetch_counts_attempts test_release_instance_at_once",
    broken.ActivityAttemptsNotCounted: "test_fetch_activities_expiry test_release_activity_at_once",
    broken.DelayForgotten: "test_release_instance_delay test_release_activity_delay",
    broken.IgnoredAttemptCounted: "test_release_instance_ignored_attempt test_release_activity_ignored_attempt",
    broken.VersionFilterIgnored: "test_replayable_bounds",
    broken.StartsTakenIds: "test_start_waiting test_start_existing test_start_must_be_new test_start_at_once",
    broken.TagsIgnored: "test_tags_filter",
    broken.SessionStolen: "test_session_belongs_to_its_owner",
    broken.RoomIgnored: "test_session_room",
    broken.CompletesWithoutLock: "test_ack_not_held",
    broken.FinishedStays: "test_ack_delivers test_ack_not_held",
    broken.BegunExpires: "test_ttl_begun",
    broken.NeverWakes: "test_wake_enqueue test_wake_commit test_wake_activities test_wake_custom_status",
    broken.WakesTooEarly: "test_wake_enqueue",
    broken.DeletionLeavesMessages: "test_delete_ended test_reuse_completion_on_its_way",
    broken.PrunesTheCurrent: "test_prune_current",
}


@pytest.fixture
def made() -> Iterator[list[Broken]]:
    """Providers to close."""
    yield (providers := [])
    for provider in providers:
        provider.close()


@pytest.mark.parametrize("defect", CAUGHT_BY, ids=lambda defect: defect.__name__)
def test_is_caught(defect: type[Broken], made: list[Broken]) -> None:
    """Each defect fails the checks that promise its absence, by an assertion, and nothing else of its own."""

    def make(clock: Clock) -> Broken:
        made.append(defect("sqlite://", clock=clock))
        made[-1].initialize()
        return made[-1]

    expected = CAUGHT_BY[defect].split()
    report = run_conformance(make, checks=expected)

    assert set(expected) == report.failed
    assert [] == [str(failure) for failure in report.failures if not isinstance(failure.error, AssertionError)]


def test_no_defect_is_left_out() -> None:
    """Every broken provider is put to the test."""
    abstract = {broken.Broken, broken.BrokenCommit, broken._BrokenRelease}
    defects = {found for found in vars(broken).values() if isinstance(found, type) and issubclass(found, Broken)}

    assert defects - abstract == set(CAUGHT_BY)
