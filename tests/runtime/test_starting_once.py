"""Starting an id once, whoever tries: if_exists, and its races."""

from __future__ import annotations

import threading

from typing import Any

import pytest

from duroxide import Client, InstanceAlreadyExists, InvalidInput, Orchestration, OrchestrationContext, Registry, Start
from duroxide._core import events as e

from .stage import PATIENCE, Stage


@pytest.fixture
def echo(registry: Registry) -> Any:
    """Returns its input."""

    @registry.orchestration
    def echo(ctx: OrchestrationContext, value: Any = None) -> Orchestration[Any]:
        yield from ctx.schedule_timer(0)
        return value

    return echo


class TestIfExists:
    def test_before_while_and_after(self, stage: Stage, echo: Any) -> None:
        """[216] [638] Waiting, running or ended: an id is taken; the answer says so, or it is an error that names it."""
        client = stage.client
        assert client.start_orchestration("i", echo, 1) == Start("i", is_new=True)
        assert client.start_orchestration("i", echo, 2) == Start("i", is_new=False)
        with pytest.raises(InstanceAlreadyExists, match="instance 'i' already exists") as error:
            client.start_orchestration("i", echo, 3, if_exists="reject")
        assert error.value.instance_id == "i"
        stage.start()
        assert stage.result("i") == 1
        assert not client.start_orchestration("i", "something else", 4, version="9.0.0").is_new
        with pytest.raises(InstanceAlreadyExists):
            client.start_orchestration("i", echo, 5, if_exists="reject")

        assert stage.result("i") == 1
        assert len(stage.of_kind("i", e.OrchestrationStarted)) == 1
        assert client.get_queue_depths().orchestrator_queue == 0

    def test_after_deletion(self, stage: Stage, echo: Any) -> None:
        """[549] A deleted id is free again."""
        stage.start()
        stage.run("i", echo, 1)
        stage.client.delete_instance("i")

        assert stage.client.start_orchestration("i", echo, 2, if_exists="reject").is_new
        assert stage.result("i") == 2

    def test_unknown_policy(self, stage: Stage, echo: Any) -> None:
        """What if_exists may be is said, and nothing is started."""
        with pytest.raises(InvalidInput, match="if_exists is 'replace': use 'reject' or 'use_existing'"):
            stage.client.start_orchestration("i", echo, if_exists="replace")  # type: ignore[call-overload]
        assert stage.client.get_queue_depths().orchestrator_queue == 0


class TestRaces:
    @pytest.mark.parametrize("policy", ["reject", "use_existing"])
    def test_one_wins(self, stage: Stage, echo: Any, policy: Any) -> None:
        """[216] Of many threads and providers that start one id at once, exactly one starts it, under a live runtime."""
        stage.start()
        clients = [stage.client, Client(stage.open()), Client(stage.open())]

        def start(number: int, name: str, barrier: threading.Barrier, winners: list[int]) -> None:
            barrier.wait()
            try:
                if clients[number % 3].start_orchestration(name, echo, number, if_exists=policy).is_new:
                    winners.append(number)
            except InstanceAlreadyExists:
                pass

        for name in ("i0", "i1", "i2", "i3", "i4"):
            barrier = threading.Barrier(6, timeout=PATIENCE)
            winners: list[int] = []
            threads = [threading.Thread(target=start, args=(number, name, barrier, winners)) for number in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

            assert len(winners) == 1
            assert stage.result(name) == winners[0]

    def test_against_a_parent(self, stage: Stage, registry: Registry, echo: Any) -> None:
        """[643] A client and a parent that start one id: one of them does, and both are told."""

        @registry.orchestration
        def parent(ctx: OrchestrationContext, name: str) -> Orchestration[Any]:
            try:
                return (yield from ctx.schedule_sub_orchestration(echo, "parent's", instance_id=name))
            except Exception as error:  # noqa: BLE001  # whatever it is, it is the answer
                return str(error)

        stage.start()
        for number in range(6):
            stage.client.start_orchestration(f"p{number}", parent, f"i{number}")
            start = stage.client.start_orchestration(f"i{number}", echo, "client's")
            answer, output = stage.result(f"p{number}"), stage.result(f"i{number}")
            if start.is_new and output == "client's":
                assert "already exists" in answer
            else:
                assert (answer, output) == ("parent's", "parent's")
