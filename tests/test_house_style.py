"""The limits of the house style that no linter knows: what to do about a failure is docs/contributing.md, "Size"."""

from __future__ import annotations

import ast

from pathlib import Path
from typing import TypeVar

import pytest


TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "duroxide"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEST_MODULES = sorted(path for path in TESTS.rglob("test_*.py"))

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 50  # without the docstring
MAX_CLASS_LINES = 350
GRAB_BAGS = {"base", "common", "helpers", "misc", "types", "util", "utils"}

Node = TypeVar("Node", bound=ast.AST)
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def lines(node: ast.stmt) -> int:
    """Lines of *node*."""
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def length(node: Definition) -> int:
    """Lines of *node*, not counting its docstring."""
    has_docstring = ast.get_docstring(node, clean=False) is not None
    return lines(node) - (lines(node.body[0]) if has_docstring else 0)


def nodes(module: Path, kind: type[Node]) -> list[Node]:
    """Return all nodes of *kind* in *module*."""
    return [node for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))) if isinstance(node, kind)]


def functions(module: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return all functions and methods of *module*."""
    return [*nodes(module, ast.FunctionDef), *nodes(module, ast.AsyncFunctionDef)]


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
class TestModules:
    def test_file(self, module: Path) -> None:
        """A file fits into one head."""
        assert len(module.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES

    def test_functions(self, module: Path) -> None:
        """A function fits onto one screen."""
        too_long = [f for f in functions(module) if length(f) > MAX_FUNCTION_LINES]

        assert [] == [f"{f.name}: {length(f)} lines" for f in too_long]

    def test_classes(self, module: Path) -> None:
        """A class has one job."""
        too_long = [c for c in nodes(module, ast.ClassDef) if length(c) > MAX_CLASS_LINES]

        assert [] == [f"{c.name}: {length(c)} lines" for c in too_long]

    def test_name_says_what_is_inside(self, module: Path) -> None:
        """No module is named after the fact that things were left over."""
        assert module.stem.strip("_") not in GRAB_BAGS

    def test_does_not_import_the_root(self, module: Path) -> None:
        """Only users import the package root: for us, it's a cycle."""
        froms = [n.lineno for n in nodes(module, ast.ImportFrom) if imports_root(n, module)]
        imports = [n.lineno for n in nodes(module, ast.Import) for a in n.names if a.name == "duroxide"]

        assert [] == froms + imports


def imports_root(node: ast.ImportFrom, module: Path) -> bool:
    """Whether *node* takes a name from the package root: ``from duroxide import x``, or ``from .. import x``."""
    if node.level == 0:
        return node.module == "duroxide"
    depth = len(module.relative_to(PACKAGE).parts)
    siblings = {path.stem for path in PACKAGE.iterdir()}  # `from .. import errors` imports a module, not the root
    return node.module is None and node.level == depth and not {a.name for a in node.names} <= siblings


@pytest.mark.parametrize("module", TEST_MODULES, ids=lambda path: path.relative_to(TESTS).as_posix())
def test_tests_say_what_they_promise(module: Path) -> None:
    """Every test has a docstring, and it is the promise that the test keeps."""
    tests = [f for f in functions(module) if f.name.startswith("test_")]

    assert [] == [f.name for f in tests if ast.get_docstring(f) is None]
