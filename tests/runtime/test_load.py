"""Much of everything at once: nothing is lost, nothing is mixed up."""

from __future__ import annotations

from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

from .stage import Stage


class TestLoad:
    def test_parallel(self, stage: Stage, registry: Registry) -> None:
        """[628] [629] Tens of instances at once, each with a fan-out of five large payloads: all succeed."""

        @registry.activity
        def grow(ctx: ActivityContext, text: str) -> str:
            return text + text[:1]

        @registry.orchestration
        def work(ctx: OrchestrationContext, text: str) -> Orchestration[str]:
            texts = yield from ctx.join(*(ctx.schedule_activity(grow, text) for _ in range(5)))
            assert len(set(texts)) == 1
            return texts[0]

        stage.start()
        texts = {f"i{number}": chr(65 + number) * 30_000 for number in range(24)}
        for instance_id, text in texts.items():
            stage.client.start_orchestration(instance_id, work, text)

        for instance_id, text in texts.items():
            assert stage.result(instance_id) == text + text[:1]

    def test_sequence(self, stage: Stage, registry: Registry) -> None:
        """[219] [626] Six hundred activities one after the other: each once, in an unbroken history."""

        @registry.activity
        def add(ctx: ActivityContext, number: int) -> int:
            return number + 1

        @registry.orchestration
        def count(ctx: OrchestrationContext) -> Orchestration[int]:
            number = 0
            for _ in range(600 if stage.has_short_cuts else 60):
                number = yield from ctx.schedule_activity(add, number)
            return number

        stage.start()
        total = stage.run("count", count)

        assert total == (600 if stage.has_short_cuts else 60)
        assert [event.event_id for event in stage.history("count")] == list(range(1, 2 * total + 3))
