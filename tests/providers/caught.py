"""
Which check of the conformance suite catches which broken provider.

    python -m tests.providers.caught            # puts every one of them to all checks, and prints who caught it
    python -m tests.providers.caught --write    # writes CAUGHT_BY into docs/reference/broken-providers.md

`test_broken_providers.py` holds that the checks named here do catch it, and that the page says the same.
"""

from __future__ import annotations

import sys

from collections.abc import Callable
from pathlib import Path

from duroxide._clock import Clock
from duroxide.testing.conformance import run_conformance

from . import broken
from .broken import Broken


PAGE = Path(__file__).parents[2] / "docs" / "reference" / "broken-providers.md"

#: Which checks catch which defect. There may be others that do; these must.
CAUGHT_BY: dict[type[Broken], str] = {
    broken.LostLockIgnored: "test_general_path_expired",
    broken.ForeignLockIgnored: "test_general_path_somebody_else_holds_the_lock",
    broken.DoubleDelivery: "test_fetch_locks test_fetch_expiry",
    broken.DoubleActivity: "test_fetch_activities_first_in_first_out test_fetch_activities_expiry",
    broken.ExpiredLockRenewed: "test_renew_instance_expired",
    broken.ExpiredActivityRenewed: "test_renew_activity_expired",
    broken.EagerUnlocked: "test_effects_eager_activities_are_locked",
    broken.HalfACommit: "test_refusal_history_moved_on test_refusal_other_incarnation test_refusal_duplicate_event",
    broken.StaleAccepted: "test_refusal_history_moved_on",
    broken.IncarnationIgnored: "test_refusal_other_incarnation test_reuse_short_way",
    broken.DuplicateEventAccepted: "test_refusal_duplicate_event",
    broken.GoesOnAfterTheEnd: "test_refusal_between_executions",
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
    broken.StartsToComeForgotten: "test_start_to_come test_start_to_come_of_the_next_execution",
    broken.ManyMessagesBlock: "test_fetch_behind_many_messages",
    broken.AttemptsNotCounted: "test_fetch_counts_attempts test_release_instance_at_once",
    broken.ActivityAttemptsNotCounted: "test_fetch_activities_expiry test_release_activity_at_once",
    broken.DelayForgotten: "test_release_instance_delay test_release_activity_delay",
    broken.PassedOnOvertaken: "test_release_instance_delay_keeps_order",
    broken.PassedOnHeld: "test_release_instance_delay_holds_nobody_up",
    broken.IgnoredAttemptCounted: "test_release_instance_ignored_attempt test_release_activity_ignored_attempt",
    broken.VersionFilterIgnored: "test_replayable_bounds",
    broken.PinStuck: "test_replayable_next_execution",
    broken.NothingIsDue: "test_next_due_activity",
    broken.DueConfused: "test_next_due_activities_only",
    broken.HistoryFromTheStart: "test_read_histories_after test_read_histories_current",
    broken.StartsTakenIds: "test_start_waiting test_start_existing test_start_must_be_new test_start_at_once",
    broken.OvertakesEvents: "test_handed_over_event_waits_its_turn test_handed_over_event_before_what_is_for_later",
    broken.OvertakesStarts: "test_handed_over_start_waits_its_turn test_handed_over_start_after_an_event",
    broken.TagsIgnored: "test_tags_filter",
    broken.SessionStolen: "test_session_belongs_to_its_owner",
    broken.RoomIgnored: "test_session_room",
    broken.RoomBlocks: "test_session_room_blocks_nobody",
    broken.CompletesWithoutLock: "test_ack_not_held",
    broken.FinishedStays: "test_ack_delivers test_ack_not_held",
    broken.LateForgotten: "test_ttl_taken_over",
    broken.BegunExpires: "test_ttl_begun",
    broken.LookingRenews: "test_renew_activity_looking_changes_nothing",
    broken.SessionsForever: "test_session_orphans test_session_after_the_orphan",
    broken.NeverWakes: "test_wake_enqueue test_wake_commit test_wake_activities test_wake_custom_status",
    broken.SessionsEndQuietly: "test_wake_ended_sessions",
    broken.WakesTooEarly: "test_wake_enqueue",
    broken.SentNeverWritten: "test_sent_turns_are_committed test_sent_turns_release_the_lock",
    broken.SentRefusedTogether: "test_sent_turns_are_refused_alone",
    broken.SentWakesAtOnce: "test_sent_turns_wake_when_collected",
    broken.DeletionLeavesMessages: "test_delete_ended test_reuse_completion_on_its_way",
    broken.DeletionTakesStarts: "test_about_to_be_reused test_about_to_be_reused_by_anybody",
    broken.LocksForbidDeletion: "test_delete_locked test_delete_tree_late_report",
    broken.ChildrenForEver: "test_delete_tree_child_of_pruned",
    broken.PrunesParents: "test_prune_child_about_to_start",
    broken.PrunesTheCurrent: "test_prune_current",
}

_TABLE = "| Broken provider | What is wrong with it | Caught by |\n| --- | --- | --- |\n"


def made_by(defect: type[Broken], opened: list[Broken]) -> Callable[[Clock], Broken]:
    """Return what makes a provider with *defect*, and keeps it in *opened*."""

    def make(clock: Clock) -> Broken:
        opened.append(defect("sqlite://", clock=clock))
        opened[-1].initialize()
        return opened[-1]

    return make


def table() -> str:
    """Return CAUGHT_BY as a table."""
    return _TABLE + "".join(_row(defect, checks.split()) for defect, checks in CAUGHT_BY.items())


def _row(defect: type[Broken], checks: list[str]) -> str:
    caught = "<br>".join(f"`{check}`" for check in checks)
    return f"| `{defect.__name__}` | {(defect.__doc__ or '').strip()} | {caught} |\n"


def page(text: str) -> str:
    """Return the page *text* with the table of today."""
    before, _, rest = text.partition(_TABLE)
    after = rest.partition("\n\n")[2]
    return f"{before}{table()}" + (f"\n{after}" if after else "")


def main() -> None:
    """Do what the command line asks for."""
    if "--write" in sys.argv:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
        return
    missed = []
    sys.stdout.write(_TABLE)
    for defect in CAUGHT_BY:
        opened: list[Broken] = []
        report = run_conformance(made_by(defect, opened))
        sys.stdout.write(_row(defect, sorted(report.failed)))
        sys.stdout.flush()
        if not report.failed:
            missed.append(defect.__name__)
    sys.stdout.write(f"\n{len(CAUGHT_BY)} broken providers; not caught: {missed or 'none'}\n")


if __name__ == "__main__":
    main()
