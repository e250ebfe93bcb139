"""Saying what goes wrong, without going wrong over it: a logging handler of the application's may raise."""

from __future__ import annotations

import logging

from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any


class Complaints(logging.LoggerAdapter[logging.Logger]):
    """
    A logger for who must go on with what it is at, whatever becomes of the record.

    Args:
        name: Of the logger.
    """

    def __init__(self, name: str) -> None:
        super().__init__(logging.getLogger(name))

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log, or do not."""
        with suppress(Exception):
            super().log(level, msg, *args, **{**kwargs, "stacklevel": kwargs.get("stacklevel", 1) + 1})

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Leave a record as it is."""
        return msg, kwargs
