"""``python -m duroxide export`` and ``replay``: formats, choices, exit codes; and that they write nothing."""

from __future__ import annotations

import json
import subprocess
import sys

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from sqlalchemy import create_engine, make_url, text, update

from duroxide import Client, InvalidInput, ProviderError, Registry, Runtime, SqlProvider, UnreadableHistory
from duroxide._core.messages import StartOrchestration
from duroxide.cli.main import main
from duroxide.providers.sql.schema import TABLES
from duroxide.providers.sql.tables import VERSION_TABLE
from duroxide.testing import gate
from duroxide.testing.loading import load_registry

from ..conftest import execute, fresh_name
from .flows import pay, registry_of, run_some, starts_over


SAME = """
from tests.replaying.flows import pay, registry_of
registry = registry_of(pay)
def make():
    return registry
def broken():
    raise ValueError("not today")
"""
CHANGED = "from tests.replaying.flows import another_step, registry_of\nregistry = registry_of(another_step)\n"
OTHER = "from tests.replaying.flows import pay, registry_of\nregistry = registry_of(pay, version='2.0.0')\n"


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with modules of registries, which is the current one."""
    code = tmp_path / "checkout"
    code.mkdir()
    for name, source in {"same_flows": SAME, "changed_flows": CHANGED, "other_flows": OTHER}.items():
        (code / f"{name}.py").write_text(dedent(source), encoding="utf-8")
    (code / "broken_flows.py").write_text("import nothing_of_the_kind\n", encoding="utf-8")
    (code / "leaving_flows.py").write_text("raise SystemExit(0)\n", encoding="utf-8")
    monkeypatch.chdir(code)
    monkeypatch.setattr(sys, "path", [*sys.path, str(Path(__file__).parents[2])])
    yield code
    for name in ("same_flows", "changed_flows", "other_flows"):
        sys.modules.pop(name, None)


@pytest.fixture
def filled(store_url: str) -> str:
    """The URL of a database with two running instances and two that have ended."""
    with SqlProvider(store_url) as provider:
        run_some(provider, running=2, ended=2)
    return store_url


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[str], str]:
    """Return the output since the last time, by line, and what was said besides."""
    out, err = capsys.readouterr()
    return out.splitlines(), err.strip()


def rows(url: str) -> dict[str, list[Any]]:
    """Return everything that is in the database at *url*."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg") if "postgres" in url else url)
    try:
        with engine.connect() as connection:
            tables = ("instances", "executions", "history", "orchestrator_queue", "worker_queue", "instance_locks")
            found = {each: list(connection.execute(text(f"SELECT * FROM duroxide_{each}"))) for each in tables}  # noqa: S608
            found["version"] = list(connection.execute(text(f"SELECT * FROM {VERSION_TABLE}")))  # noqa: S608
            return {name: sorted(map(str, table)) for name, table in found.items()}
    finally:
        engine.dispose()


class TestReplay:
    def test_fits(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """All that runs is replayed; if nothing would break the exit code is 0."""
        assert 0 == main(["replay", "--url", filled, "same_flows:registry"])
        assert ([], "2 instances replayed, 0 would break") == lines(capsys)

        assert 0 == main(["replay", "--url", filled, "same_flows:make", "--finished", "1"])
        assert ([], "3 instances replayed, 0 would break") == lines(capsys)

    def test_breaks(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The first that would break is reported, with instance, event, line, expected and got; the exit code is 1."""
        assert 1 == main(["replay", "--url", filled, "changed_flows:registry"])

        out, err = lines(capsys)
        assert out[0].startswith("instance 'running-1', execution 1 of pay 1.0.0, event 2, at ")
        assert "flows.py:" in out[0]
        assert "  expected: event 2 ActivityScheduled(name='charge', input='9', attempt=1)" == out[1]
        assert out[2].startswith("  got:      CreateTimer(")
        assert "1 instances replayed, 1 would break (stopped at the first; --all goes on)" == err

    def test_all(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With --all everything that would break is reported."""
        assert 1 == main(["replay", "--url", filled, "changed_flows:registry", "--all", "--finished", "5"])

        out, err = lines(capsys)
        found = [line.split("'")[1] for line in out if line.startswith("instance")]
        assert ["running-1", "running-0", "ended-1", "ended-0"] == found
        assert "4 instances replayed, 4 would break" == err

    def test_instances(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Instances can be named, running or not."""
        assert 1 == main(["replay", "--url", filled, "changed_flows:registry", "ended-0", "running-0", "--all"])
        assert "2 instances replayed, 2 would break" == lines(capsys)[1]

        assert 2 == main(["replay", "--url", filled, "changed_flows:registry", "nobody"])
        assert "duroxide replay: instance 'nobody' not found" in lines(capsys)[1]

    def test_unregistered(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What is not registered in its version would be stuck, unless one says that others serve it."""
        assert 1 == main(["replay", "--url", filled, "other_flows:registry"])
        assert "  got:      it is registered as 2.0.0 only" == lines(capsys)[0][2]

        assert 0 == main(["replay", "--url", filled, "other_flows:registry", "--skip-unregistered"])
        assert ([], "0 instances replayed, 2 left out, 0 would break") == lines(capsys)

    def test_between_two_executions(self, sqlite_url: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """An instance that continues as new is running."""
        with SqlProvider(sqlite_url) as provider:
            run_some(provider, starts_over, running=1, ended=0)
            with Runtime(provider, registry_of(starts_over)) as runtime:
                runtime.client.raise_event("running-0", "confirmed")
                runtime.client.wait_for_status_change("running-0", 1)
            assert 2 == Client(provider).get_instance_info("running-0").execution_id

        assert 1 == main(["replay", "--url", sqlite_url, "changed_flows:registry"])
        assert lines(capsys)[0][0].startswith("instance 'running-0', execution 2 of pay 1.0.0, event 2, at ")

    def test_unreadable(self, sqlite_url: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A history that a newer release has written to is reported: this checkout could not go on with it."""
        with SqlProvider(sqlite_url) as provider:
            run_some(provider)
        engine = create_engine(sqlite_url)
        with engine.begin() as connection:
            connection.execute(text("UPDATE duroxide_history SET event_type = 'Newer' WHERE event_id = 3"))
        engine.dispose()

        assert 1 == main(["replay", "--url", sqlite_url, "same_flows:registry"])
        out, _ = lines(capsys)
        assert "instance 'running-0', execution 1 of pay 1.0.0, event 0, at the store" == out[0]
        assert "unknown event type 'Newer'" in out[2]

    def test_many(
        self,
        filled: str,
        checkout: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """However many there are, a bounded number is read at once; all are replayed."""
        monkeypatch.setattr(gate, "EVENTS_AT_ONCE", 10)  # two running ones, or a single one that has ended
        sizes = []
        read = SqlProvider.read_histories
        monkeypatch.setattr(
            SqlProvider, "read_histories", lambda self, requests: sizes.append(len(requests)) or read(self, requests)
        )

        assert 0 == main(["replay", "--url", filled, "same_flows:registry", "--finished", "2"])
        assert "4 instances replayed, 0 would break" == lines(capsys)[1]
        assert [2, 1, 1] == sizes

    def test_guard(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With --guard raise, calls to the clock and the like are reported, too."""
        source = dedent(
            """
            import time
            from tests.replaying.flows import pay, registry_of
            def stamps(ctx, amount: int):
                time.time()
                return (yield from pay(ctx, amount))
            registry = registry_of(stamps)
            """
        )
        (checkout / "stamping_flows.py").write_text(source, encoding="utf-8")

        assert 0 == main(["replay", "--url", filled, "stamping_flows:registry"])
        lines(capsys)
        assert 1 == main(["replay", "--url", filled, "stamping_flows:registry", "--guard", "raise"])
        assert "calls time.time at " in "".join(lines(capsys)[0])

    def test_writes_nothing(self, filled: str, checkout: Path) -> None:
        """Neither command changes a row."""
        before = rows(filled)
        main(["replay", "--url", filled, "changed_flows:registry", "--all", "--finished", "9"])
        main(["export", "--url", filled, "-o", str(checkout / "out")])

        assert before == rows(filled)

    @pytest.mark.parametrize(
        ("registry", "said"),
        [
            ("same_flows", "'same_flows' names no registry: write module:registry"),
            (":registry", "':registry' names no registry"),
            ("./same_flows.py:registry", "names no registry: write module:registry, the module as it is imported"),
            ("same_flows.py:registry", "names no registry: write module:registry, the module as it is imported"),
            ("nothing_there:registry", "nothing_there:registry: there is no such module. Run this where"),
            ("broken_flows:registry", "importing it raised ModuleNotFoundError: No module named 'nothing_of_the_kind'"),
            ("leaving_flows:registry", "importing it raised SystemExit: 0"),
            ("same_flows:regsitry", "the module has no 'regsitry'; its registries are registry."),
            ("same_flows:pay", "calling it raised TypeError"),
            ("same_flows:broken", "calling it raised ValueError: not today"),
            ("json:__name__", "json:__name__ is 'json': it must be a duroxide.Registry"),
        ],
    )
    def test_wrong_registry(
        self, registry: str, said: str, sqlite_url: str, checkout: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A registry that is none is wrong usage, with the reason."""
        assert 2 == main(["replay", "--url", sqlite_url, registry])
        assert said in lines(capsys)[1]

    def test_wrong_database(
        self, sqlite_url: str, tmp_path: Path, checkout: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A database that is not there, or has no tables, is wrong usage, and is not created."""
        assert 2 == main(["replay", "--url", sqlite_url, "same_flows:registry"])
        said = lines(capsys)[1]
        assert "unable to open database file" in said
        assert "if it is only to be read, that it is there" in said
        assert not (tmp_path / "duroxide.db").exists()

        (tmp_path / "duroxide.db").touch()
        assert 2 == main(["replay", "--url", sqlite_url, "same_flows:registry"])
        assert "there are no tables of duroxide that can be read in sqlite:///file" in lines(capsys)[1]
        assert 0 == (tmp_path / "duroxide.db").stat().st_size

        assert 2 == main(["replay", "--url", "sqlite://", "same_flows:registry"])
        assert "a new in-memory database is empty" in lines(capsys)[1]
        assert 2 == main(["replay", "--url", "mysql://x", "same_flows:registry"])
        assert "'mysql' is not supported" in lines(capsys)[1]

    def test_wrong_arguments(self, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Neither database nor folder, or both, is wrong usage."""
        for arguments in (["same_flows:registry"], ["--url", "x", "--folder", "y", "same_flows:registry"]):
            with pytest.raises(SystemExit) as caught:
                main(["replay", *arguments])
            assert 2 == caught.value.code

    def test_as_a_program(self, filled: str, checkout: Path) -> None:
        """As people run it: the registry comes from the current folder."""
        command = [sys.executable, "-m", "duroxide", "replay", "--url", filled, "changed_flows:registry"]
        environment = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": ""}
        done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)

        assert 1 == done.returncode, done.stderr
        assert done.stdout.startswith("instance 'running-1'")


class TestExport:
    def test_lines(self, filled: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a folder, an instance is a line of JSON."""
        assert 0 == main(["export", "--url", filled, "ended-0", "running-0"])

        out, err = lines(capsys)
        assert ["ended-0", "running-0"] == [json.loads(line)["instance_id"] for line in out]
        assert "2 instances exported" == err

    def test_folder(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """With a folder, it is a file, named after the instance; the folder is replayed like a database."""
        assert 0 == main(["export", "--url", filled, "-o", "some/histories"])

        files = sorted(path.name for path in (checkout / "some" / "histories").iterdir())
        assert ["ended-0.json", "ended-1.json", "running-0.json", "running-1.json"] == files
        assert 0 == main(["replay", "--folder", "some/histories", "same_flows:registry"])
        assert ["4 executions replayed, 0 diverged"] == lines(capsys)[0]
        assert 1 == main(["replay", "--folder", "some/histories", "changed_flows:registry"])
        assert "4 executions replayed, 4 diverged" == lines(capsys)[0][0]
        assert 2 == main(["replay", "--folder", "elsewhere", "same_flows:registry"])
        assert "'elsewhere' is no folder" in lines(capsys)[1]
        assert 2 == main(["replay", "--folder", "some/histories", "same_flows:registry", "ended-0"])
        assert "a folder is replayed as a whole" in lines(capsys)[1]
        (checkout / "empty").mkdir()
        assert 2 == main(["replay", "--folder", "empty", "same_flows:registry"])
        assert "'empty' has no exported instance in it" in lines(capsys)[1]

    def test_folder_as_a_whole(self, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """What chooses instances of a database is refused for a folder, and does not seem to have been heeded."""
        assert 0 == main(["export", "--url", filled, "-o", "histories"])
        lines(capsys)
        for option in ("--finished", "--schema"):
            assert 2 == main(["replay", "--folder", "histories", "same_flows:registry", option, "2"])
            assert f"--folder and {option}: a folder is replayed as a whole" in lines(capsys)[1]

    @pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": "duroxide-history", "format_version": 99}'])
    def test_file_of_something_else(
        self, content: str, filled: str, checkout: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A file in the folder that is no exported instance is named."""
        assert 0 == main(["export", "--url", filled, "-o", "histories"])
        lines(capsys)
        (checkout / "histories" / "package.json").write_text(content, encoding="utf-8")

        assert 2 == main(["replay", "--folder", "histories", "same_flows:registry"])
        assert "histories/package.json is no exported instance" in lines(capsys)[1]

    @pytest.mark.parametrize(
        "options", [["--status", "Running"], ["--name", "x"], ["--prefix", "ended"], ["--limit", "1"]]
    )
    def test_named_and_chosen(self, options: list[str], filled: str, capsys: pytest.CaptureFixture[str]) -> None:
        """Who names instances cannot choose among them besides; the options were not looked at."""
        assert 2 == main(["export", "--url", filled, "ended-0", "ended-1", *options])

        out, err = lines(capsys)
        assert [] == out
        assert f"instances (ended-0, ended-1) and {options[0]}: name instances, or let options choose" in err

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--status", "Completed"], ["ended-1", "ended-0"]),
            (["--status", "Completed", "--limit", "1"], ["ended-1"]),
            (["--prefix", "running"], ["running-1", "running-0"]),
            (["--name", "other"], []),
            (["--status", "Running", "--status", "Completed", "--limit", "3"], ["running-1", "running-0", "ended-1"]),
        ],
    )
    def test_filters(
        self, arguments: list[str], expected: list[str], filled: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What is exported can be chosen; the newest come first."""
        assert 0 == main(["export", "--url", filled, *arguments])
        assert expected == [json.loads(line)["instance_id"] for line in lines(capsys)[0]]

    def test_not_found(self, filled: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An instance that is not there is told, and the others are exported."""
        assert 1 == main(["export", "--url", filled, "ended-0", "nobody", "ended-1"])

        out, err = lines(capsys)
        assert ["ended-0", "ended-1"] == [json.loads(line)["instance_id"] for line in out]
        assert "duroxide export: instance 'nobody' not found" in err
        assert err.endswith("2 instances exported, 1 not")

    @pytest.mark.parametrize("ids", [[], ["running-1", "running-0", "ended-1", "ended-0"]], ids=["all", "listed"])
    def test_unreadable(self, ids: list[str], filled: str, capsys: pytest.CaptureFixture[str]) -> None:
        """An instance that cannot be read is told, and the others are exported."""
        with SqlProvider(filled) as provider:
            with provider._engine.begin() as connection:
                connection.execute(
                    update(TABLES["history"])
                    .where(TABLES["history"].c.instance_id == "ended-1")
                    .values(event_type="New")
                )
            with pytest.raises(UnreadableHistory, match="of instance 'ended-1'"):
                list(Client(provider).export_instances())
        assert 1 == main(["export", "--url", filled, *ids])

        out, err = lines(capsys)
        assert ["running-1", "running-0", "ended-0"] == [json.loads(line)["instance_id"] for line in out]
        assert "(New) of instance 'ended-1'" in err
        assert err.endswith("3 instances exported, 1 not")


class TestReadOnly:
    def test_refuses_to_write(self, filled: str, caplog: pytest.LogCaptureFixture) -> None:
        """A provider that only reads reads, and refuses what would change something, once and in these words."""
        with SqlProvider(filled, read_only=True) as provider, caplog.at_level("INFO", "duroxide"):
            assert provider.get_instance_info("running-0") is not None
            assert [] == list(provider.audit())
            with pytest.raises(ProviderError, match="this provider only reads") as caught:
                provider.start_instances([StartOrchestration("new", "pay", "1")])
            with pytest.raises(ProviderError, match="this provider only reads"):
                provider.delete_instance("ended-0", force=False)
        assert not caught.value.retryable
        assert [] == caplog.messages

    def test_hands_nothing_over(self, store_url: str) -> None:
        """Nor does a client that only reads write by way of a runtime of its process, which is idle."""
        with (
            Runtime(store_url, registry_of(pay)),
            SqlProvider(store_url, read_only=True) as provider,
            pytest.raises(ProviderError, match="this provider only reads"),
        ):
            Client(provider).start_orchestration("new", "pay", 1)

    def test_runtime(self, filled: str) -> None:
        """A runtime, which writes, refuses a provider that does not."""
        with (
            SqlProvider(filled, read_only=True) as provider,
            pytest.raises(InvalidInput, match="only reads, and a runtime writes"),
        ):
            Runtime(provider, registry_of(pay))

    def test_engine(self, sqlite_url: str) -> None:
        """An engine of the caller's own cannot be made to read only."""
        engine = create_engine(sqlite_url)

        with pytest.raises(InvalidInput, match="give its URL"):
            SqlProvider(engine, read_only=True)

    def test_role(self, postgres_database_url: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A role that may only SELECT will do; one that may not even that is told so."""
        url, role = make_url(postgres_database_url), fresh_name()
        execute(url, f"CREATE ROLE {role} LOGIN PASSWORD 'secret'")
        readers = url.set(username=role, password="secret").render_as_string(hide_password=False)  # noqa: S106
        try:
            with SqlProvider(postgres_database_url) as provider:
                run_some(provider)
            assert 2 == main(["replay", "--url", readers, "same_flows:registry"])
            assert "there are no tables of duroxide that can be read in postgresql" in lines(capsys)[1]

            execute(url, f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
            assert 0 == main(["replay", "--url", readers, "same_flows:registry", "--finished", "1"])
            assert ([], "2 instances replayed, 0 would break") == lines(capsys)
            assert 0 == main(["export", "--url", readers, "ended-0"])
        finally:
            execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")

    def test_beside_a_runtime(self, store_url: str, checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The gate reads what a live runtime has written, and the runtime goes on undisturbed."""
        with Runtime(store_url, registry_of(pay)) as runtime:
            runtime.client.start_orchestration("live", "pay", 1)
            runtime.client.wait_for_status_change("live")

            assert 0 == main(["replay", "--url", store_url, "same_flows:registry"])
            assert ([], "1 instances replayed, 0 would break") == lines(capsys)
            runtime.client.raise_event("live", "confirmed")
            assert "receipt for 1" == runtime.client.wait_for_result("live")


def test_registries_are_loaded_from_here(checkout: Path) -> None:
    """The commands' registry is the object itself."""
    assert isinstance(load_registry("same_flows:registry"), Registry)
    assert load_registry("same_flows:registry") is load_registry("same_flows:make")
