"""
The rules, as data: what is wrong, why it is, and what to write instead.

Codes are stable: one that is no longer used is not given to another rule. DX0 is about files, DX1 about what
orchestration code must not read or touch, DX2 about how it is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ._nouns import frozen


@frozen
class Rule:
    """One kind of mistake."""

    code: str
    #: A few words for tables.
    title: str
    #: Why it is wrong, to follow "what: ".
    reason: str
    #: What to write instead, as an imperative.
    remedy: str
    #: Whether it harms nothing but the clarity of logs or failures.
    is_mild: bool = False


_RULES = (
    Rule(
        "DX001",
        "unreadable file",
        "the file cannot be read as Python, so nothing in it is checked",
        "correct it",
    ),
    # What orchestration code must not read or touch.
    Rule(
        "DX101",
        "wall clock",
        "the clock says something else in replay",
        "use ctx.utc_now()",
    ),
    Rule(
        "DX102",
        "randomness",
        "another number is drawn in replay",
        "use ctx.random, which is seeded from the history; make secrets in an activity",
    ),
    Rule(
        "DX103",
        "unique ids",
        "another id is made up in replay",
        "use ctx.new_guid()",
    ),
    Rule(
        "DX104",
        "environment",
        "the environment differs between machines and deployments",
        "pass the value in as input, or read it in an activity",
    ),
    Rule(
        "DX105",
        "input and output",
        "the world outside is asked again at every replay, and may answer differently",
        "do it in an activity: ctx.schedule_activity(...)",
    ),
    Rule(
        "DX106",
        "sleeping",
        "it blocks a thread of the runtime, and sleeps again in replay",
        "use yield from ctx.schedule_timer(...)",
    ),
    Rule(
        "DX107",
        "threads, processes, event loops",
        "what runs beside the code finishes in another order in replay",
        "schedule activities, and combine them with ctx.join or ctx.select",
    ),
    Rule(
        "DX108",
        "print",
        "the line is printed again at every replay",
        "use ctx.logger, which is silent in replay",
        is_mild=True,
    ),
    Rule(
        "DX109",
        "logging",
        "the record is logged again at every replay",
        "use ctx.logger, which is silent in replay",
        is_mild=True,
    ),
    Rule(
        "DX110",
        "identity and hash",
        "the number differs between processes",
        "compare values, or use hashlib",
    ),
    Rule(
        "DX111",
        "order of a set",
        "the order of a set differs between processes",
        "iterate over sorted(...), or keep a list or dict",
    ),
    Rule(
        "DX112",
        "changes shared state",
        "it is changed again at every replay, and by every other instance in the process",
        "keep state in local variables, or in ctx.set_kv_value(...)",
    ),
    Rule(
        "DX113",
        "reads shared state that changes",
        "it may hold something else in replay, since code changes it",
        "pass the value in as input, or read it in an activity",
    ),
    # How orchestration code is written.
    Rule(
        "DX201",
        "async orchestration",
        "orchestrations are plain generators, and nobody awaits them",
        "write def, and yield from where it says await",
    ),
    Rule(
        "DX202",
        "no generator",
        "it schedules but never yields, so it ends before anything is done",
        "yield from what it schedules",
    ),
    Rule(
        "DX203",
        "dropped action",
        "the action is neither yielded nor kept, so its result and its failure are lost",
        "write yield from in front of it, or keep it for a later yield, join or select",
    ),
    Rule(
        "DX204",
        "yield of a generator",
        "a generator is no action, and the engine refuses it",
        "write yield from, or give it to ctx.join or ctx.select",
    ),
    Rule(
        "DX205",
        "yield of something else than an action",
        "it is no action, and the engine refuses it",
        "yield what ctx.schedule_..., ctx.join and ctx.select return; use other values as they are",
    ),
    Rule(
        "DX206",
        "activity called directly",
        "it runs here and now, unrecorded, and again at every replay",
        "use yield from ctx.schedule_activity(...)",
    ),
    Rule(
        "DX207",
        "activity context in an orchestration",
        "only activities have it",
        "ask for it in an activity; the context here is an OrchestrationContext",
    ),
    Rule(
        "DX208",
        "catches everything around a yield",
        "it swallows GeneratorExit, by which the engine closes code that it has given up",
        "catch Exception, or what you expect; or end the handler with raise",
    ),
    Rule(
        "DX209",
        "ignores every failure of a yield",
        "a failed or cancelled step goes on as if it had succeeded",
        "catch what you expect, such as ActivityFailed, and do something about it",
        is_mild=True,
    ),
    Rule(
        "DX210",
        "yield in finally",
        "it also runs when the engine closes the code, and then nothing can be waited for",
        "wait in the body or in an except; to undo things, catch the failure",
    ),
    Rule(
        "DX211",
        "generator that nobody runs",
        "calling a generator function does not run it",
        "write yield from in front of it, or give it to ctx.join or ctx.select",
    ),
    Rule(
        "DX212",
        "decides by is_replaying",
        "code that looks at it decides something else in replay",
        "remove it; ctx.logger is silent in replay by itself",
    ),
    Rule(
        "DX213",
        "join or select of a collection",
        "ctx.join and ctx.select take actions as arguments, not a collection of them",
        "put a * in front of it",
    ),
    Rule(
        "DX214",
        "action used as its answer",
        "it is the promise of an answer, not the answer",
        "yield from it first",
    ),
)

#: All rules by code.
RULES: Mapping[str, Rule] = MappingProxyType({rule.code: rule for rule in _RULES})
