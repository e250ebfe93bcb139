"""The logger of orchestration code: silent in replay. The core knows no logging; it calls a sink it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


# The numbers of the standard library's levels, which the core does not import.
DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50


class LogSink(Protocol):
    """Where the lines of orchestration code go."""

    def __call__(self, level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
        """Write one line."""
        ...


def discard(level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
    """Write nothing: the sink of `run_turn`."""


class OrchestrationLogger:
    """Takes what `logging.Logger` takes: a message, lazy %-arguments, *exc_info*, *extra*."""

    def __init__(self, is_replaying: Callable[[], bool], sink: LogSink) -> None:
        self._is_replaying = is_replaying
        self._sink = sink

    def log(self, level: int, message: str, *args: object, **keywords: Any) -> None:
        """Log *message* at *level*, unless the code is replaying."""
        if not self._is_replaying():
            self._sink(level, message, args, keywords)

    def debug(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level DEBUG."""
        self.log(DEBUG, message, *args, **keywords)

    def info(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level INFO."""
        self.log(INFO, message, *args, **keywords)

    def warning(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level WARNING."""
        self.log(WARNING, message, *args, **keywords)

    def error(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level ERROR."""
        self.log(ERROR, message, *args, **keywords)

    def exception(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level ERROR, with the exception that is being handled."""
        self.log(ERROR, message, *args, exc_info=True, **keywords)

    def critical(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level CRITICAL."""
        self.log(CRITICAL, message, *args, **keywords)
