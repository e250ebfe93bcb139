"""
The documentation keeps its word: its programs run, its links lead somewhere, its tables say what the code says.

The ``python`` blocks of a page run in order, in one namespace and a folder of their own. A block that follows as
``text output`` is what they printed since the last such block. ``python no-run`` is for what needs something that is
not there (a Postgres server, two processes); it must still be Python.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import attrs
import pytest

import duroxide

from duroxide import DuroxideError, Limits, MetricsSnapshot, Provider, RuntimeOptions, SqlProvider
from duroxide._core import limits
from duroxide.providers.management import Management, QueueDepths, SystemMetrics
from duroxide.providers.rousing import Rousing


CHECKOUT = Path(__file__).parent.parent
DOCS = CHECKOUT / "docs"
PAGES = [CHECKOUT / "README.md", *sorted(DOCS.rglob("*.md"))]
PACKAGE = Path(str(duroxide.__file__)).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))

_FENCE = re.compile(r"^```(.*)$")
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]*)\)")
_ROW = re.compile(r"^\| `([^`]+)` +\| (.*) \|$", flags=re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page."""

    kind: str
    #: Of its first line of text, from 1.
    line: int
    text: str


def name_of(page: Path) -> str:
    """Return how a test calls *page*."""
    return page.relative_to(CHECKOUT).as_posix()


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of *page*."""
    opened: tuple[str, int] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), start=1):
        fence = _FENCE.match(line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (fence[1].strip(), number + 1), []
        else:
            yield Block(*opened, "\n".join(lines) + "\n")
            opened = None
    assert opened is None, f"{name_of(page)}: the block of line {opened} is not closed"


def python_pages() -> list[Path]:
    """Return the pages that have a program."""
    return [page for page in PAGES if any(block.kind == "python" for block in blocks(page))]


@pytest.fixture
def module(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A module for one page, in an empty folder."""
    name = f"docs_page_{re.sub(r'[^a-z0-9]', '_', request.node.name.lower())}"
    made = ModuleType(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, name, made)
    yield made
    made.__dict__.clear()


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.thorough) if page.stem == "explore" else page for page in python_pages()],
    ids=name_of,
)
def test_programs_run(page: Path, module: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Every python block runs, after those before it on its page, and prints what the page says."""
    for block in blocks(page):
        if block.kind == "python":
            # At its own lines, so that a traceback points into the page.
            code = compile("\n" * (block.line - 1) + block.text, str(page), "exec")
            exec(code, module.__dict__)  # noqa: S102  # that is the test
        elif block.kind == "text output":
            assert block.text == capsys.readouterr().out, f"{name_of(page)}:{block.line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_blocks_that_do_not_run_are_python(page: Path) -> None:
    """What is marked no-run is at least Python, and every block says what it is."""
    found = list(blocks(page))
    for block in found:
        if block.kind == "python no-run":
            ast.parse(block.text, f"{page}:{block.line}")

    allowed = {"python", "python no-run", "text", "text output", "sh", "toml", "yaml", "sql"}
    assert [] == [(block.line, block.kind) for block in found if block.kind not in allowed]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of *page*."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page: Path) -> None:
    """Every relative link leads to a file, and to a heading in it."""
    broken = []
    for link in _LINK.findall(page.read_text(encoding="utf-8")):
        target, _, anchor = link.partition("#")
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(link)

    assert [] == broken


def test_every_page_can_be_found() -> None:
    """The index links to every page."""
    index = DOCS / "index.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in _LINK.findall(index.read_text(encoding="utf-8"))}

    assert set() == {page for page in PAGES if page.is_relative_to(DOCS) and page != index} - linked


@pytest.mark.parametrize("package", ["_core", "providers", "providers/sql", "_runtime"])
def test_map(package: str) -> None:
    """The map of the architecture has every file of the larger packages, once."""
    page = (DOCS / "architecture.md").read_text(encoding="utf-8")
    table = page.partition(f"By file, `{package}`:\n\n")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]

    assert sorted(path.stem for path in (PACKAGE / package).glob("[!_]*.py")) == sorted(named)


def section(page: str, heading: str) -> str:
    """Return the text under *heading* of a reference page, up to the next one of its level."""
    text = (DOCS / "reference" / page).read_text(encoding="utf-8")
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, flags=re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page} has no section {heading!r}"
    return found[1]


def rows(text: str) -> dict[str, list[str]]:
    """Return the table rows of *text*: what stands in backticks in the first column → the other columns."""
    return {name: [cell.strip() for cell in rest.split(" | ")] for name, rest in _ROW.findall(text)}


def public_members(cls: type) -> set[str]:
    """Return the public methods and properties of *cls*."""
    return {
        name
        for name, member in inspect.getmembers(cls)
        if not name.startswith("_") and (callable(member) or isinstance(member, property))
    }


class TestReference:
    def test_names(self) -> None:
        """The table of public names has exactly those that `duroxide` exports."""
        assert set(duroxide.__all__) == set(rows(section("api.md", "Names of the package")))

    @pytest.mark.parametrize("name", ["OrchestrationContext", "ActivityContext", "Client", "Registry", "Runtime"])
    def test_members(self, name: str) -> None:
        """The table of a class has exactly its public methods and properties."""
        assert public_members(getattr(duroxide, name)) == set(rows(section("api.md", name)))

    def test_members_of_provider(self) -> None:
        """The table of `SqlProvider` has what it offers to users, beyond what the storage contract asks for."""
        contract = public_members(Provider) | public_members(Management) | public_members(Rousing)
        contract -= {"initialize", "close"}

        assert public_members(SqlProvider) - contract == set(rows(section("api.md", "SqlProvider")))

    def test_contract(self) -> None:
        """The provider guide speaks of every operation of the contract."""
        guide = (DOCS / "provider-guide.md").read_text(encoding="utf-8")

        assert [] == [name for name in sorted(public_members(Provider)) if name not in guide]

    def test_options(self) -> None:
        """The table of options has every field of `RuntimeOptions`, with its default."""
        documented = {name: cells[0] for name, cells in rows(section("options.md", "Table")).items()}

        assert {field.name: default_of(field) for field in attrs.fields(RuntimeOptions)} == documented

    def test_settable_limits(self) -> None:
        """The table of settable limits has every field of `Limits`, with its default."""
        documented = {name: cells[0] for name, cells in rows(section("limits.md", "Settable limits")).items()}

        assert {field.name: default_of(field) for field in attrs.fields(Limits)} == documented

    def test_fixed_limits(self) -> None:
        """The table of fixed limits has every constant of the package, with its value."""
        documented = {name: cells[0] for name, cells in rows(section("limits.md", "Fixed limits")).items()}

        assert {name: f"{value:,}" for name, value in vars(limits).items() if name.startswith("MAX_")} == documented

    def test_exceptions(self) -> None:
        """The tree of exceptions is that of the code."""
        assert exception_tree(DuroxideError) == documented_tree(section("errors.md", "The tree"))

    def test_kinds_of_failures(self) -> None:
        """Every category and kind of failure is explained."""
        text = (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")
        known = [*duroxide.ErrorCategory, *duroxide.ErrorKind]

        assert [] == [name for name in known if f"`{name}`" not in text]

    def test_loggers(self) -> None:
        """The table of loggers has every logger of the package."""
        assert loggers() == set(rows(section("logs.md", "Loggers")))

    def test_actions(self) -> None:
        """The table of action keys has every one that the package logs."""
        assert log_actions() == set(rows(section("logs.md", "Action keys")))

    @pytest.mark.parametrize("record", [MetricsSnapshot, QueueDepths, SystemMetrics])
    def test_numbers(self, record: type) -> None:
        """The tables of what is counted have every number there is."""
        documented = rows(section("logs.md", "Counters" if record is MetricsSnapshot else "Depths and totals"))

        assert {field.name for field in attrs.fields(record)} <= set(documented)

    def test_error_messages(self) -> None:
        """Every message that the troubleshooting page explains is a message of the code."""
        page = (DOCS / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
        said = "\n".join(text for path in SOURCES for text in string_literals(path))
        quoted = re.findall(r"^### `(.*)`$", page, flags=re.MULTILINE)

        assert [] == [part for message in quoted for part in message.split("…") if part.strip() not in said]
        assert len(quoted) > 20


def default_of(field: Any) -> str:
    """Return how the default of an option is written on paper."""
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # attrs' stub calls the class a function
        return f"`{default.factory.__name__}()`"
    if isinstance(default, timedelta):
        return f"{default.total_seconds():g} s"
    if isinstance(default, Limits):
        return "`Limits()`"
    return f"{default:,}" if type(default) is int else f"`{default}`"


def exception_tree(root: type) -> dict[str, str]:
    """Return exception class → its base, for everything of the package below *root*."""
    tree = {}
    for cls in root.__subclasses__():
        home = sys.modules.get(cls.__module__)
        # Failures that come back as themselves are made at run time, and belong to no module.
        if cls.__module__.startswith("duroxide.") and getattr(home, cls.__name__, None) is cls:
            tree[cls.__name__] = root.__name__
            tree |= exception_tree(cls)
    return tree


def documented_tree(text: str) -> dict[str, str]:
    """Return the same from an indented list."""
    (listing,) = re.findall(r"^```text\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    tree, path = {}, [""]
    for line in listing.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name = line.split()[0]
        path[depth:] = [name]
        if depth:
            tree[name] = path[depth - 1]
    return tree


def loggers() -> set[str]:
    """Return the names of the package's loggers."""
    return {
        match
        for path in SOURCES
        for match in re.findall(
            r'^\w+ = logging\.getLogger\("([^"]+)"\)', path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }


def log_actions() -> set[str]:
    """Return the values of the key ``action`` of all log records."""
    return {m for path in SOURCES for m in re.findall(r'"action": "(\w+)"', path.read_text(encoding="utf-8"))}


def string_literals(path: Path) -> Iterator[str]:
    """Yield the texts in the code of *path*, f-strings piece by piece."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
