"""Generated code that is changed at one place, against histories of what it was: what is said to fit, fits."""

from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st

from duroxide import run_turn
from duroxide._core.verdicts import Continue, Turn
from duroxide.testing.histories import Replayer, first_divergence
from duroxide.testing.strategies import Program
from duroxide.testing.strategies import programs as p
from duroxide.testing.strategies.stories import Story, stories


#: What may be put in.
NEW: tuple[p.Step, ...] = (
    p.Await(p.Call("red")),
    p.Await(p.Timer(1)),
    p.Await(p.Dequeue("red")),
    p.Await(p.Select((p.Call("red"), p.Timer(3)), cancel_losers=True)),
    p.Start(0, p.Call("green")),
    p.State("set", "red"),
    p.State("status", "red"),
    p.Draw("id"),
    p.Detach(),
    p.Return(),
)


@st.composite
def changed(draw: st.DrawFn, program: Program) -> Program:
    """Draw a program that differs from *program* in one step: left out, moved, put in, done twice, or another one."""
    steps = list(program.steps)
    at = draw(st.integers(0, len(steps) - 1))
    match draw(st.sampled_from(["leave out", "move", "put in", "do twice", "alter"])):
        case "leave out":
            del steps[at]
        case "move":
            steps.insert(draw(st.integers(0, len(steps) - 1)), steps.pop(at))
        case "put in":
            steps.insert(at, draw(st.sampled_from(NEW)))
        case "do twice":
            steps.insert(at, steps[at])
        case _:
            steps[at] = altered(steps[at])
    return Program(tuple(steps))


def altered(step: p.Step) -> p.Step:
    """Return another step of the same kind, as far as there is one."""
    match step:
        case p.Await(p.Call(_, retry)):
            return p.Await(p.Call("blue", retry))
        case p.Await(p.Timer(seconds)):
            return p.Await(p.Timer(seconds + 1))
        case p.Await(p.Wait(name)):
            return p.Await(p.Dequeue(name))
        case p.Await(p.Select(parts, cancel_losers)):
            return p.Await(p.Select(parts[::-1], cancel_losers))
        case p.Await(p.Join(parts, return_exceptions)):
            return p.Await(p.Join(parts[::-1], return_exceptions))
        case _:
            return p.Await(p.Call("blue"))


@settings(max_examples=100)
@given(stories(), st.data())
def test_what_fits(story: Story, data: st.DataObject) -> None:
    """Code that the gate lets pass replays the history without asking for anything else; unchanged code passes."""
    told = data.draw(st.sampled_from(story.executions))
    commits = [*(advance.before for advance in told.advances[1:]), len(told.history)]
    history = told.history[: data.draw(st.sampled_from(commits))]
    program = data.draw(changed(told.program))
    found = first_divergence(history, program.function(), Replayer())
    event("fits" if found is None else "breaks")

    assert program != told.program or found is None
    assert found is not None or Turn(Continue()) == run_turn(history, program.function())
