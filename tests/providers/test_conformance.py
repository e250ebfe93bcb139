"""SqlProvider keeps the contract: the shipped suite on an SQLite file, on SQLite in memory, and on Postgres."""

from __future__ import annotations

import ast
import shutil

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sqlalchemy import delete, update

from duroxide._clock import Clock
from duroxide.errors import InvalidInput
from duroxide.providers.contract import Provider
from duroxide.providers.sql import SqlProvider, sqlite
from duroxide.providers.sql.schema import TABLES, history, orchestrator_queue
from duroxide.providers.sql.statements import Bulk, in_text_order, sqlite_bulk
from duroxide.testing import conformance
from duroxide.testing.conformance import GROUPS, Checks, HeldClock, ProviderConformance, run_conformance
from duroxide.testing.conformance.pipelining import Pipelining


@pytest.fixture(scope="module")
def empty_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables, and nothing in them."""
    path = tmp_path_factory.mktemp("conformance") / "empty.db"
    with SqlProvider(f"sqlite:///{path}"):
        return path


class SqlConformance(ProviderConformance):
    """What the three stores have in common."""

    url = "sqlite://"
    schema: str | None = None

    def make_provider(self, clock: Clock) -> SqlProvider:
        self.opened: list[SqlProvider] = []
        return self.open(clock)

    def make_another(self) -> Provider:
        assert self.provider
        return self.open(self.clock)

    def open(self, clock: Clock) -> SqlProvider:
        """Return an initialized provider."""
        provider = SqlProvider(self.url, schema=self.schema, clock=clock)
        provider.initialize()
        self.opened.append(provider)
        return provider

    def close(self) -> None:
        for provider in getattr(self, "opened", ()):
            provider.close()

    def damage_messages(self) -> None:
        with self.opened[0]._engine.begin() as connection:
            connection = connection.execution_options(schema_translate_map={None: self.schema})
            connection.execute(update(orchestrator_queue).values(data="{"))

    def damage_histories(self) -> None:
        with self.opened[0]._engine.begin() as connection:
            connection = connection.execution_options(schema_translate_map={None: self.schema})
            connection.execute(update(history).values(data="{"))


class TestSqliteInMemory(SqlConformance):
    """One connection, no other process."""

    def make_another(self) -> Provider:
        return self.provider


class TestSqliteWithoutNumbers(TestSqliteInMemory):
    """As on Pythons that warn of numbered parameters, 3.12.0 to 3.12.3."""

    @pytest.fixture(autouse=True)
    def place(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let no statement have any."""
        monkeypatch.setattr(sqlite, "NUMBERED", False)

    def test_no_numbers(self) -> None:
        """Values are given as often as the text has places, none of which has a number."""
        bulk = Bulk("a text, b bigint", "UPDATE {history} SET a = :b WHERE a = :a AND b = :b {rows}")

        assert "UPDATE h SET a = ? WHERE a = ? AND b = ? " == sqlite_bulk(bulk, {"history": "h"}, numbered=False)
        assert [(1, "x", 1), (2, "y", 2)] == in_text_order(bulk, [("x", 1), ("y", 2)])


class TestSqliteFile(SqlConformance):
    """A file, which is a copy of one that was migrated once."""

    @pytest.fixture(autouse=True)
    def place(self, empty_file: Path, tmp_path: Path) -> None:
        """Let the check have a file of its own."""
        shutil.copy(empty_file, tmp_path / "store.db")
        self.url = f"sqlite:///{tmp_path / 'store.db'}"


class TestPostgres(SqlConformance):
    """A schema that was migrated once, and is emptied after each check."""

    @pytest.fixture(autouse=True)
    def place(self, postgres_url: str, migrated_schema: str) -> None:
        """Let the check have the schema."""
        self.url, self.schema = postgres_url, migrated_schema

    def close(self) -> None:
        if hasattr(self, "opened"):
            with self.opened[0]._engine.begin() as connection:
                connection = connection.execution_options(schema_translate_map={None: self.schema})
                for table in TABLES.values():
                    connection.execute(delete(table))
        super().close()


class TestSuite:
    def test_imports_no_test_framework(self) -> None:
        """The suite can be used without pytest and Hypothesis."""
        files = Path(conformance.__file__).parent.glob("*.py")
        nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
        imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
        imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}

        assert set() == {name for name in imported if name.split(".")[0] in {"pytest", "_pytest", "hypothesis"}}

    def test_no_check_hides_another(self) -> None:
        """No two groups give a method the same name: one of them would never run."""
        names = Counter(name for group in GROUPS for name in vars(group) if not name.startswith("__"))
        shared = set(vars(Checks))

        assert [] == [name for name, count in names.items() if count > 1 or name in shared]

    def test_without_a_framework(self) -> None:
        """run_conformance runs every check, and says which it had to skip."""

        def make(clock: Clock) -> SqlProvider:
            provider = SqlProvider.in_memory(clock=clock)
            provider.initialize()
            return provider

        report = run_conformance(make)

        assert () == report.failures
        skipped = {"test_unreadable_is_reported", "test_unreadable_history", "test_replayable_unreadable"}
        skipped |= {name for name in vars(Pipelining) if name.startswith("test_")}  # there is no server
        assert skipped == {name for name, _ in report.skipped}
        assert len(report.passed) + len(skipped) == sum(
            name.startswith("test_") for group in GROUPS for name in vars(group)
        )

    def test_unknown_check(self) -> None:
        """A check that does not exist is refused by name."""
        with pytest.raises(LookupError, match="'test_nothing'"):
            run_conformance(lambda clock: SqlProvider.in_memory(clock=clock), checks=["test_nothing"])

    @pytest.mark.parametrize(
        ("arguments", "reason"),
        [
            ({"suite": 5}, "suite is 5: give a function that takes the clock"),
            ({"suite": SqlProvider, "checks": "test_ack"}, r"checks is 'test_ack': .* e.g. \['test_ack'\]"),
            ({"suite": SqlProvider, "checks": 5}, "checks is 5: use a collection of names of checks"),
        ],
    )
    def test_refused(self, arguments: Any, reason: str) -> None:
        """What makes no providers, and what is no collection of names, is refused before anything runs."""
        with pytest.raises(InvalidInput, match=reason):
            run_conformance(**arguments)

    def test_clock(self) -> None:
        """The clock of a check stands still until it is moved."""
        clock = HeldClock(5)
        clock.advance(3)

        assert 8 == clock.now_ms()
