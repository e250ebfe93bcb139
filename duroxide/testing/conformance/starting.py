"""Starting an id once, whoever tries: `start_instances`."""

from __future__ import annotations

from functools import partial

from attrs import evolve

from ..._core.messages import StartOrchestration
from ...errors import InstanceAlreadyExists
from ...providers.contract import Provider
from .checks import Checks, at_once, raises
from .populations import ended
from .vocabulary import fetch, fetch_one, first_turn, must_commit, raised, start


def starting(instance_id: str = "a", value: str = "null") -> StartOrchestration:
    """A start message with the input *value*."""
    return StartOrchestration(instance_id, "fulfil", value)


class Starting(Checks):
    """An id is started by one."""

    def test_start_free(self) -> None:
        """A free id is started: its message is there, and no instance yet."""
        assert [True] == list(self.provider.start_instances([starting()]))
        assert None is self.provider.get_instance_info("a")
        assert [starting()] == [item.message for item in fetch_one(self.provider).messages]

    def test_start_nothing(self) -> None:
        """Starting nothing is allowed."""
        assert [] == list(self.provider.start_instances([]))

    def test_start_waiting(self) -> None:
        """[638] An id whose start message waits is taken: nothing is written."""
        self.provider.enqueue([start("b")])
        answers = [list(self.provider.start_instances([starting(i)])) for i in ("a", "a", "b")]

        assert [[True], [False], [False]] == answers
        assert [1, 1] == [len(item.messages) for item in fetch(self.provider)]

    def test_start_being_started(self) -> None:
        """An id whose start message somebody is working on is taken."""
        self.provider.enqueue([start()])
        fetch_one(self.provider)

        assert [False] == list(self.provider.start_instances([starting()]))

    def test_start_existing(self) -> None:
        """[638] An id of an instance that runs or has ended is taken: nothing is written."""
        must_commit(self.provider, first_turn("runs"))
        ended(self.provider, "has ended")

        assert [False, False] == list(self.provider.start_instances([starting("runs"), starting("has ended")]))
        assert [] == fetch(self.provider)

    def test_start_twice_in_a_batch(self) -> None:
        """Of two in one batch for one id, the first starts it; others are not held up by it."""
        messages = [starting(value="1"), starting(value="2"), starting("b")]

        assert [True, False, True] == list(self.provider.start_instances(messages))
        inputs = {item.lock.instance_id: [queued.message for queued in item.messages] for item in fetch(self.provider)}
        assert {"a": [starting(value="1")], "b": [starting("b")]} == inputs

    def test_start_must_be_new(self) -> None:
        """When all must be new, one that is taken is an error that names it, and nothing at all is written."""
        must_commit(self.provider, first_turn("taken"))

        with raises(InstanceAlreadyExists, match="'taken'"):
            self.provider.start_instances([starting("a"), starting("taken"), starting("z")], must_be_new=True)
        assert [] == fetch(self.provider)
        assert [True] == list(self.provider.start_instances([starting("a")], must_be_new=True))

    def test_start_other_messages(self) -> None:
        """A message of another kind that waits takes no id."""
        self.provider.enqueue([raised()])

        assert [True] == list(self.provider.start_instances([starting()]))

    def test_start_continue_as_new(self) -> None:
        """An instance between two executions exists: its id is taken."""
        must_commit(self.provider, evolve(first_turn(), messages=(start("a", 2),)))

        assert [False] == list(self.provider.start_instances([starting()]))

    def test_start_at_once(self) -> None:
        """[216] Of several that start one id at the same time, one succeeds."""
        providers = [self.provider, *(self.make_another() for _ in range(3))]
        for number in range(5):
            answers: list[bool] = []
            at_once(*(partial(_start, provider, f"i{number}", answers) for provider in providers))

            assert [False, False, False, True] == sorted(answers)
        assert [1] * 5 == [len(item.messages) for item in fetch(self.provider)]


def _start(provider: Provider, instance_id: str, answers: list[bool]) -> None:
    answers.extend(provider.start_instances([starting(instance_id)]))
