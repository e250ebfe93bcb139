"""What an accepted commit writes: instances, executions, history, custom status, key-values."""

from __future__ import annotations

from attrs import evolve

from ..._core import events as e
from ..._core.commit import (
    CommitResult,
    CustomStatusChange,
    ExecutionStatus,
    NewExecution,
    TurnCommit,
)
from ..._core.events import KvEntry, Parent
from ...providers.contract import (
    HistoryRequest,
    InstanceInfo,
)
from .checks import Checks
from .vocabulary import (
    NOW,
    commit,
    ending,
    events_of,
    fetch,
    fetch_one,
    first_turn,
    info_of,
    must_commit,
    next_turn,
    raised,
    scheduled,
    started,
    timer,
)


class InstanceCreation(Checks):
    """The first commit of an instance."""

    def test_commit_start_instance(self) -> None:
        """The first commit brings the instance to life, with all that is known of it."""
        parent = Parent("p", 3, 5)
        must_commit(self.provider, evolve(first_turn(), started=NewExecution("fulfil", "1.2.0", parent, "1.2.3")))

        expected = InstanceInfo(
            instance_id="a",
            orchestration_name="fulfil",
            orchestration_version="1.2.0",
            execution_id=1,
            last_event_id=1,
            status=ExecutionStatus.RUNNING,
            output=None,
            custom_status=None,
            custom_status_version=0,
            parent_instance_id="p",
            created_at_ms=NOW,
            updated_at_ms=NOW,
        )
        assert expected == self.provider.get_instance_info("a")

    def test_commit_start_parent_is_in_items(self) -> None:
        """Whoever fetches the instance learns whom it reports to."""
        parent = Parent("p", 3, 5)
        must_commit(self.provider, evolve(first_turn(), started=NewExecution("fulfil", "1.2.0", parent, "1.2.3")))
        self.provider.enqueue([raised()])

        assert parent == fetch_one(self.provider).parent

    def test_commit_start_existing_id(self) -> None:
        """An instance that exists is not started again, whatever its incarnation."""
        must_commit(self.provider, first_turn())

        assert [CommitResult.STALE] == commit(self.provider, evolve(first_turn(), incarnation=8))

    def test_commit_start_start_and_end(self) -> None:
        """A first turn may be the last as well."""
        turn = first_turn()
        events = (*turn.events, e.OrchestrationCompleted(2, NOW, "1"))
        must_commit(self.provider, evolve(turn, events=events, status=ExecutionStatus.COMPLETED, output="1"))

        assert (ExecutionStatus.COMPLETED, "1") == (info_of(self.provider).status, info_of(self.provider).output)
        assert [] == self.audit()


class Executions(Checks):
    """Continue-as-new."""

    def continued(self) -> TurnCommit:
        """Let execution 1 continue as new."""
        first = first_turn()
        last = next_turn(first, e.OrchestrationContinuedAsNew(2, NOW, "5"))
        must_commit(self.provider, first)
        must_commit(self.provider, evolve(last, status=ExecutionStatus.CONTINUED_AS_NEW, output="5"))
        return last

    def second(self) -> TurnCommit:
        """The first turn of execution 2."""
        new = NewExecution("fulfil", "2.0.0", None, "1.3.0")
        return evolve(first_turn(), execution_id=2, started=new, events=(started("a", 2),))

    def test_next_execution_becomes_current(self) -> None:
        """The instance is at the new execution, running, under its version."""
        self.continued()
        before = info_of(self.provider).status
        must_commit(self.provider, self.second())
        info = info_of(self.provider)

        assert ExecutionStatus.CONTINUED_AS_NEW == before
        assert (2, "2.0.0", ExecutionStatus.RUNNING, None) == (
            info.execution_id,
            info.orchestration_version,
            info.status,
            info.output,
        )
        assert [] == self.audit()

    def test_next_execution_histories_are_separate(self) -> None:
        """Each execution keeps its own history."""
        self.continued()
        must_commit(self.provider, self.second())
        first, second = self.provider.read_histories([HistoryRequest("a", 1), HistoryRequest("a", 2)])

        assert [started("a", 1), e.OrchestrationContinuedAsNew(2, NOW, "5")] == first
        assert [started("a", 2)] == second == events_of(self.provider)

    def test_next_execution_twice(self) -> None:
        """The same execution does not start twice."""
        self.continued()
        must_commit(self.provider, self.second())

        assert [CommitResult.STALE] == commit(self.provider, self.second())

    def test_next_execution_other_incarnation(self) -> None:
        """An execution of an earlier life of the instance does not start."""
        self.continued()

        assert [CommitResult.STALE] == commit(self.provider, evolve(self.second(), incarnation=8))


class Progress(Checks):
    """Later commits, and the last."""

    def test_progress_appends(self) -> None:
        """A commit appends its events."""
        turn = first_turn()
        must_commit(self.provider, turn)
        must_commit(self.provider, next_turn(turn, scheduled(2), scheduled(3)))

        assert [started(), scheduled(2), scheduled(3)] == events_of(self.provider)

    def test_progress_end(self) -> None:
        """A commit that ends the execution says so in the instance."""
        turn = first_turn()
        must_commit(self.provider, turn)
        self.clock.advance(5)
        must_commit(self.provider, ending(turn))
        info = info_of(self.provider)

        assert (ExecutionStatus.COMPLETED, '"out"') == (info.status, info.output)
        assert (NOW, NOW + 5) == (info.created_at_ms, info.updated_at_ms)

    def test_progress_leftovers_of_the_end(self) -> None:
        """A commit that only throws messages away changes nothing of an instance that has ended."""
        turn = first_turn()
        last = ending(turn)
        must_commit(self.provider, turn)
        must_commit(self.provider, last)
        before = info_of(self.provider)
        self.clock.advance(5)
        self.provider.enqueue([raised()])
        item = fetch_one(self.provider)
        consumed = tuple(message.id for message in item.messages)
        must_commit(self.provider, evolve(next_turn(last), lock=item.lock, consumed_messages=consumed))

        assert before == info_of(self.provider)
        assert [] == fetch(self.provider)

    def test_progress_timers_at_the_end(self) -> None:
        """A commit that ends the execution removes the timers that it names, there or not."""
        turn = first_turn(messages=(timer("a", 2, NOW + 1000),), timers=(2,))
        must_commit(self.provider, turn)
        must_commit(self.provider, evolve(ending(turn), cancelled_timers=(2, 99)))

        assert None is self.provider.next_due_ms()
        assert [] == self.audit()

    def test_progress_any_output(self) -> None:
        """An error text may hold anything: what cannot be stored is stored as something else, and refuses nothing."""
        for number, text in enumerate(["\0", "\ud800", "ü"]):
            turn = first_turn(str(number))
            must_commit(self.provider, turn)
            must_commit(self.provider, ending(turn, text))

        assert "ü" == info_of(self.provider, "2").output


class CustomStatus(Checks):
    """The custom status and its version."""

    def test_custom_status_is_set_and_cleared(self) -> None:
        """Each change grows the version by one; no change leaves status and version alone."""
        seen = []
        turn = first_turn()
        must_commit(self.provider, turn)
        changes = (CustomStatusChange("one"), None, CustomStatusChange(None), CustomStatusChange("one"))
        for change in (*changes, CustomStatusChange("two")):
            turn = next_turn(turn, scheduled(turn.events[-1].event_id + 1))
            must_commit(self.provider, evolve(turn, custom_status=change))
            seen.append((info_of(self.provider).custom_status, info_of(self.provider).custom_status_version))

        assert [("one", 1), ("one", 1), (None, 2), ("one", 3), ("two", 4)] == seen

    def test_custom_status_in_the_first_turn(self) -> None:
        """The first turn may set it as well."""
        must_commit(self.provider, evolve(first_turn(), custom_status=CustomStatusChange("hello")))

        assert ("hello", 1) == (info_of(self.provider).custom_status, info_of(self.provider).custom_status_version)


class KeyValues(Checks):
    """Live key-values."""

    def test_kv_set_replace_remove(self) -> None:
        """Values are set, replaced and removed; the others stay."""
        turn = first_turn()
        must_commit(self.provider, evolve(turn, kv={"k": KvEntry("1", 5), "gone": KvEntry("1", 5), "": KvEntry("", 5)}))
        turn = next_turn(turn, scheduled(2))
        must_commit(self.provider, evolve(turn, kv={"k": KvEntry("2", 6), "gone": None, "never": None}))

        assert {"k": KvEntry("2", 6), "": KvEntry("", 5)} == self.provider.get_kv_all_values("a")
        assert KvEntry("2", 6) == self.provider.get_kv_value("a", "k")
        assert None is self.provider.get_kv_value("a", "gone")

    def test_kv_belong_to_the_instance(self) -> None:
        """Another instance, or an unknown one, has none of them."""
        must_commit(self.provider, evolve(first_turn("a"), kv={"k": KvEntry("1", 5)}), first_turn("b"))

        assert ({}, {}, None) == (
            self.provider.get_kv_all_values("b"),
            self.provider.get_kv_all_values("c"),
            self.provider.get_kv_value("c", "k"),
        )

    def test_kv_over_executions(self) -> None:
        """[612] Values outlive the execution that set them, and are replaced and removed by later ones."""
        turn = evolve(first_turn(), kv={"stays": KvEntry("1", 5), "goes": KvEntry("1", 5), "changes": KvEntry("1", 5)})
        must_commit(self.provider, turn)
        must_commit(self.provider, evolve(ending(turn), status=ExecutionStatus.CONTINUED_AS_NEW))
        later = evolve(turn, execution_id=2, events=(started("a", 2),), kv={"goes": None, "changes": KvEntry("2", 6)})
        must_commit(self.provider, later)

        assert {"stays": KvEntry("1", 5), "changes": KvEntry("2", 6)} == self.provider.get_kv_all_values("a")

    def test_kv_any_text(self) -> None:
        """[615] Keys may have odd characters, and values may be long."""
        values = {key: KvEntry("x" * 65_536, 5) for key in ["a'b\"c", "ü %_\\", " ", "a" * 200]}
        must_commit(self.provider, evolve(first_turn(), kv=values))

        assert values == self.provider.get_kv_all_values("a")
        assert values[" "] == self.provider.get_kv_value("a", " ")
