"""
What an orchestration remembers and shows: its key-values and its custom status.

Reads are local and immediate. Every change is recorded in history, and counts only while the code lives: what a
``finally`` of code that has ended still writes, is not written.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, overload

from . import limits, payloads
from .arguments import check_type
from .events import KvEntry
from .replay import Replay
from .requests import ClearKeyValue, ClearKeyValues, SetKeyValue, UpdateCustomStatus
from .times import Time, time_ms


T = TypeVar("T")


class OrchestrationState:
    """The part of `OrchestrationContext` that reads and changes state."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    # Custom status

    def set_custom_status(self, status: str) -> None:
        """Show *status* (at most 256 KiB of text) to clients."""
        limits.check_custom_status(status)
        self._show(status)

    def reset_custom_status(self) -> None:
        """Show no custom status any more."""
        self._show(None)

    def get_custom_status(self) -> str | None:
        """Return the custom status as of this point in the code."""
        return self._replay.custom_status

    # Key-values

    def set_kv_value(self, key: str, value: object) -> None:
        """
        Set *key* to *value*, which clients and other instances can read.

        Raises:
            LimitExceeded: If the value, or the number of keys, is over the limit.
        """
        text = payloads.encode(value, where=f"key-value {key!r}")
        # The quotes and escapes of JSON are no business of who measures his text.
        limits.check_kv(key, value if isinstance(value, str) else text)
        kv = self._replay.kv
        limits.check_kv_count(len(kv) + (key not in kv))
        now_ms = self._replay.now_ms
        if self._replay.note(SetKeyValue(key, text, now_ms)):
            kv[key] = KvEntry(text, now_ms)

    @overload
    def get_kv_value(self, key: str, *, type: type[T]) -> T | None: ...
    @overload
    def get_kv_value(self, key: str, *, type: object = None) -> Any: ...
    def get_kv_value(self, key: str, *, type: object = None) -> Any:
        """Return the value of *key* as of this point in the code, or None."""
        limits.check_kv_key(key)
        check_type(type)
        entry = self._replay.kv.get(key)
        return None if entry is None else decoder(type, f"key-value {key!r}")(entry.value)

    def get_kv_all_values(self) -> dict[str, Any]:
        """Return all key-values, by key in sorted order."""
        kv = self._replay.kv
        return {key: decoder(None, f"key-value {key!r}")(kv[key].value) for key in sorted(kv)}

    def get_kv_all_keys(self) -> list[str]:
        """Return all keys, sorted."""
        return sorted(self._replay.kv)

    def get_kv_length(self) -> int:
        """Return the number of keys."""
        return len(self._replay.kv)

    def clear_kv_value(self, key: str) -> None:
        """Remove *key*. No effect on the values if it does not exist."""
        limits.check_kv_key(key)
        if self._replay.note(ClearKeyValue(key)):
            self._replay.kv.pop(key, None)

    def clear_all_kv_values(self) -> None:
        """Remove all keys."""
        if self._replay.note(ClearKeyValues()):
            self._replay.kv.clear()

    def prune_kv_values_updated_before(self, cutoff: Time) -> int:
        """Remove the keys that were last set before *cutoff* (a time, or ms since the epoch); return how many."""
        cutoff_ms = time_ms("cutoff", cutoff)
        old = sorted(key for key, entry in self._replay.kv.items() if entry.updated_at_ms < cutoff_ms)
        for key in old:
            self.clear_kv_value(key)
        return len(old)

    def _show(self, status: str | None) -> None:
        if self._replay.note(UpdateCustomStatus(status)):
            self._replay.custom_status = status
            self._replay.has_shown_status = True


def decoder_as(type_: object, where: str) -> Callable[[str], Any]:
    """
    Return what `decoder` does, for a type that a caller asked for.

    Raises:
        InvalidInput: If *type_* is no type.
    """
    check_type(type_)
    return decoder(type_, where)


def decoder(type_: object, where: str) -> Callable[[str], Any]:
    """Return the function that turns JSON text into *type_* (None: whatever it is); *where* is for the error."""
    return partial(payloads.decode, type_=Any if type_ is None else type_, where=where)
