"""
What is raised to end the test, in code that a simulation runs: Ctrl-C, pytest.fail(), a time-out of the test.

To the engine it is a failure like any other, since nothing that user code raises must end a dispatcher or a worker.
"""

from __future__ import annotations

from ..._core.events import OrchestrationFailed
from ...errors import ErrorKind
from ...errors import OrchestrationFailed as OrchestrationFailedError
from .store import Written


_INTERRUPTED = KeyboardInterrupt.__name__
#: As failures record them: pytest's say that they are builtin.
_RECORDED_AS = frozenset({_INTERRUPTED, "Failed", "Skipped"})


def ends_test(error: BaseException) -> bool:
    """Whether *error* is to end the test in which it was raised."""
    return isinstance(error, KeyboardInterrupt) or any(
        each.__name__ == "OutcomeException" for each in type(error).mro()
    )


def raise_what_ends_test(written: Written) -> None:
    """
    Raise what orchestration code has raised to end the test, if *written* is its failure.

    Raises:
        KeyboardInterrupt: If it was that.

        OrchestrationFailed: If it was something of pytest's, with its message.
    """
    last = written.commit.events[-1] if written.commit.events else None
    if not isinstance(last, OrchestrationFailed):
        return
    details = last.details
    if details.kind is ErrorKind.PANICKED and details.type in _RECORDED_AS:
        raise KeyboardInterrupt if details.type == _INTERRUPTED else OrchestrationFailedError(details)
