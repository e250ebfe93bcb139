"""
The acceptance checklist: which test covers which line of section 18 of the behaviour specification.

A test says in its docstring which lines it covers: ``[253]``, ``[253, 254]`` or ``[253-256]``. What a test without
numbers covers, and where we differ on purpose, is written down here. The table is tests/checklist.md:

    python tests/checklist.py [semantics.md]

writes it anew; given the specification, it also takes the lines' texts from there.
"""

from __future__ import annotations

import ast
import re
import sys

from collections.abc import Iterator, Mapping
from pathlib import Path


TESTS = Path(__file__).parent
TABLE = TESTS / "checklist.md"

#: Lines that a test covers whose docstring does not say so: number → file::test.
COVERED_BY: Mapping[int, tuple[str, ...]] = {}

#: Where this project decides differently on purpose, and why.
DIFFERENT: Mapping[int, str] = {}

#: Lines that nothing covers or explains yet. It must become empty.
NOT_YET: frozenset[int] = frozenset()

_HEAD = """\
# Acceptance checklist

Every line of section 18 of the behaviour specification, and the tests that cover it, or why we differ on purpose.
Written by `python tests/checklist.py` from the numbers in the tests' docstrings; `tests/test_checklist.py` keeps it so.

| Line | What is expected | Covered by |
| ---: | --- | --- |
"""
_ROW = re.compile(r"^\| (\d+) \| (.*) \| (.*) \|$", re.MULTILINE)
_LINE = re.compile(r"^(\d+)\. (.*)$", re.MULTILINE)
_NUMBERS = re.compile(r"\[(\d+(?:\s*[-,]\s*\d+)*)\]")
_REFERENCE = re.compile(r"\[(?:Q\d+|REF-QUIRK[^]]*)\]\s*")


def covered_lines(docstring: str) -> set[int]:
    """Return the numbers that *docstring* names."""
    found: set[int] = set()
    for group in _NUMBERS.findall(docstring):
        for part in group.split(","):
            first, _, last = part.partition("-")
            found.update(range(int(first), int(last or first) + 1))
    return found


def tests() -> Iterator[tuple[str, str]]:
    """Yield each test as file::test, and its docstring with that of its class."""
    for path in sorted(TESTS.rglob("test_*.py")):
        module = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(TESTS).as_posix()
        for node in module.body:
            if isinstance(node, ast.ClassDef):
                inherited = ast.get_docstring(node) or ""
                for inner in node.body:
                    if isinstance(inner, ast.FunctionDef) and inner.name.startswith("test_"):
                        yield f"{name}::{node.name}::{inner.name}", f"{inherited} {ast.get_docstring(inner) or ''}"
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield f"{name}::{node.name}", ast.get_docstring(node) or ""


def coverage() -> dict[int, list[str]]:
    """Return the tests that cover each line."""
    covered: dict[int, list[str]] = {}
    for number, names in COVERED_BY.items():
        covered.setdefault(number, []).extend(names)
    for name, docstring in tests():
        for number in covered_lines(docstring):
            if name not in covered.setdefault(number, []):
                covered[number].append(name)
    return covered


def table_lines() -> dict[int, str]:
    """Return number and text of every line of the table, as it stands."""
    if not TABLE.exists():
        return {}
    return {int(number): text for number, text, _ in _ROW.findall(TABLE.read_text(encoding="utf-8"))}


def specified_lines(specification: str) -> dict[int, str]:
    """Return number and text of every line of section 18."""
    section = specification.partition("\n## 18. ")[2].partition("\n## 19. ")[0]
    return {int(number): _REFERENCE.sub("", text).replace("|", "/") for number, text in _LINE.findall(section)}


def render(lines: Mapping[int, str]) -> str:
    """Return the table of *lines*."""
    covered = coverage()
    rows = []
    for number in sorted(lines):
        cells = [f"`{name}`" for name in sorted(covered.get(number, ()))]
        if number in DIFFERENT:
            cells.append(f"differs on purpose: {DIFFERENT[number]}")
        rows.append(f"| {number} | {lines[number]} | {'<br>'.join(cells) or '**not yet**'} |\n")
    return _HEAD + "".join(rows)


def main(arguments: list[str]) -> None:
    """Write the table, with the lines of the specification if it is given."""
    lines = specified_lines(Path(arguments[0]).read_text(encoding="utf-8")) if arguments else table_lines()
    TABLE.write_text(render(lines), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
