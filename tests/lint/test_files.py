"""What is read, how files find each other, and what comments silence."""

from __future__ import annotations

import os
import sys

from pathlib import Path

import pytest

from duroxide.errors import InvalidInput
from duroxide.lint import Finding, lint


ROOT = Path(__file__).parent.parent.parent

FLOW = """\
from duroxide import OrchestrationContext
{imports}

def fulfil(ctx: OrchestrationContext, order):
    yield from ctx.schedule_timer({call})
"""
CLOCK = "import time\ndef now():\n    return time.time()\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def write(folder: Path, **files: str) -> None:
    """Write modules; two underscores stand for a slash, but for ``____init__``."""
    for name, text in files.items():
        package, init, _ = name.partition("____init__")
        path = (
            folder / package.replace("__", os.sep) / "__init__.py"
            if init
            else folder / f"{name.replace('__', os.sep)}.py"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def places(findings: list[Finding]) -> list[tuple[str, int]]:
    return [(finding.path, finding.line) for finding in findings]


class TestFollowing:
    @pytest.mark.parametrize(
        ("imports", "call"),
        [
            ("from .clock import now", "now()"),
            ("from . import clock", "clock.now()"),
            ("from shop.clock import now as jetzt", "jetzt()"),
            ("import shop.clock", "shop.clock.now()"),
            ("import shop.clock as c", "c.now()"),
            ("from shop import public", "public()"),
            ("from .clock import *", "now()"),
        ],
    )
    def test_imports(self, project: Path, imports: str, call: str) -> None:
        """However a function is imported, the call is followed into its file, although only one file is named."""
        write(project, shop__clock=CLOCK, shop__flows=FLOW.format(imports=imports, call=call))
        (project / "shop" / "__init__.py").write_text("from .clock import now as public\n", encoding="utf-8")

        (finding,) = lint(["shop/flows.py"])

        assert ("shop/clock.py", 3, 12, "DX101") == (finding.path, finding.line, finding.column, finding.code)
        assert ("fulfil", "now", "time.time") == finding.chain

    @pytest.mark.parametrize("imports", ["from .others import *\nfrom .clock import *", "from . import *"])
    def test_several_star_imports(self, project: Path, imports: str) -> None:
        """Of modules that are imported whole, the name means what the one of them has that has it, also through a package."""
        write(project, shop__clock=CLOCK, shop__others="def one():\n    return 1\n")
        write(project, shop____init__="from .others import *\nfrom .clock import *\n")
        write(project, shop__flows=FLOW.format(imports=imports, call="now()"))

        assert [("shop/clock.py", 3)] == places(lint(["shop/flows.py"]))

    def test_everything_of_the_library(self, project: Path) -> None:
        """The library's names are known after ``import *``, whatever else is imported so."""
        flow = (
            "def fulfil(ctx: OrchestrationContext):\n    ctx.schedule_timer(1)\n    yield from ctx.schedule_timer(1)\n"
        )
        write(project, flows=f"from typing import *\nfrom duroxide import *\n{flow}")

        assert ["DX203"] == [finding.code for finding in lint(["flows.py"])]

    @pytest.mark.parametrize(
        ("context", "names", "needs"),
        [
            ("Context = OrchestrationContext", "Names = set[str]", (3, 11)),
            ("Context: TypeAlias = OrchestrationContext", "Names: TypeAlias = 'set[str]'", (3, 11)),
            ("type Context = OrchestrationContext", "type Names = set[str]", (3, 12)),
        ],
        ids=["plain", "TypeAlias", "type"],
    )
    def test_type_aliases(self, project: Path, context: str, names: str, needs: tuple[int, int]) -> None:
        """A name that stands for a type, in this file or another, is that type in annotations."""
        if sys.version_info < needs:
            pytest.skip("this Python cannot read it")
        write(
            project,
            shop__types=f"from typing import TypeAlias\nfrom duroxide import OrchestrationContext\n{context}\n{names}\n",
            shop__flows="from .types import Context, Names\n"
            "def fulfil(flow: Context, names: Names):\n"
            "    flow.schedule_timer(1)\n"
            "    for name in names:\n"
            "        yield from flow.schedule_activity(name)\n",
            shop__none="A = B\nB = 'A'\ndef fulfil(flow: A) -> B:\n    yield flow.x\n",
        )

        found = [(finding.path, finding.line, finding.code) for finding in lint(["shop"])]
        assert [("shop/flows.py", 3, "DX203"), ("shop/flows.py", 4, "DX111")] == found

    def test_what_is_only_imported_is_not_searched(self, project: Path) -> None:
        """Orchestrations of files that nobody named are not reported, unless they are called."""
        write(project, a=FLOW.format(imports="import b", call="b.ONE"), b="ONE = 1\n" + FLOW)
        write(project, b=CLOCK + "ONE = 1\n" + FLOW.format(imports="", call="now()"))

        assert [] == lint(["a.py"])
        assert [("b.py", 3)] == places(lint(["a.py", "b.py"]))

    def test_modules_of_the_same_name(self, project: Path) -> None:
        """In two folders of scripts, each script means the module beside it."""
        flow = FLOW.format(imports="from clock import now", call="now()")
        write(project, one__flow=flow, one__clock=CLOCK, two__flow=flow, two__clock="def now():\n    return 1\n")

        assert [("one/clock.py", 3)] == places(lint(["two", "one"]))
        assert [("one/clock.py", 3)] == places(lint(["one", "two"]))

    def test_the_library_beside_the_code(self, project: Path) -> None:
        """The library is known by its names, also in a folder where its source lies among what is looked at."""
        source = "class OrchestrationContext:\n    def schedule_timer(self, delay): ...\n"
        write(
            project,
            x="",
            src__duroxide____init__="from ._context import OrchestrationContext",
            src__duroxide___context=source,
        )
        write(project, src__flow=FLOW.format(imports="import time", call="ctx.schedule_timer(time.time()).x"))

        for targets in (["x.py", "src"], ["src"], ["src/flow.py"]):
            assert ["DX101", "DX214"] == sorted(finding.code for finding in lint(targets))

    def test_circular_imports(self, project: Path) -> None:
        """Names that only refer to each other mean nothing, and end nothing."""
        write(project, a="from b import x\ny = x\n" + FLOW.format(imports="", call="x()"), b="from a import y\nx = y\n")

        assert [] == lint(["a.py", "b.py"])

    def test_recursion(self, project: Path) -> None:
        """Functions that call each other are visited once."""
        call = "even(order)"
        even_and_odd = (
            "import time\ndef even(n):\n    return odd(n - 1)\ndef odd(n):\n    return time.time() or even(n)\n"
        )
        write(project, a=even_and_odd + FLOW.format(imports="", call=call))

        assert [("fulfil", "even", "odd", "time.time")] == [finding.chain for finding in lint(["a.py"])]

    def test_what_is_not_called(self, project: Path) -> None:
        """Functions that no orchestration calls may do what they like."""
        write(project, a=CLOCK + FLOW.format(imports="", call="1"))

        assert [] == lint(["a.py"])


class TestTargets:
    def test_module(self, project: Path) -> None:
        """A dotted name is found without importing anything, its parents included."""
        write(project, shop____init__="raise AssertionError('imported')\n", shop__clock=CLOCK)
        write(
            project, shop__flows="raise AssertionError\n" + FLOW.format(imports="from .clock import now", call="now()")
        )

        assert [("shop/clock.py", 3)] == places(lint(["shop.flows"]))
        assert [("shop/clock.py", 3)] == places(lint(["shop"]))
        assert "shop" not in sys.modules

    def test_folder(self, project: Path) -> None:
        """A folder stands for all Python files below it, hidden folders left out; a file counts once."""
        flow = FLOW.format(imports="import time", call="time.time()")
        write(project, src__a=flow, src__deep__b=flow, src__c="x = 1", __hidden="")
        write(project / "src" / ".venv", d=flow)

        assert [("src/a.py", 5), ("src/deep/b.py", 5)] == places(lint(["src", "src/a.py"]))

    @pytest.mark.parametrize("name", ["nowhere", "nowhere.py", "json.nowhere", "no/where", "a b", "", "sys", "."])
    def test_unknown(self, project: Path, name: str) -> None:
        """What is neither a path nor a module is refused by its name. The current folder is a path."""
        if name == ".":
            assert [] == lint([name])
        else:
            with pytest.raises(InvalidInput, match="neither a file, nor a folder, nor a Python module"):
                lint([name])

    @pytest.mark.parametrize("content", [b"def f(:\n", b"\xff\xfe", b"x = 1\x00", b"# coding: nonsense\n", b"x = '''"])
    def test_unreadable(self, project: Path, content: bytes) -> None:
        """A file that is no Python is a finding, and the others are checked."""
        (project / "bad.py").write_bytes(content)
        write(project, good=FLOW.format(imports="import time", call="time.time()"))

        assert [("bad.py", "DX001"), ("good.py", "DX101")] == [(f.path, f.code) for f in lint(["."])]

    def test_notebook(self, project: Path) -> None:
        """A notebook is not read, and that is said: its JSON may well be an expression of Python."""
        (project / "flows.ipynb").write_text('{"cells": [], "nbformat": 4}', encoding="utf-8")
        (finding,) = lint(["flows.ipynb"])

        assert "DX001" == finding.code
        assert "it is a notebook (jupyter nbconvert --to script" in finding.message

    def test_links(self, project: Path) -> None:
        """A link that leads round is not followed, and one that leads nowhere is a finding."""
        write(project, src__a=FLOW.format(imports="import time", call="time.time()"))
        (project / "src" / "round").symlink_to(project / "src", target_is_directory=True)
        (project / "src" / "b.py").symlink_to(project / "nowhere.py")

        assert [("src/a.py", "DX101"), ("src/b.py", "DX001")] == [(f.path, f.code) for f in lint(["src"])]

    def test_what_python_warns_of(self, project: Path) -> None:
        """Code that Python only warns of is read."""
        write(project, a="x = '\\d'\n" + FLOW.format(imports="import time", call="time.time()"))

        assert [("a.py", 6)] == places(lint(["a.py"]))

    def test_empty(self, project: Path) -> None:
        """An empty file has no mistakes."""
        write(project, empty="")

        assert [] == lint(["empty.py"])

    def test_examples(self) -> None:
        """Our own examples keep the rules."""
        assert [] == lint([str(ROOT / "examples")])


class TestSuppression:
    @pytest.mark.parametrize(
        ("comment", "is_silent"),
        [
            ("# duroxide: ignore", True),
            ("# duroxide: ignore[DX101]", True),
            ("# duroxide: ignore[DX105, DX101]  # the clock is mocked", True),
            ("#duroxide:ignore", True),
            ("# noqa  # duroxide: ignore[DX101]", True),
            ("# duroxide: ignore[DX105]", False),
            ("# duroxide: ignore[]", False),
            ("# duroxide: ignored", False),
            ("# ignore", False),
            ("; '# duroxide: ignore'", False),
        ],
    )
    def test_comment(self, project: Path, comment: str, is_silent: bool) -> None:
        """A comment silences its line, for all codes or for those that it names."""
        write(project, a=FLOW.format(imports="import time", call="time.time()").rstrip() + f"  {comment}\n")

        assert is_silent is (lint(["a.py"]) == [])

    def test_statement_of_several_lines(self, project: Path) -> None:
        """The comment may stand where the call ends."""
        flow = FLOW.format(imports="import time", call="\n        time.strftime(\n'%H'\n)  # duroxide: ignore\n    ")
        write(project, a=flow)

        assert [] == lint(["a.py"])
