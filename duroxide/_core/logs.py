"""The logger of orchestration code: silent in replay. The core knows no logging; it calls a sink it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


# The numbers of the standard library's levels, which the core does not import.
DEBUG, INFO, WARNING, ERROR, CRITICAL = 10, 20, 30, 40, 50


class LogSink(Protocol):
    """Where the lines of orchestration code go."""

    def __call__(self, level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
        """Write one line. *keywords* has the *stacklevel* (from 1) of who logs it, seen from here."""
        ...


def discard(level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
    """Write nothing: the sink of `run_turn`."""


#: Between the code that logs and the sink: the method that it calls, and `_write`.
_FRAMES = 2


class OrchestrationLogger:
    """Takes what `logging.Logger` takes: a message, lazy %-arguments, *exc_info*, *extra*, *stacklevel*."""

    def __init__(self, is_replaying: Callable[[], bool], sink: LogSink) -> None:
        self._is_replaying = is_replaying
        self._sink = sink

    def _write(self, level: int, message: str, args: tuple[object, ...], keywords: dict[str, Any]) -> None:
        if not self._is_replaying():
            # The line is the caller's, not ours.
            keywords["stacklevel"] = keywords.get("stacklevel", 1) + _FRAMES
            self._sink(level, message, args, keywords)

    def log(self, level: int, message: str, *args: object, **keywords: Any) -> None:
        """Log *message* at *level*, unless the code is replaying."""
        self._write(level, message, args, keywords)

    def debug(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level DEBUG."""
        self._write(DEBUG, message, args, keywords)

    def info(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level INFO."""
        self._write(INFO, message, args, keywords)

    def warning(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level WARNING."""
        self._write(WARNING, message, args, keywords)

    def error(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level ERROR."""
        self._write(ERROR, message, args, keywords)

    def exception(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level ERROR, with the exception that is being handled."""
        self._write(ERROR, message, args, {"exc_info": True, **keywords})

    def critical(self, message: str, *args: object, **keywords: Any) -> None:
        """Log at level CRITICAL."""
        self._write(CRITICAL, message, args, keywords)
