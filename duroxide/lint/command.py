"""The command ``python -m duroxide lint``. Exit codes: 0 nothing found, 1 findings, 2 wrong usage."""

from __future__ import annotations

import argparse

from collections.abc import Iterable

from .._rules import RULES
from .._terminal import say
from ..errors import InvalidInput
from .findings import Finding, as_json
from .linter import lint


SUMMARY = "find code in orchestrations that does something else when it is replayed"

FOUND = 1
WRONG_USAGE = 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "targets", nargs="+", metavar="MODULE_OR_PATH", help="a file, a folder, or a dotted module name"
    )
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how to print findings (text)")
    parser.add_argument("--select", type=_codes, default=(), metavar="CODES", help="only these, e.g. DX101,DX2")
    parser.add_argument("--ignore", type=_codes, default=(), metavar="CODES", help="not these, e.g. DX108,DX109")


def run(arguments: argparse.Namespace) -> int:
    """Lint, print, and return the exit code."""
    try:
        findings = lint(arguments.targets)
    except InvalidInput as error:
        say(f"duroxide lint: {error}", is_error=True)
        return WRONG_USAGE
    findings = list(_wanted(findings, arguments.select, arguments.ignore))
    say(as_json(findings) if arguments.format == "json" else "\n".join(map(str, findings)))
    if findings and arguments.format == "text":
        say(f"{len(findings)} finding{'s' * (len(findings) > 1)}", is_error=True)
    return FOUND if findings else 0


def _wanted(findings: Iterable[Finding], select: tuple[str, ...], ignore: tuple[str, ...]) -> Iterable[Finding]:
    for finding in findings:
        if (not select or finding.code.startswith(select)) and not finding.code.startswith(ignore):
            yield finding


def _codes(text: str) -> tuple[str, ...]:
    codes = tuple(code for part in text.split(",") if (code := part.strip()))
    for code in codes:
        if not any(known.startswith(code) for known in RULES):
            msg = f"{code!r} is no code of a rule, nor the beginning of one: the codes are {', '.join(RULES)}"
            raise argparse.ArgumentTypeError(msg)
    return codes
