"""
Generated orchestrations: a program is a value, which can be drawn and shrunk, and it runs as a generator.

Rule 1: a program is deterministic: it depends on what its context gives it, and on nothing else.

Rule 2: whatever it sees ends up in `Run.seen`, and a digest of that in what it asks for next. So two runs that see
anything different decide something different.
"""

from __future__ import annotations

import zlib

from collections.abc import Callable, Generator
from datetime import timedelta
from typing import Any, TypeAlias

from attrs import frozen

from ..._core.actions import Action, Orchestration, Winner
from ..._core.context import OrchestrationContext
from ..._core.retry import RetryPolicy


NAMES = ("red", "green")
SLOTS = range(3)
LAST_ROUND = 3

# What a program can wait for.


@frozen
class Call:
    """An activity, perhaps with retries."""

    name: str
    retry: RetryPolicy | None = None


@frozen
class Timer:
    """A timer."""

    seconds: int


@frozen
class Wait:
    """A positional wait."""

    name: str


@frozen
class Dequeue:
    """The next message of a queue."""

    name: str


@frozen
class Child:
    """A child, with an id of its own or one made up."""

    explicit: bool


@frozen
class Join:
    """All of some parts."""

    parts: tuple[Part, ...]
    return_exceptions: bool


@frozen
class Select:
    """The first of some parts."""

    parts: tuple[Part, ...]
    cancel_losers: bool


@frozen
class Branch:
    """A generator of several steps."""

    steps: tuple[Step, ...]


# What a program can do.


@frozen
class Await:
    """Start something and wait for it."""

    part: Part


@frozen
class Start:
    """Start something now, to be waited for later, or never."""

    slot: int
    part: Part


@frozen
class Use:
    """Wait for what was started as *slot*; the same action may be waited for often."""

    slot: int


@frozen
class Cancel:
    """Give up what was started as *slot*."""

    slot: int


@frozen
class Try:
    """Go on after an exception; *final* (steps that do not wait) always runs."""

    steps: tuple[Step, ...]
    handler: tuple[Step, ...]
    final: tuple[Step, ...]


@frozen
class State:
    """Read and change key-values and the custom status."""

    kind: str
    key: str


@frozen
class Draw:
    """Ask for the time, an id, or a random number."""

    kind: str


@frozen
class Detach:
    """Start something independent."""


@frozen
class Return:
    """End the branch."""


@frozen
class Raise:
    """End the branch with an error."""


@frozen
class Continue:
    """Continue as new, and wait for it or not."""

    wait: bool


Part: TypeAlias = Call | Timer | Wait | Dequeue | Child | Join | Select | Branch
Step: TypeAlias = Await | Start | Use | Cancel | Try | State | Draw | Detach | Return | Raise | Continue


@frozen
class Program:
    """The steps of an orchestration function."""

    steps: tuple[Step, ...]

    def function(self) -> Callable[[OrchestrationContext, int], Orchestration[list[str]]]:
        """Return the program as an orchestration function; its input is the number of the round, from 0."""

        def generated(ctx: OrchestrationContext, round_: int) -> Orchestration[list[str]]:
            run = Run(ctx, round_)
            yield from run.block(self.steps)
            return run.seen

        return generated


class Run:
    """One execution of a program."""

    def __init__(self, ctx: OrchestrationContext, round_: int) -> None:
        self.ctx = ctx
        self.round = round_
        self.seen: list[str] = []
        self.slots: dict[int, Action[Any]] = {}
        self.children = 0

    def block(self, steps: tuple[Step, ...]) -> Generator[Any, Any, bool]:
        """Do *steps* in order. Returns whether to go on after them."""
        for step in steps:
            if not (yield from self.step(step)):
                return False
        return True

    def step(self, step: Step) -> Generator[Any, Any, bool]:
        """Do one step; returns whether to go on."""
        match step:
            case Await(Branch(steps)):
                yield from self.block(steps)
            case Await(part):
                self.note((yield from self.start(part)))
            case Use(slot) if slot in self.slots:
                self.note((yield self.slots[slot]))
            case Use():
                pass
            case Try():
                return (yield from self.attempt(step))
            case Continue(wait):
                yield from self.next_round(wait=wait)
            case Return():
                return False
            case Raise():
                raise ValueError(self.digest())
            case _:
                self.act(step)
        return True

    def next_round(self, *, wait: bool) -> Generator[Any, Any, None]:
        """Continue as new, if there were not enough rounds yet."""
        if self.round < LAST_ROUND:
            action = self.ctx.continue_as_new(self.round + 1)
            if wait:
                yield action

    def attempt(self, step: Try) -> Generator[Any, Any, bool]:
        """Do steps that may fail."""
        try:
            return (yield from self.block(step.steps))
        except Exception as error:  # noqa: BLE001
            self.note(f"{type(error).__name__}: {error}")
            return (yield from self.block(step.handler))
        finally:
            for last in step.final:
                self.act(last)

    def act(self, step: Step) -> None:
        """Do something that does not wait."""
        match step:
            case Start(slot, part):
                self.slots[slot] = self.start(part)
            case Cancel(slot):
                if slot in self.slots:
                    self.ctx.cancel(self.slots[slot])
            case State(kind, key):
                self.change(kind, key)
            case Draw(kind):
                self.note({"time": self.ctx.utc_now, "id": self.ctx.new_guid, "random": self.ctx.random.random}[kind]())
            case Detach():
                self.note(repr(self.ctx.schedule_orchestration("other", f"other-{self.digest()}", self.digest())))
            case _:
                raise AssertionError(step)

    def start(self, part: Part) -> Action[Any]:
        """Schedule *part*."""
        ctx = self.ctx
        match part:
            case Call(name, retry):
                return ctx.schedule_activity(name, self.digest(), retry=retry)
            case Timer(seconds):
                return ctx.schedule_timer(timedelta(seconds=seconds))
            case Wait(name):
                return ctx.schedule_wait(name)
            case Dequeue(name):
                return ctx.dequeue_event(name)
            case Child(explicit):
                self.children += 1
                own_id = f"child-{self.round}-{self.children}" if explicit else None
                return ctx.schedule_sub_orchestration("child", self.digest(), instance_id=own_id)
            case Join(parts, return_exceptions):
                return ctx.join(*map(self.awaitable, parts), return_exceptions=return_exceptions)
            case Select(parts, cancel_losers):
                return ctx.select(*map(self.awaitable, parts), cancel_losers=cancel_losers)
            case Branch():
                return ctx.join(self.awaitable(part))

    def awaitable(self, part: Part) -> Any:
        """Return *part* as an argument of join or select."""
        return self.block(part.steps) if isinstance(part, Branch) else self.start(part)

    def change(self, kind: str, key: str) -> None:
        """Read or change some state."""
        ctx = self.ctx
        match kind:
            case "set":
                ctx.set_kv_value(key, self.digest())
            case "clear":
                ctx.clear_kv_value(key)
            case "clear_all":
                ctx.clear_all_kv_values()
            case "prune":
                self.note(ctx.prune_kv_values_updated_before(ctx.utc_now()))
            case "get":
                self.note(ctx.get_kv_all_values())
            case "status":
                ctx.set_custom_status(f"{ctx.get_custom_status()}"[-20:] + self.digest())
            case _:
                ctx.reset_custom_status()

    def note(self, value: object) -> None:
        """Remember that the code has seen *value*."""
        self.seen.append(plain(value))

    def digest(self) -> str:
        """Return a short text that is another one whenever something else was seen."""
        return f"{zlib.crc32(chr(10).join(self.seen).encode()):08x}"


def plain(value: object) -> str:
    """Return *value* as text without addresses."""
    match value:
        case list():
            return f"[{', '.join(map(plain, value))}]"
        case Winner(index, inner):
            return f"winner {index}: {plain(inner)}"
        case Exception():
            return f"{type(value).__name__}: {value}"
        case _:
            return repr(value)
