"""What the linter says: one `Finding` per mistake, the comments that silence it, and how it is printed."""

from __future__ import annotations

import io
import json
import re
import tokenize

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from .._rules import RULES, Rule


_COMMENT = re.compile(r"#\s*duroxide:\s*ignore(?!\w)(?:\s*\[(?P<codes>[^\]]*)\])?")


@frozen(order=True)
class Finding:
    """One mistake, and how orchestration code gets there."""

    path: str
    #: From 1.
    line: int
    #: From 1, in characters.
    column: int
    code: str
    #: What is wrong here, and why.
    message: str
    #: The functions from the orchestration down to the line, and what stands there.
    chain: tuple[str, ...] = ()
    #: The last line of the code that is meant: a comment may stand there too.
    last_line: int = field(default=0, eq=False, order=False)

    @property
    def rule(self) -> Rule:
        """The rule that is broken."""
        return RULES[self.code]

    def __str__(self) -> str:
        chain = f" [{' → '.join(self.chain)}]" if self.chain else ""
        return f"{self.path}:{self.line}:{self.column}: {self.code} {self.message}; {self.rule.remedy}{chain}"


def as_json(findings: Iterable[Finding]) -> str:
    """Return *findings* as a JSON list of objects."""
    return json.dumps(
        [
            {
                "path": finding.path,
                "line": finding.line,
                "column": finding.column,
                "code": finding.code,
                "severity": "warning" if finding.rule.is_mild else "error",
                "message": finding.message,
                "remedy": finding.rule.remedy,
                "chain": list(finding.chain),
            }
            for finding in findings
        ],
        indent=2,
        ensure_ascii=False,
    )


def suppressions(text: str) -> Mapping[int, frozenset[str] | None]:
    """Return the lines of *text* with an ignore comment, and which codes it names; None if it names none."""
    found: dict[int, frozenset[str] | None] = {}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and (match := _COMMENT.search(token.string)) is not None:
            codes = match["codes"]
            found[token.start[0]] = None if codes is None else frozenset(re.findall(r"\w+", codes))
    return found


def is_suppressed(finding: Finding, comments: Mapping[int, frozenset[str] | None]) -> bool:
    """Whether a comment on the first or the last line of *finding* silences it."""
    for line in (finding.line, finding.last_line):
        if line in comments:
            codes = comments[line]
            if codes is None or finding.code in codes:
                return True
    return False
