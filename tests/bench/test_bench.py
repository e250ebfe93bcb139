"""Every scenario of ``python -m duroxide.bench`` runs, and says what it found in the documented form."""

from __future__ import annotations

import json

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from attrs import asdict

from duroxide import Runtime
from duroxide.bench.__main__ import main
from duroxide.bench.children import Run, ScenarioFailed, run_here, run_in_child
from duroxide.bench.measuring import percentile
from duroxide.bench.places import Place, fresh_place
from duroxide.bench.scenario import Bench, Options, Scenario, Sizes
from duroxide.bench.scenarios import BY_NAME, SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_runs(scenario: Scenario, sqlite_url: str, request: pytest.FixtureRequest) -> None:
    """Each scenario, made tiny, finds figures that are numbers."""
    url = request.getfixturevalue("postgres_url") if scenario.needs_postgres else sqlite_url
    with fresh_place(url) as place:
        task = {"name": scenario.name, "place": asdict(place), "sizes": scenario.tiny, "options": {}}
        run = run_here(task)

    assert run.figures
    assert all(isinstance(value, int | float) for value in run.figures.values())
    assert run.wall_s > 0


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenario_is_described(scenario: Scenario) -> None:
    """--list has a sentence for each scenario, and tiny sizes are sizes that the scenario has."""
    assert scenario.summary.endswith(".")
    assert all(set(scenario.tiny) == set(variant) for variant in scenario.variants)


def test_json(tmp_path: Path) -> None:
    """The JSON has the settings, and for each scenario its sizes, every run and the spread of each figure."""
    file = tmp_path / "found.json"

    code = main(
        [
            *("--url", f"sqlite:///{tmp_path / 'bench.db'}", "--json", str(file)),
            *("--only", "chain", "--tiny", "--runs", "2", "--size", "steps=3", "--option", "batch_size=16"),
        ]
    )

    found = json.loads(file.read_text(encoding="utf-8"))
    (result,) = found["results"]
    assert 0 == code
    assert {"date", "python", "platform", "cpus", "duroxide", "database", "synchronous"} <= set(found["settings"])
    assert {"batch_size": 16} == found["settings"]["options"]
    assert ("chain", {"steps": 3}) == (result["scenario"], result["sizes"])
    assert 2 == len(result["runs"])
    assert {"figures", "wall_s", "cpu_s", "peak_mb"} == set(result["runs"][0])
    assert {"min", "median", "max"} == set(result["summary"]["steps_per_s"])


def test_leaves_nothing(tmp_path: Path) -> None:
    """The databases that scenarios made are gone afterwards, and the one that was named was not touched."""
    main(["--url", f"sqlite:///{tmp_path / 'bench.db'}", "--only", "no_activities", "--tiny"])

    assert [] == list(tmp_path.iterdir())


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    """--list names every scenario, and measures nothing."""
    main(["--list"])

    assert [each.name for each in SCENARIOS] == [line.split()[0] for line in capsys.readouterr().out.splitlines()]


def test_percentile() -> None:
    """A percentile is one of the values."""
    values = [5.0, 1.0, 4.0, 2.0, 3.0]

    assert [3.0, 5.0, 1.0] == [percentile(values, percent) for percent in (50, 99, 0)]


def test_failing_scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario that fails says so and why, the others are measured all the same, and the exit code is 1."""
    url, file = f"sqlite:///{tmp_path / 'bench.db'}", tmp_path / "found.json"

    def only_one_works(scenario: Scenario, place: Place, sizes: Sizes, options: Options, *, timeout: float) -> Run:
        wrong = {"batch_size": 0} if scenario.name == "chain" else {}
        return run_in_child(scenario, place, sizes, {**options, **wrong}, timeout=timeout)

    monkeypatch.setattr("duroxide.bench.__main__.run_in_child", only_one_works)
    code = main(["--url", url, "--json", str(file), "--tiny", "--only", "chain", "--only", "no_activities"])

    out, err = capsys.readouterr()
    assert 1 == code
    assert "chain steps=4: failed" in out
    assert "batch_size is 0" in err
    assert ["no_activities"] == [each["scenario"] for each in json.loads(file.read_text(encoding="utf-8"))["results"]]


def test_interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C ends the measuring; what was found so far is shown and kept."""
    url, file = f"sqlite:///{tmp_path / 'bench.db'}", tmp_path / "found.json"

    def interrupted(scenario: Scenario, *arguments: Any, **options: Any) -> Run:
        if scenario.name == "idle_latency":
            raise KeyboardInterrupt
        return Run({"steps_per_s": 1.0}, 1.0, 1.0, 1.0)

    monkeypatch.setattr("duroxide.bench.__main__.run_in_child", interrupted)
    code = main(["--url", url, "--json", str(file), "--tiny", "--only", "chain", "--only", "idle_latency"])

    assert 130 == code
    assert "| chain steps=4 | steps_per_s | 1 |" in capsys.readouterr().out
    assert ["chain"] == [each["scenario"] for each in json.loads(file.read_text(encoding="utf-8"))["results"]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--url", "bench.db"], "'bench.db' is not a database URL"),
        (["--url", "sqlite://"], "'sqlite://' cannot be measured"),
        (["--size", "stpes=3"], "--size stpes: there is none of this name. There are steps."),
        (["--option", "batchsize=3"], "--option batchsize: there is none of this name."),
        (["--option", "batch_size=0"], "RuntimeOptions.batch_size is 0"),
        (["--option", "poll_interval=nan"], "RuntimeOptions.poll_interval is nan"),
        (["--json", "no/such/folder/found.json"], "there is no such folder."),
        (["--json", "."], "--json .: it is a folder."),
    ],
)
def test_wrong_usage(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot work is refused before anything is measured, in a sentence."""
    monkeypatch.chdir(tmp_path)

    assert 2 == main(["--only", "chain", *arguments])

    out, err = capsys.readouterr()
    assert reason in err
    assert "" == out


@pytest.mark.parametrize("size", ["steps=0", "steps=-1", "steps=1.5", "steps=", "steps", "before_ms=-1"])
def test_wrong_size(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A scenario of nothing, or of a fraction, is refused before anything is measured."""
    with pytest.raises(SystemExit) as caught:
        main(["--size", size])

    assert 2 == caught.value.code
    assert "argument --size" in capsys.readouterr().err


def test_unwritable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that cannot be written is told in a sentence, after what was found."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("duroxide.bench.__main__.write_json", full)
    code = main(
        [
            *("--url", f"sqlite:///{tmp_path / 'bench.db'}", "--json", str(tmp_path / "found.json")),
            *("--only", "no_activities", "--tiny"),
        ]
    )

    out, err = capsys.readouterr()
    assert 2 == code
    assert "| no_activities" in out
    assert "--json: [Errno 28] No space left on device" in err


def test_options_of_an_idle_runtime(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is set with --option is what the idle runtime is measured with."""
    asked = []

    class Noted(Runtime):
        def __init__(self, provider: Any, registry: Any, options: Any) -> None:
            asked.append(options.poll_interval)
            super().__init__(provider, registry, options)

    monkeypatch.setattr("duroxide.bench.standing.Runtime", Noted)
    idle = BY_NAME["idle_cost"]
    with fresh_place(sqlite_url) as place:
        idle.run(Bench(place, idle.tiny, {"poll_interval": 7}))

    assert [timedelta(seconds=7)] == asked


def test_ceiling_of_the_threads_that_there_are(sqlite_url: str) -> None:
    """The ceiling of the stress test is that of the runtime's threads, also where --option gives it others than --size."""
    stress = BY_NAME["stress"]
    sizes = {"in_flight": 2, "activities": 2, "threads": 1, "milliseconds": 0}
    with fresh_place(sqlite_url) as place:
        figures = stress.run(Bench(place, sizes, {"worker_concurrency": 4}))

    assert figures["activities_per_s"] / 400 == pytest.approx(figures["ceiling_share"])


def test_timeout(sqlite_url: str) -> None:
    """A run that is not done in time is given up."""
    chain = BY_NAME["chain"]

    with fresh_place(sqlite_url) as place, pytest.raises(ScenarioFailed, match="not done within"):
        run_in_child(chain, place, chain.tiny, {}, timeout=0.001)


def test_quick() -> None:
    """--quick takes each scenario once, with sizes that it has."""
    for scenario in SCENARIOS:
        assert scenario.quick is None or set(scenario.quick) == set(scenario.variants[0])


def test_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """At the end there is a table with a line for each scenario: figures, latencies, CPU and memory."""
    main(["--url", f"sqlite:///{tmp_path / 'bench.db'}", "--tiny", "--only", "chain", "--only", "idle_latency"])

    head, _, *lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert "| scenario | figure | median | min | max | p50 ms | p95 ms | p99 ms | CPU s | peak MB |" == head
    assert ["chain steps=4", "idle_latency times=2 gap_ms=1"] == [line.split("|")[1].strip() for line in lines]
