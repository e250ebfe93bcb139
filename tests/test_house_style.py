"""The limits of the house style that no linter knows: what to do about a failure is docs/contributing.md, "Size"."""

from __future__ import annotations

import ast

from functools import cache
from pathlib import Path
from typing import TypeVar


TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "duroxide"
MODULES = sorted(PACKAGE.rglob("*.py"))
TEST_MODULES = sorted(TESTS.rglob("test_*.py"))
SIBLINGS = {path.stem for path in PACKAGE.iterdir()}

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


@cache
def parsed(module: Path) -> ast.Module:
    """Return the tree of *module*."""
    return ast.parse(module.read_text(encoding="utf-8"))


def nodes(module: Path, kind: type[Node]) -> list[Node]:
    """Return all nodes of *kind* in *module*."""
    return [node for node in ast.walk(parsed(module)) if isinstance(node, kind)]


def functions(module: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return all functions and methods of *module*."""
    return [*nodes(module, ast.FunctionDef), *nodes(module, ast.AsyncFunctionDef)]


def place(module: Path, line: int = 1) -> str:
    """Where to look, for whoever reads the failure."""
    return f"{module.relative_to(TESTS.parent)}:{line}"


def test_modules_are_found() -> None:
    """The tests below have something to look at."""
    assert PACKAGE / "client.py" in MODULES
    assert TESTS / "test_house_style.py" in TEST_MODULES


def test_files() -> None:
    """A file fits into one head."""
    counts = {place(module): len(module.read_text(encoding="utf-8").splitlines()) for module in MODULES}

    assert {} == {module: count for module, count in counts.items() if count > MAX_FILE_LINES}


def test_functions() -> None:
    """A function fits onto one screen."""
    found = [(place(m, f.lineno), f.name, length(f)) for m in MODULES for f in functions(m)]

    assert [] == [each for each in found if each[-1] > MAX_FUNCTION_LINES]


def test_classes() -> None:
    """A class has one job."""
    found = [(place(m, c.lineno), c.name, length(c)) for m in MODULES for c in nodes(m, ast.ClassDef)]

    assert [] == [each for each in found if each[-1] > MAX_CLASS_LINES]


def test_names_say_what_is_inside() -> None:
    """No module is named after the fact that things were left over."""
    assert [] == [place(module) for module in MODULES if module.stem.strip("_") in GRAB_BAGS]


def test_nobody_imports_the_root() -> None:
    """Only users import the package root: for us, it's a cycle."""
    froms = [place(m, n.lineno) for m in MODULES for n in nodes(m, ast.ImportFrom) if imports_root(n, m)]
    imports = [
        place(m, n.lineno) for m in MODULES for n in nodes(m, ast.Import) for a in n.names if a.name == "duroxide"
    ]

    assert [] == froms + imports


def imports_root(node: ast.ImportFrom, module: Path) -> bool:
    """Whether *node* takes a name from the package root: ``from duroxide import x``, or ``from .. import x``."""
    if node.level == 0:
        return node.module == "duroxide"
    depth = len(module.relative_to(PACKAGE).parts)
    # `from .. import errors` imports a module, not the root.
    return node.module is None and node.level == depth and not {a.name for a in node.names} <= SIBLINGS


def test_tests_say_what_they_promise() -> None:
    """Every test has a docstring, and it is the promise that the test keeps."""
    tests = [(place(m, f.lineno), f) for m in TEST_MODULES for f in functions(m) if f.name.startswith("test_")]

    assert [] == [(where, f.name) for where, f in tests if ast.get_docstring(f) is None]
