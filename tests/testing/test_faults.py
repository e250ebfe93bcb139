"""Each fault does what it says, where and when the plan says, and the same in every run."""

from __future__ import annotations

import os
import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path

import pytest

import duroxide

from duroxide import Client, InvalidInput, ProviderError, SqlProvider
from duroxide._clock import monotonic
from duroxide._core.commit import CommitResult, TurnCommit
from duroxide.providers.pipelined import Pipelined, SentTurns
from duroxide.testing.conformance.vocabulary import LOCK_MS, first_turn
from duroxide.testing.faults import (
    KILLED,
    RUNTIME_OPERATIONS,
    CallTwice,
    Delay,
    Fail,
    Fault,
    FaultPlan,
    FaultyProvider,
    Kill,
    LoseConnection,
    ProviderCall,
    Refuse,
    Rule,
)

from ..patience import eventually


@pytest.fixture
def provider() -> Iterator[SqlProvider]:
    """An empty store in memory."""
    with SqlProvider.in_memory() as provider:
        yield provider


def faulty(provider: SqlProvider, fault: Fault, operation: str, nth: int = 1) -> FaultyProvider:
    """Let *fault* happen at one call of *operation*."""
    return FaultyProvider(provider, FaultPlan((Rule(fault, on=operation, nth=nth),)))


def waiting(provider: SqlProvider) -> int:
    """Return how many messages wait."""
    return provider.get_queue_depths().orchestrator_queue


def start(provider: object, instance_id: str = "a") -> bool:
    """Start an instance; return whether it is new."""
    return Client(provider).start_orchestration(instance_id, "nobody runs this").is_new  # type: ignore[arg-type]


class TestFaults:
    def test_fail(self, provider: SqlProvider) -> None:
        """Nothing is done, and the error names operation and call; the next call works."""
        broken = faulty(provider, Fail(), "start_instances")
        with pytest.raises(ProviderError, match=r"start_instances: .*a fault on purpose, call 1") as caught:
            start(broken)

        assert caught.value.retryable
        assert waiting(provider) == 0
        assert start(broken)

    def test_fail_for_good(self, provider: SqlProvider) -> None:
        """A failure may be one that no other try gets over."""
        with pytest.raises(ProviderError) as caught:
            start(faulty(provider, Fail(retryable=False), "start_instances"))

        assert not caught.value.retryable

    @pytest.mark.parametrize("after_commit", [False, True])
    def test_lose_connection(self, provider: SqlProvider, after_commit: bool) -> None:
        """Before the commit nothing was done, after it everything; the error is the same."""
        broken = faulty(provider, LoseConnection(after_commit=after_commit), "start_instances")
        with pytest.raises(ProviderError, match="may or may not have happened") as caught:
            start(broken)

        assert caught.value.retryable
        assert waiting(provider) == after_commit

    def test_delay(self, provider: SqlProvider) -> None:
        """The call is made, later."""
        before = monotonic()

        assert start(faulty(provider, Delay(0.05), "start_instances"))
        assert monotonic() - before >= 0.05

    def test_repeat(self, provider: SqlProvider) -> None:
        """The call is made twice, and the second answer is the one that is heard."""
        assert not start(faulty(provider, CallTwice(), "start_instances"))
        assert waiting(provider) == 1

        Client(faulty(provider, CallTwice(), "enqueue")).raise_event("a", "x")
        assert waiting(provider) == 3

    @pytest.mark.parametrize(("handed_over", "times"), [(False, 2), (True, 1)])
    def test_repeat_commits(self, handed_over: bool, times: int) -> None:
        """Commits are made twice, but not those of a client's message: told of a refusal, it would send it again."""
        commits = [
            TurnCommit(instance_id="a", execution_id=1, incarnation=1, last_event_id=1),
            TurnCommit(instance_id="b", execution_id=1, incarnation=1, last_event_id=1, handed_over=handed_over),
        ]
        made: list[object] = []
        CallTwice().around(ProviderCall("commit_turns", 1, (commits,), {}, made.append))

        assert made == [commits] * times

    def test_refuse(self, provider: SqlProvider) -> None:
        """Each commit of the call is stale, and the store is not asked."""
        broken = faulty(provider, Refuse(), "commit_turns")

        assert [result.value for result in broken.commit_turns([object()] * 2, lock_ms=1)] == ["stale"] * 2
        assert not broken.commit_turns([], lock_ms=1)

    @pytest.mark.parametrize("after_commit", [False, True])
    def test_kill(self, tmp_path: Path, after_commit: bool) -> None:
        """The process is gone before the call, or when it was done; nothing that it had planned for its end happens."""
        url = f"sqlite:///{tmp_path / 'duroxide.db'}"
        program = f"""
import atexit, sys
from duroxide import Client, SqlProvider
from duroxide.testing.faults import FaultPlan, FaultyProvider, Kill, Rule
atexit.register(print, "at the end", flush=True)
plan = FaultPlan((Rule(Kill(after_commit={after_commit}), on="start_instances", nth=2),))
client = Client(FaultyProvider(SqlProvider({url!r}), plan))
try:
    for instance_id in ("a", "b", "c"):
        client.start_orchestration(instance_id, "nobody runs this")
finally:
    print("finally", flush=True)
"""
        with SqlProvider(url) as provider:
            environment = {**os.environ, "PYTHONPATH": str(Path(str(duroxide.__file__)).parents[1])}
            done = subprocess.run(
                [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False
            )

            assert (done.returncode, done.stdout, done.stderr) == (KILLED, "", "")
            assert waiting(provider) == 1 + after_commit


class TestPlans:
    def test_without_a_plan(self, provider: SqlProvider) -> None:
        """Everything works, and is counted."""
        wrapped = FaultyProvider(provider)

        assert start(wrapped)
        assert not start(wrapped)
        assert wrapped.calls["start_instances"] == 2
        assert wrapped.faults == {}

    def test_numbered_calls(self, provider: SqlProvider) -> None:
        """Calls are counted for each operation by itself, whatever else is called."""
        rule = Rule(Fail(), on=("start_instances", "get_instance_info"), nth=(2, 3))
        wrapped = FaultyProvider(provider, FaultPlan((rule,)))

        assert start(wrapped, "a")
        assert wrapped.get_instance_info("a") is None
        for _ in range(2):
            with pytest.raises(ProviderError):
                start(wrapped, "b")
        assert start(wrapped, "b")
        assert wrapped.faults == {"Fail": 2}

    def test_another_plan(self, provider: SqlProvider) -> None:
        """A plan that is followed later counts calls from then on."""
        wrapped = FaultyProvider(provider)
        start(wrapped, "a")
        wrapped.follow(FaultPlan((Rule(Fail(), on="start_instances", nth=2),)))
        start(wrapped, "b")
        with pytest.raises(ProviderError, match="call 2"):
            start(wrapped, "c")

        assert wrapped.calls["start_instances"] == 3

    def test_by_argument(self, provider: SqlProvider) -> None:
        """A rule may look at the call."""

        def is_for_b(call: ProviderCall) -> bool:
            return any(message.instance_id == "b" for message in call.arguments[0])

        wrapped = FaultyProvider(provider, FaultPlan((Rule(Fail(), on="start_instances", only_if=is_for_b),)))

        assert start(wrapped, "a")
        with pytest.raises(ProviderError):
            start(wrapped, "b")

    def test_the_first_rule_counts(self) -> None:
        """Where several rules apply, the first does."""
        plan = FaultPlan((Rule(CallTwice(), nth=2), Rule(Fail())))

        assert [plan.fault_at(call("commit_turns", number)) for number in (1, 2, 3)] == [Fail(), CallTwice(), Fail()]

    def test_operations_of_a_client_are_spared(self) -> None:
        """Where a rule names no operation, it means those of a runtime."""
        plan = FaultPlan((Rule(Fail()),))

        assert plan.fault_at(call("fetch_activities", 1)) == Fail()
        assert plan.fault_at(call("start_instances", 1)) is None

    def test_chance(self) -> None:
        """Chance follows from the seed, call by call, and keeps to the probability."""
        faults = (Fail(), CallTwice())
        drawn = [draw(FaultPlan.at_random(*faults, probability=0.1, seed=seed)) for seed in ("a", "a", "b")]

        assert drawn[0] == drawn[1] != drawn[2]
        for fault in faults:
            assert 0.04 < drawn[0].count(fault) / len(drawn[0]) < 0.06

    @pytest.mark.parametrize("count", range(1, 8))
    def test_always(self, count: int) -> None:
        """With a probability of 1, each call meets one of the faults."""
        faults = [Delay(number) for number in range(count)]

        assert set(draw(FaultPlan.at_random(*faults, probability=1))) == set(faults)

    def test_told(self, provider: SqlProvider) -> None:
        """Who asks is told of each fault before it happens."""
        told: list[tuple[str, str, int]] = []
        plan = FaultPlan((Rule(LoseConnection(after_commit=True), on="start_instances"),))

        def tell(fault: Fault, call: ProviderCall) -> None:
            told.append((type(fault).__name__, call.operation, waiting(provider)))

        with pytest.raises(ProviderError):
            start(FaultyProvider(provider, plan, on_fault=tell))

        assert told == [("LoseConnection", "start_instances", 0)]
        assert waiting(provider) == 1

    def test_outage(self, provider: SqlProvider) -> None:
        """Between `break_down` and `repair` nothing gets through, whatever the plan says."""
        wrapped = FaultyProvider(provider)
        wrapped.break_down()
        with pytest.raises(ProviderError):
            start(wrapped)
        assert wrapped.now_ms() > 0
        assert wrapped.wait_for_faults(1, timeout=1)
        wrapped.repair()

        assert start(wrapped)
        assert not wrapped.wait_for_faults(2, timeout=0)


def call(operation: str, number: int) -> ProviderCall:
    """Return a call that is made of nothing."""
    return ProviderCall(operation, number, (), {}, lambda: None)


def draw(plan: FaultPlan) -> list[Fault | None]:
    """Return what goes wrong in many calls."""
    return [plan.fault_at(call(name, number)) for name in sorted(RUNTIME_OPERATIONS) for number in range(1, 1001)]


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"on": "commit_turn"}, r"Rule.on names \['commit_turn'\]: give operations of a provider: ack_activities,"),
            ({"on": ()}, r"Rule.on names \[\]"),
            ({"nth": 0}, r"Rule.nth is \[0\]: calls are counted from 1"),
            ({"nth": ()}, r"Rule.nth is \[\]"),
            ({"nth": "1"}, r"Rule.nth is \['1'\]: calls are counted from 1"),
            ({"only_if": True}, r"Rule.only_if is True: give a function of a ProviderCall"),
            ({"probability": 1.5}, r"Rule.probability is 1.5: give a number from 0 \(never\) to 1 \(always\)"),
        ],
    )
    def test_rules(self, options: dict[str, object], reason: str) -> None:
        """A rule that could not be meant is an error that says what is wrong, and what is right."""
        with pytest.raises(InvalidInput, match=reason):
            Rule(Fail(), **options)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("rules", "reason"),
        [
            ([Fail()], r"FaultPlan.rules has Fail\(retryable=True\): give a Rule"),
            (Rule(Fail()), r"FaultPlan.rules is Rule\(.*\): give a list of Rules, also if it is one"),
        ],
    )
    def test_plans(self, rules: object, reason: str) -> None:
        """A plan is a list of rules."""
        with pytest.raises(InvalidInput, match=reason):
            FaultPlan(rules)  # type: ignore[arg-type]

    def test_providers(self) -> None:
        """What has no plan, or no provider, is refused at once, not by the calls of a runtime."""
        with pytest.raises(InvalidInput, match=r"'sqlite://' is no provider"):
            FaultyProvider("sqlite://")  # type: ignore[arg-type]
        with SqlProvider.in_memory() as provider:
            with pytest.raises(InvalidInput, match=r"the plan is .*: give a FaultPlan"):
                FaultyProvider(provider, [Rule(Fail())])  # type: ignore[arg-type]
            with pytest.raises(InvalidInput, match=r"the plan is None: give a FaultPlan"):
                FaultyProvider(provider).follow(None)  # type: ignore[arg-type]

    def test_no_fault(self) -> None:
        """A class is no fault."""
        with pytest.raises(InvalidInput, match=r"give a fault, such as Fail\(\)"):
            Rule(Fail)  # type: ignore[arg-type]

    def test_refusals(self) -> None:
        """Only commits can be refused."""
        with pytest.raises(InvalidInput, match="say on='commit_turns'"):
            Rule(Refuse())

    def test_chance_without_faults(self) -> None:
        """There must be something to choose from."""
        with pytest.raises(InvalidInput, match="no faults to choose from"):
            FaultPlan.at_random(probability=0.5)

    def test_probability(self) -> None:
        """The probability of all faults together is one, too."""
        with pytest.raises(InvalidInput, match="probability is -1"):
            FaultPlan.at_random(Kill(), probability=-1)

    def test_duration(self) -> None:
        """A delay is a duration."""
        with pytest.raises(InvalidInput, match=r"Delay\.seconds is -1"):
            Delay(-1)


class TestSentTurns:
    """Commits that are sent before their answer is collected: for a plan, calls of ``commit_turns``."""

    @pytest.fixture
    def server(self, postgres_url: str, postgres_schema: str) -> Iterator[SqlProvider]:
        """A provider that sends commits ahead."""
        with SqlProvider(postgres_url, schema=postgres_schema) as provider:
            yield provider

    def send(self, provider: FaultyProvider) -> SentTurns:
        """Send the first turn of an instance."""
        assert isinstance(provider, Pipelined)
        return provider.send_turns([first_turn()], lock_ms=LOCK_MS)

    def is_written(self, provider: SqlProvider) -> bool:
        """Whether the turn is in the store."""
        return provider.get_instance_info("a") is not None

    def test_only_where_the_provider_does(self, provider: SqlProvider) -> None:
        """What is wrapped around a provider that does not send commits ahead does not either."""
        assert not isinstance(FaultyProvider(provider), Pipelined)

    def test_no_fault(self, server: SqlProvider) -> None:
        """A call that meets no fault is counted, and goes through."""
        wrapped = FaultyProvider(server)

        assert [CommitResult.COMMITTED] == list(self.send(wrapped).results())
        assert 1 == wrapped.calls["commit_turns"]

    @pytest.mark.parametrize("fault", [Fail(), LoseConnection()])
    def test_before_the_commit(self, server: SqlProvider, fault: Fault) -> None:
        """Nothing is sent, and whoever collects is told; until then, no fault has happened."""
        broken = faulty(server, fault, "commit_turns")
        sent = self.send(broken)
        assert 0 == broken.faults.total()
        with pytest.raises(ProviderError, match=r"commit_turns: .*on purpose, call 1"):
            sent.results()

        assert 1 == broken.faults.total()
        assert not self.is_written(server)

    def test_after_the_commit(self, server: SqlProvider) -> None:
        """The commit is under way, and only its answer is lost."""
        sent = self.send(faulty(server, LoseConnection(after_commit=True), "commit_turns"))
        eventually(lambda: self.is_written(server), "it was not sent")
        with pytest.raises(ProviderError, match="may or may not have happened"):
            sent.results()

    def test_refused(self, server: SqlProvider) -> None:
        """Another runtime was quicker: nothing is written."""
        assert [CommitResult.STALE] == list(self.send(faulty(server, Refuse(), "commit_turns")).results())
        assert not self.is_written(server)

    def test_twice(self, server: SqlProvider) -> None:
        """The second answer of two is the one that is heard."""
        assert [CommitResult.STALE] == list(self.send(faulty(server, CallTwice(), "commit_turns")).results())
        assert self.is_written(server)
