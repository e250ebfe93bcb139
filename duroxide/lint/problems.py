"""What checks are given, and what they return."""

from __future__ import annotations

import ast

from collections.abc import Callable, Iterator
from typing import TypeAlias

from attrs import frozen

from .callgraph import Roles, Visit, returns_orchestration
from .names import CONTEXT, Project
from .scopes import Function


@frozen
class Problem:
    """A broken rule at a place in the syntax tree."""

    code: str
    node: ast.AST
    #: What is wrong, in the words of the code.
    what: str
    #: What ends the chain of calls, if it is a call itself.
    subject: str = ""
    #: Instead of the rule's reason.
    reason: str = ""


@frozen
class Subject:
    """A function that runs in orchestrations, and what is known around it."""

    project: Project
    visit: Visit
    roles: Roles
    #: Module-level variables that some function changes.
    changing: frozenset[str]

    @property
    def function(self) -> Function:
        """The function."""
        return self.visit.function

    @property
    def is_registered(self) -> bool:
        """Whether it is registered as an orchestration."""
        return self.function in self.roles.orchestrations

    @property
    def is_orchestration(self) -> bool:
        """Whether what it yields are actions; other generators may yield what they like."""
        if not self.function.is_generator:
            return False
        if self.is_registered or returns_orchestration(self.project, self.function):
            return True
        return any(
            (found := self.project.origin(node, scope)) is not None and found.path == CONTEXT
            for node, scope in self.function.nodes
            if isinstance(node, ast.Name | ast.Attribute)
        )


Check: TypeAlias = Callable[[Subject], Iterator[Problem]]


def shown(node: ast.AST) -> str:
    """Return the code of *node*, cut to a readable length."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


_LONGEST = 50
