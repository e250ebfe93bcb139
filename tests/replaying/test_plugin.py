"""The pytest plugin, in test runs of its own."""

from __future__ import annotations

import json
import subprocess
import sys

from pathlib import Path
from textwrap import dedent

import pytest

from .flows import exported


pytest_plugins = ("pytester",)

SHOP = """
from duroxide import ActivityContext, Orchestration, OrchestrationContext, Registry

registry = Registry()

@registry.activity
def charge(ctx: ActivityContext, amount: int) -> str:
    return f"receipt for {amount}"

@registry.orchestration
def pay(ctx: OrchestrationContext, amount: int) -> Orchestration[str]:
    return (yield from ctx.schedule_activity(charge, amount))
"""

CHANGED = SHOP.replace("    return (yield", "    yield from ctx.schedule_timer(1)\n    return (yield")


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    """A project with an orchestration, and pytest as its author runs it."""
    pytester.makepyfile(shop=SHOP)
    pytester.makeini("[pytest]\n")
    pytester.syspathinsert(Path(__file__).parents[2])
    return pytester


#: With the plugin, also where the package is not installed, and with no more than it needs.
OPTIONS = ("-p", "duroxide_pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:hypothesispytest")


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    """Run pytest in the project."""
    return project.runpytest_inprocess(*OPTIONS, *arguments)


class TestFixtures:
    def test_runtime(self, project: pytest.Pytester) -> None:
        """A runtime on a database of its own, started, and stopped after the test; two do not see each other."""
        project.makepyfile(
            """
            from duroxide import RuntimeOptions
            from shop import pay, registry

            def test_pays(duroxide_runtime):
                runtime = duroxide_runtime(registry)
                runtime.client.start_orchestration("p", pay, 5)
                assert runtime.client.wait_for_result("p") == "receipt for 5"
                other = duroxide_runtime(registry, RuntimeOptions(worker_concurrency=1))
                assert len(other.client.list_all_instances()) == 0
                global seen
                seen = runtime

            def test_is_stopped():
                assert "stopped" in repr(seen)
            """
        )
        run(project).assert_outcomes(passed=2)

    def test_captured(self, project: pytest.Pytester) -> None:
        """What the instances of the test have done, as documents."""
        project.makepyfile(
            """
            from duroxide.testing import check_replay
            from shop import pay, registry

            def test_pays(duroxide_runtime, duroxide_captured):
                assert duroxide_captured() == []
                client = duroxide_runtime(registry).client
                client.start_orchestration("p", pay, 5)
                client.wait_for_result("p")
                (document,) = duroxide_captured()
                assert document["instance_id"] == "p"
                check_replay(document, registry)
            """
        )
        run(project).assert_outcomes(passed=1)

    def test_simulator(self, project: pytest.Pytester) -> None:
        """The simulator, closed after the test."""
        project.makepyfile(
            """
            from shop import pay, registry

            def test_pays(duroxide_simulator, duroxide_captured):
                simulator = duroxide_simulator(registry, activities={"charge": lambda ctx, amount: "fake"})
                simulator.start("p", pay, 5)
                simulator.run()
                assert simulator.result("p") == "fake"
                assert [each["status"] for each in duroxide_captured()] == ["Completed"]
            """
        )
        run(project).assert_outcomes(passed=1)

    GUARDED = """
        import time
        from duroxide import Registry

        registry = Registry()

        @registry.orchestration
        def reads(ctx):
            yield ctx.schedule_timer(0)
            return time.time()

        def ends(client):
            client.start_orchestration("r", reads)
            return type(client.wait_for_orchestration("r")).__name__

        def test_guarded({fixture}duroxide_runtime):
            assert ends(duroxide_runtime(registry).client) == "Failed"

        def test_not_guarded(duroxide_runtime):
            assert ends(duroxide_runtime(registry).client) == "Completed"
        """

    def test_guard(self, project: pytest.Pytester) -> None:
        """Orchestrations of a test that asks for the guard fail at calls to the clock."""
        project.makepyfile(self.GUARDED.format(fixture="duroxide_guard, "))
        run(project).assert_outcomes(passed=2)

    def test_guard_everywhere(self, project: pytest.Pytester) -> None:
        """The setting guards all tests."""
        project.makeini("[pytest]\nduroxide_guard = raise\n")
        project.makepyfile(self.GUARDED.format(fixture=""))
        run(project).assert_outcomes(passed=1, failed=1)

        project.makeini("[pytest]\nduroxide_guard = loudly\n")
        wrong = run(project)
        assert pytest.ExitCode.USAGE_ERROR == wrong.ret
        wrong.stderr.fnmatch_lines(['*duroxide_guard: mode is \'loudly\': use "raise" or "warn".'])

    def test_guard_of_fixtures(self, project: pytest.Pytester) -> None:
        """What runs in fixtures, before the test and after it, is guarded by the setting like the test."""
        project.makeini("[pytest]\nduroxide_guard = raise\n")
        code = """
            import pytest

            @pytest.fixture
            def ended(duroxide_runtime):
                client = duroxide_runtime(registry).client
                yield ends(client)
                client.delete_instance("r")
                assert ends(client) == "Failed"

            def test_before_and_after(ended):
                assert ended == "Failed"
            """
        project.makepyfile(dedent(self.GUARDED).format(fixture="") + dedent(code))
        run(project, "-k", "before_and_after").assert_outcomes(passed=1)


GOLDEN = """
from shop import pay, registry

def test_pays(duroxide_runtime, duroxide_captured, duroxide_golden):
    client = duroxide_runtime(registry).client
    client.start_orchestration("p", pay, 5)
    client.wait_for_result("p", timeout=10)
    duroxide_golden(duroxide_captured()[0], registry)
"""


class TestGolden:
    def test_round(self, project: pytest.Pytester) -> None:
        """Recorded once, compared from then on: changed code fails at the event where it parts from the file."""
        project.makepyfile(test_shop=GOLDEN)
        missing = run(project)
        missing.assert_outcomes(failed=1)
        missing.stdout.fnmatch_lines(["*no history was recorded for this test: run pytest --duroxide-record once*"])

        run(project, "--duroxide-record").assert_outcomes(passed=1)
        kept = project.path / "histories" / "test_shop-test_pays.json"
        before = kept.read_text(encoding="utf-8")
        assert "p" == json.loads(before)["instance_id"]
        run(project).assert_outcomes(passed=1)
        assert before == kept.read_text(encoding="utf-8")

        project.makepyfile(shop=CHANGED)
        changed = run(project)
        changed.assert_outcomes(failed=1)
        changed.stdout.fnmatch_lines(["*instance 'p', execution 1 of pay 1.0.0, event 2, at *shop.py:11 in pay*"])

    def test_same_name(self, project: pytest.Pytester) -> None:
        """Tests of the same name in two classes have files of their own; those in two files of the same name cannot."""
        test = GOLDEN[GOLDEN.index("def") :].replace("_pays(", "_pays(self, ").replace("\n", "\n    ")
        source = GOLDEN[: GOLDEN.index("def")] + f"class TestA:\n    {test}\nclass TestB:\n    {test}"
        project.makepyfile(test_shop=source)
        run(project, "--duroxide-record").assert_outcomes(passed=2)
        kept = sorted(path.name.rpartition("-")[0] for path in (project.path / "histories").iterdir())
        assert ["test_shop-TestA-test_pays", "test_shop-TestB-test_pays"] == kept
        run(project).assert_outcomes(passed=2)

        project.makeini("[pytest]\nduroxide_histories = histories\npythonpath = .\naddopts = --import-mode=importlib\n")
        for folder in ("a", "b"):
            (project.path / folder).mkdir()
            (project.path / folder / "test_pay.py").write_text(GOLDEN, encoding="utf-8")
        twice = run(project, "--duroxide-record", "a", "b")
        twice.assert_outcomes(passed=1, errors=1)
        twice.stdout.fnmatch_lines(["*a/test_pay.py::test_pays keeps its histories under the same name, *rename one*"])

    def test_nondeterminism(self, project: pytest.Pytester) -> None:
        """Code that decides something else in replay is not recorded."""
        source = SHOP.replace("schedule_activity(charge, amount)", "schedule_activity(charge, next(COUNT))")
        project.makepyfile(shop=f"import itertools\nCOUNT = itertools.count()\n{source}")
        project.makepyfile(test_shop=GOLDEN)

        run(project, "--duroxide-record").assert_outcomes(failed=1)
        assert not (project.path / "histories").exists()


class TestCollection:
    @pytest.fixture
    def histories(self, project: pytest.Pytester) -> Path:
        """A folder with two exported instances, configured to be replayed."""
        folder = project.path / "tests" / "histories"
        folder.mkdir(parents=True)
        for document in exported():
            (folder / f"{document['instance_id']}.json").write_text(json.dumps(document), encoding="utf-8")
        self.configure(project, "flows:registry")
        return folder

    def configure(self, project: pytest.Pytester, registry: str) -> None:
        project.makeini(f"[pytest]\nduroxide_histories = tests/histories\nduroxide_registry = {registry}\n")

    def code(self, project: pytest.Pytester, fn: str) -> None:
        project.makepyfile(flows=f"from tests.replaying.flows import {fn}, registry_of\nregistry = registry_of({fn})")

    def test_from_another_folder(
        self, project: pytest.Pytester, histories: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The registry comes from the folder of the settings, wherever pytest is started, as editors start it."""
        self.code(project, "pay")
        monkeypatch.setattr(sys, "path", [place for place in sys.path if Path(place) != project.path])
        monkeypatch.chdir(histories.parent)

        run(project).assert_outcomes(passed=2)

    def test_fits(self, project: pytest.Pytester, histories: Path) -> None:
        """Every file is a test, which passes when the code does what the file says."""
        self.code(project, "pay")
        result = run(project, "-v")

        result.assert_outcomes(passed=2)
        result.stdout.fnmatch_lines(["*tests/histories/ended-0.json::replay PASSED*"])

    def test_breaks(self, project: pytest.Pytester, histories: Path) -> None:
        """It fails with the divergence, and no traceback."""
        self.code(project, "another_step")
        result = run(project)

        result.assert_outcomes(failed=2)
        result.stdout.fnmatch_lines(
            [
                "*replay of ended-0.json*",
                "instance 'ended-0', execution 1 of pay 1.0.0, event 2, at *flows.py:* in another_step",
                "  expected: event 2 ActivityScheduled(name='charge', input='7', attempt=1)",
                "  got:      CreateTimer(*",
            ]
        )
        result.stdout.no_fnmatch_line("*collecting.py*")

    def test_mistakes(self, project: pytest.Pytester, histories: Path) -> None:
        """A file that is none, and a registry that is missing, fail with what to do."""
        self.code(project, "pay")
        (histories / "broken.json").write_text("{", encoding="utf-8")
        result = run(project)
        result.assert_outcomes(passed=2, failed=1)
        result.stdout.fnmatch_lines(["*broken.json is no exported instance: *"])

        self.configure(project, "")
        result = run(project)
        result.assert_outcomes(failed=3)
        result.stdout.fnmatch_lines(["there is nothing to replay against: set duroxide_registry = module:registry*"])

    def test_no_folder(self, project: pytest.Pytester, histories: Path) -> None:
        """A folder that is not there is warned of, unless something is about to be recorded in it."""
        project.makeini("[pytest]\nduroxide_histories = tests/historys\n")
        warning = (
            "*PytestConfigWarning: duroxide_histories: there is no folder *historys, so no history in it is replayed*"
        )

        run(project).stdout.fnmatch_lines([warning])
        run(project, "--duroxide-record").stdout.no_fnmatch_line(warning)

    def test_no_folder_is_an_error(self, project: pytest.Pytester) -> None:
        """Where warnings are errors, it is wrong usage, and no crash of pytest."""
        project.makeini("[pytest]\nfilterwarnings = error\nduroxide_histories = tests/historys\n")

        result = run(project)

        assert pytest.ExitCode.USAGE_ERROR == result.ret
        result.stderr.fnmatch_lines(["ERROR: duroxide_histories: there is no folder *historys*--duroxide-record."])

    def test_other_files(self, project: pytest.Pytester, histories: Path) -> None:
        """JSON files elsewhere are nobody's business."""
        self.code(project, "pay")
        (project.path / "tests" / "settings.json").write_text("{}", encoding="utf-8")

        run(project).assert_outcomes(passed=2)


class TestLoading:
    def test_is_cheap(self, project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a project that has nothing to do with orchestrations, the package is not even imported."""
        project.makepyfile(
            """
            import sys

            def test_it():
                assert "duroxide_pytest" in sys.modules
                assert not {"duroxide", "sqlalchemy", "hypothesis"} & set(sys.modules)
            """
        )
        monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
        project.runpytest_subprocess(*OPTIONS).assert_outcomes(passed=1)

    def test_is_installed(self) -> None:
        """The package registers the plugin with pytest."""
        from importlib.metadata import PackageNotFoundError, entry_points, version

        try:
            version("duroxide-python")
        except PackageNotFoundError:
            pytest.skip("duroxide-python is not installed, the tests run in the checkout")
        assert "duroxide_pytest" in [each.value for each in entry_points(group="pytest11")]

    def test_needs_no_hypothesis(self) -> None:
        """The commands, which share their package with the tests' helpers, need no test libraries."""
        code = "import sys, duroxide.cli.main; print({'hypothesis', 'pytest'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

        assert "set()" == done.stdout.strip()
