"""
The acceptance checklist: which test covers which line of section 18 of the behaviour specification.

A test says in its docstring which lines it covers: ``[253]``, ``[253, 254]`` or ``[253-256]``. What a test without
numbers covers, and where we differ on purpose, is written down here. The table is tests/checklist.md:

    python tests/checklist.py [semantics.md]

writes it anew; given the specification, it also takes the lines' texts from there.
"""

from __future__ import annotations

import ast
import importlib.resources
import re
import sys

from collections.abc import Iterator, Mapping
from pathlib import Path


TESTS = Path(__file__).parent
TABLE = TESTS / "checklist.md"

#: What tests cover whose docstrings have no numbers: docstring → lines. By promise, since tests move.
PROMISES: Mapping[str, tuple[int, ...]] = {
    "The first commit brings the instance to life, with all that is known of it.": (525, 570, 603),
    "Whoever fetches the instance learns whom it reports to.": (193, 525),
    "The instance is at the new execution, running, under its version.": (511, 512),
    "Each execution keeps its own history.": (509,),
    "Each change grows the version by one; no change leaves status and version alone.": (597, 599, 600),
    "The first turn may set it as well.": (597,),
    "Values are set, replaced and removed; the others stay.": (610, 612),
    "Another instance, or an unknown one, has none of them.": (610, 613),
    ("Cancelled activities are removed, even those that the same commit inserts; unknown ones are fine."): (
        539,
        542,
        543,
    ),
    "A turn may schedule thousands of activities, which come out in order.": (514,),
    "What belongs to other instances stays, however alike their ids are.": (613,),
    "A start message alone brings no instance to life.": (522,),
    "A message that becomes visible later is not delivered before, and is from then on.": (517,),
    "A fetched instance is not fetched again while it is locked.": (489, 494),
    "At its expiry a lock is free: the instance is fetched again, under another token.": (499, 500, 503),
    "Each fetch counts; a batch counts as its most-fetched message.": (529, 535),
    "Whatever the number of threads, nobody gets an instance twice.": (492, 497, 498),
    "Both ends of the range are in it; the others stay unlocked.": (566, 567, 569),
    "An instance that does not exist yet is for everybody.": (564,),
    "A message that cannot be read is named with the reason, and stays until it is consumed.": (486,),
    "A released instance is fetched again at once, and the attempt counts.": (529,),
    "An attempt that is ignored leaves the count as it was, and never below zero.": (534,),
    "A lock that is not held is not released, and others of the batch are.": (491,),
    "A commit consumes its messages and gives the lock back; what came meanwhile stays.": (495, 502),
    "A commit whose lock has expired is refused, and leaves no trace.": (481, 483, 491),
    "Of two commits under one lock, one succeeds.": (482,),
    "Activities come in the order in which they were scheduled, none twice.": (514, 519, 531),
    "What is fetched is what was scheduled.": (606, 609),
    "A worker gets exactly what its filter accepts.": (604, 606),
    "A released activity still has its tag.": (607,),
    "The row goes and the completion is enqueued, in one step.": (516,),
    "An activity nobody waits for goes without a message.": (538,),
    "An expired, unknown or finished lock acknowledges nothing, and takes no other down.": (507,),
    "A released activity is fetched again, and counts.": (506,),
    "With a delay it waits, while others are fetched.": (506, 520),
    "An attempt that is ignored leaves the count as it was.": (532,),
    "A renewed lock lasts from the renewal on; one that is gone is not in the answer.": (504,),
    "A lock that has expired cannot be renewed.": (504,),
    "A cancelled activity's lock is not held any more: that is how its worker learns of it.": (541,),
    "Without a claim there is only work without a session.": (579,),
    "A claimed session is its owner's, in order; another session is anybody's.": (581, 587, 588),
    "When the lease expires, the session is anybody's, though the locked activity is not yet.": (594,),
    "When only the activity's lock expires, its session's owner alone gets it again.": (593,),
    "A lapsed lease does not keep its owner from finishing.": (596,),
    "Live, active sessions of the owner are extended, and counted.": (584,),
    "An idle session is not extended; an ack or a renewal of its activity is activity.": (584,),
    "An expired lease is not brought back.": (584,),
    "Expired sessions without activities are removed, live ones and those with activities are not.": (585,),
    "With default options, the loser of a race notices within a second, and its result gets nowhere.": (317, 672),
    "An orchestration that fails takes its running activities with it, and nothing changes afterwards.": (315,),
    "An activity that does not care loses its slot after the grace period; others get on.": (320, 325),
    "What was given up while no worker ran is not run by one that starts later.": (319,),
    "Each operation may fail, before it has done anything or after it has done all.": (656,),
    "A database that is gone for a while is no reason to give up, to spin, or to count attempts.": (664,),
    "Commits and reads that the database fails are tried again, and never make an instance poison.": (656,),
    "An activity whose worker died is run by another as soon as the lock expires.": (451,),
    "A runtime that was cut off and comes back finds its locks gone; its late results are dropped.": (453,),
    "Activities that run for several lock times are run once, by one runtime, and not cancelled.": (447,),
    "A turn that takes longer than the lock of its instance is run once and committed once.": (448,),
    "A database that does not answer a renewal does not cancel what runs; the next renewal does its job.": (660,),
    "One delivery too many, and the instance is failed without running its code.": (434,),
    ("An activity that was delivered too often fails its orchestration, which cannot catch it; it does not run."): (
        436,
        439,
    ),
    "An activity that nobody knows becomes poison in the end, and so fails its orchestration.": (442,),
    "The pause doubles with each delivery, up to the maximum.": (443,),
    "A runtime that has nothing to do stops at once; stopping twice is no mistake, starting again is one.": (661,),
    "What does not end in time is free at once for another runtime; the late result is dropped.": (661,),
    "NotFound, then Running, then Completed with the output.": (222, 224),
    "A failed instance's status carries the details; waiting for its result raises them.": (225, 230),
    "The result comes as the type asked for, or the error says what it was.": (230,),
    "A wait that runs out of time raises WaitTimeout; the instance goes on, and its result can be had later.": (229,),
    "Of two starts that are waiting when a runtime comes, the first counts.": (198,),
    "A timer fires when its time has come by the history's own clock, not before.": (231,),
    "Timers one after the other fire in their order; a timer of no time at all fires at once.": (232, 234),
    "A timer that is created after another one fired takes its own full time.": (239,),
    "A timer that was set before a restart fires when it was to fire, once.": (235,),
    "Timers of many instances that came due while nothing ran all fire, each once.": (237,),
    "One activity's result is the output, and history has the four events, no more.": (203,),
    "Many instances of two orchestrations share activities, and each gets its own answers.": (214, 215),
    "One slot is enough for everything; no more than the slots run at once.": (220,),
    "Activities of a join run at the same time; their results come in argument order.": (208,),
    "Branches of several steps, nested in joins and races, run beside each other.": (292,),
    "A ValueError is caught as a ValueError, with the activity's traceback, its causes and the attempt.": (206,),
    "An orchestration that raises before it waits for anything is recorded as started and failed.": (210,),
    "When shipping fails, the money goes back; when debiting fails, nothing else happens.": (204, 206, 207),
    "Any text and any number survive.": (399,),
    "A mistake raises where it is made, and changes nothing.": (410,),
    "Versions come in any order and are listed ascending.": (411,),
    "A copy follows policy changes, but grows by itself.": (408, 414),
    "An empty registry resolves nothing.": (415,),
    "A merge is the union; the others stay as they are.": (408,),
    "Three attempts, exponential from 100 ms by 2 up to 30 s, no time limits.": (326,),
    "A policy that cannot work is refused where it is built.": (327,),
    "Pauses grow as their backoff says.": (329,),
    "However large the attempt number, the pause stays within its maximum.": (329,),
    "A staged event is the delivered one, but for its place.": (42,),
}

_NO_BATCH_READER = "there is no separate reader: the provider's item says it, and `sort_messages` sorts the batch"
_NO_LONG_POLL = "no provider polls: fetches return at once, and waiting is a notification (providers/test_wakeups.py)"
_ONE_KV_TABLE = (
    "what an execution inherits is carried in its start event, so there is one table of live values and no delta"
)

#: Where this project decides differently on purpose, and why.
DIFFERENT: Mapping[int, str] = {
    190: _NO_BATCH_READER,
    191: _NO_BATCH_READER,
    194: _NO_BATCH_READER,
    195: "a continue message is a start message of a later execution, and carries the parent (Q2)",
    197: _NO_BATCH_READER,
    198: "a second start with a parent link is answered with a failure (Q3)",
    454: _NO_LONG_POLL,
    536: "the end of an execution removes its activities in the same transaction; those of a running one are fetchable",
    526: _NO_LONG_POLL,
    528: _NO_LONG_POLL,
    524: "the version is resolved before an instance row is written, so there is always one",
    572: "there is one range or none; an empty one cannot be said",
    577: "there is one range: the releases from lowest to highest",
    616: _ONE_KV_TABLE,
    618: _ONE_KV_TABLE,
    619: _ONE_KV_TABLE,
    621: _ONE_KV_TABLE,
    622: _ONE_KV_TABLE,
    488: "errors are typed: ProviderError says whether it is retryable; there is no conversion from text",
}

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
_LEADING = re.compile(r"^(?:\[[^]]*\]\s*)+")
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
    """Yield each test as file::test, and its docstring: our own, and those that third-party providers run as well."""
    shipped = Path(str(importlib.resources.files("duroxide"))) / "testing"
    for root, pattern in ((TESTS, "test_*.py"), (shipped, "*.py")):
        for path in sorted(root.rglob(pattern)):
            module = ast.parse(path.read_text(encoding="utf-8"))
            name = f"{root.name}/{path.relative_to(root).as_posix()}"
            yield from _tests_in(module, name)
            for node in module.body:
                if isinstance(node, ast.ClassDef):
                    yield from _tests_in(node, f"{name}::{node.name}")


def _tests_in(scope: ast.Module | ast.ClassDef, name: str) -> Iterator[tuple[str, str]]:
    for node in scope.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield f"{name}::{node.name}", " ".join((ast.get_docstring(node) or "").split())


def promise(docstring: str) -> str:
    """Return *docstring* without the numbers in front."""
    return _LEADING.sub("", docstring)


def coverage() -> dict[int, list[str]]:
    """Return the tests that cover each line."""
    covered: dict[int, list[str]] = {}
    for name, docstring in tests():
        for number in {*covered_lines(docstring), *PROMISES.get(promise(docstring), ())}:
            covered.setdefault(number, []).append(name)
    return covered


def broken_promises() -> set[str]:
    """Return what `PROMISES` names and no test promises any more."""
    return set(PROMISES) - {promise(docstring) for _, docstring in tests()}


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
