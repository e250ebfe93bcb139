"""From files to findings: read, follow the calls, run the checks, leave out what comments silence."""

from __future__ import annotations

import ast
import tokenize

from collections.abc import Iterable, Iterator, Mapping

from attrs import define, field

from .._rules import RULES
from .callgraph import CallGraph, Visit, find_roles
from .findings import Finding, is_suppressed, suppressions
from .names import Project
from .ordering import iterates_over_sets
from .problems import Check, Problem, Subject
from .scopes import Module, read_module
from .shape import calls_activities, catches_too_much, is_no_generator, uses_activity_context
from .sharing import changes_shared_state, changing_variables, reads_changing_state
from .sources import Source, find_sources, imported
from .waiting import combines_collections, drops_actions, uses_actions_as_answers, yields_no_action
from .world import reads_the_world


CHECKS: tuple[Check, ...] = (
    reads_the_world,
    iterates_over_sets,
    changes_shared_state,
    reads_changing_state,
    is_no_generator,
    drops_actions,
    yields_no_action,
    calls_activities,
    uses_activity_context,
    catches_too_much,
    combines_collections,
    uses_actions_as_answers,
)


def lint(targets: Iterable[str]) -> list[Finding]:
    """
    Return what is wrong with the orchestrations in *targets* and with all that they call, by file and line.

    Args:
        targets: Files, folders, or dotted names of modules and packages. None of them is imported.

    Raises:
        InvalidInput: If a target is neither a path nor a module that can be found.
    """
    return lint_sources(find_sources(targets))


def lint_sources(sources: Iterable[Source]) -> list[Finding]:
    """Return what is wrong with the orchestrations in *sources*."""
    reading = _Reading()
    for source in sources:
        reading.read(source)
    reading.read_imports()
    project = reading.project
    roles = find_roles(project)
    visits = CallGraph(project, roles).visits()
    changing = changing_variables(project)
    findings = list(reading.unreadable)
    for visit in visits:
        comments = reading.comments[visit.function.module.source.name]
        found = _check(Subject(project, visit, roles, changing))
        findings.extend(finding for finding in found if not is_suppressed(finding, comments))
    return sorted(_unique(findings))


_NOTEBOOK = "it is a notebook (jupyter nbconvert --to script makes Python of it)"


@define
class _Reading:
    """The files that were read, and those that could not be."""

    project: Project = field(factory=Project)
    comments: dict[str, Mapping[int, frozenset[str] | None]] = field(factory=dict)
    unreadable: list[Finding] = field(factory=list)

    def read(self, source: Source) -> None:
        """Read one file."""
        if source.path.suffix == ".ipynb":  # its JSON may well be an expression of Python
            self._refuse(source, ValueError(_NOTEBOOK))
            return
        try:
            with tokenize.open(source.path) as file:
                text = file.read()
            module = read_module(source, text)
            self.comments[source.name] = suppressions(text)
        except (OSError, SyntaxError, ValueError, tokenize.TokenError, RecursionError) as error:
            self._refuse(source, error)
        else:
            self.project.add(module)

    def read_imports(self) -> None:
        """Read what the files import, as far as it lies beside them."""
        todo = list(self.project.modules.values())
        tried = set(self.project.modules)
        while todo:
            module = todo.pop()
            for name in module.imports:
                if name and name not in tried and not name.startswith("duroxide."):
                    tried.add(name)
                    source = imported(name, module.source)
                    if source is not None:
                        self.read(source)
                        todo.extend(self._just_read(name))

    def _just_read(self, name: str) -> Iterator[Module]:
        if name in self.project.modules:
            yield self.project.modules[name]

    def _refuse(self, source: Source, error: Exception) -> None:
        line = error.lineno or 1 if isinstance(error, SyntaxError) else 1
        column = max(error.offset or 1, 1) if isinstance(error, SyntaxError) else 1
        text = error.msg if isinstance(error, SyntaxError) else str(error)
        self.unreadable.append(Finding(source.shown, line, column, "DX001", f"{text}: {RULES['DX001'].reason}"))


def _check(subject: Subject) -> Iterator[Finding]:
    for check in CHECKS:
        for problem in check(subject):
            yield _finding(problem, subject.visit)


def _finding(problem: Problem, visit: Visit) -> Finding:
    node = problem.node
    line = getattr(node, "lineno", visit.function.node.lineno)
    column = getattr(node, "col_offset", 0) + 1
    is_block = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ExceptHandler | ast.stmt)
    last_line = line if is_block else getattr(node, "end_lineno", line)
    reason = problem.reason or RULES[problem.code].reason
    chain = tuple(function.name for function in visit.chain) + ((problem.subject,) if problem.subject else ())
    message = f"{problem.what}: {reason}"
    return Finding(visit.function.module.source.shown, line, column, problem.code, message, chain, last_line)


def _unique(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Leave out a second finding of one rule in one line: ``os.environ`` and ``os.environ.get`` are one mistake."""
    seen = set()
    for finding in sorted(findings):
        key = finding.path, finding.line, finding.code
        if key not in seen:
            seen.add(key)
            yield finding
