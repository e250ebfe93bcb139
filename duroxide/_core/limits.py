"""
The limits of what users may store, each with its reason, and the checks that name them.

Rule: exactly at a limit is allowed. Sizes are bytes of UTF-8, because that is what databases count.

Inputs, outputs, event data and histories have no limit but the database's own, unless one is set (`Limits`).
"""

from __future__ import annotations

import re
import unicodedata

from collections.abc import Callable, Collection
from typing import Any

from attrs import Attribute, field

from .._nouns import frozen
from ..errors import InvalidInput, LimitExceeded
from . import payloads


#: Status text is rewritten at every change and read by every status query: 256 KiB.
MAX_CUSTOM_STATUS_BYTES = 262_144

#: All live values travel into the next execution's first event, 64 KiB times 150 at most.
MAX_KV_VALUE_BYTES = 65_536
MAX_KV_KEYS = 150

#: Part of an index that every fetch of an activity reads.
MAX_TAG_BYTES = 256

#: Every tag of a filter is a term of the statement that fetches activities.
MAX_TAGS_PER_FILTER = 5

#: Unread queue messages travel into the next execution's first event; the oldest are kept.
MAX_CARRIED_MESSAGES = 1000

#: Part of nearly every primary key. Postgres refuses index entries from 2,704 bytes on, and an id appears
#: in an entry together with others.
MAX_INSTANCE_ID_BYTES = 512

#: Names of all kinds, versions and session ids: an orchestration's name is in an index together with an id, a session's id
#: is a key. One bound for all.
MAX_NAME_BYTES = MAX_INSTANCE_ID_BYTES

#: An automatic child id grows with each level: together with a name, or a key, it still fits into an index entry.
MAX_AUTOMATIC_ID_BYTES = 2048

#: What an automatic child id has between its parent's id and its number.
CHILD_ID_MARKER = "::sub::"
_CHILD_ID_PREFIX = "sub::"
#: … and what that may take: the marker, two numbers of 64 bits, and what is between them.
_CHILD_ID_ROOM = 48
#: The marker, unless it stands in what a child has made of its own automatic id, like ``a::sub::2-x``.
_RESERVED = re.compile(rf"^{_CHILD_ID_PREFIX}|{CHILD_ID_MARKER}(?!\d++(?:_\d++)?+.)")


#: Names of the library's own activities and orchestrations begin with this.
RESERVED_PREFIX = "__duroxide"

#: From this share of a settable limit on, there are warnings.
_WARN_FROM = 0.8


def _at_least(least: int, *, or_none: bool) -> Callable[[object, Attribute[Any], object], None]:
    def check(_: object, limit: Attribute[Any], value: object) -> None:
        if value is None and or_none:
            return
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            remedy = f"{least} or more{', or None for no limit' if or_none else ''}"
            msg = f"Limits.{limit.name} is {value!r}: give a whole number, {remedy}."
            raise InvalidInput(msg)

    return check


@frozen(kw_only=True)
class Limits:
    """
    Limits that can be set, for a runtime and for a client. None: no limit.

    From 80 % of a limit on there is a warning in the log.
    """

    #: Bytes of JSON text of one input, result, event or message.
    max_payload_bytes: int | None = field(default=None, validator=_at_least(1, or_none=True))
    #: Events of one execution. One that would need more fails; it should have continued as new.
    max_history_events: int | None = field(default=None, validator=_at_least(10, or_none=True))
    #: Unread queue messages that are carried over continue-as-new: the oldest. Dropping any is logged.
    max_carried_messages: int = field(default=MAX_CARRIED_MESSAGES, validator=_at_least(0, or_none=False))

    def encode(self, value: object, *, where: str, type_: object = Any, warn: Callable[[str], object]) -> str:
        """
        Return *value* as JSON text for a receiver that reads it as *type_*; *warn* is told if it is nearly too large.

        Raises:
            PayloadError: If *value* cannot be encoded.

            LimitExceeded: If the text is larger than `max_payload_bytes`.
        """
        text = payloads.encode(value, where=where, type_=type_)
        # A character takes four bytes at most.
        if self.max_payload_bytes is not None and len(text) > self.max_payload_bytes * _WARN_FROM / 4:
            warning = self._check_size(self.max_payload_bytes, text, where)
            if warning is not None:
                warn(warning)
        return text

    @staticmethod
    def _check_size(limit: int, text: str, where: str) -> str | None:
        size = size_of(text)
        if size > limit:
            msg = (
                f"{where} of {size} bytes exceeds limit of {limit} bytes (max_payload_bytes). Store"
                " large data elsewhere and pass a reference, or raise the limit."
            )
            raise LimitExceeded(msg)
        if size > limit * _WARN_FROM:
            return f"{where} of {size} bytes is near the limit of {limit} bytes (max_payload_bytes)"
        return None

    def check_history(self, before: int, after: int) -> str | None:
        """
        Refuse a history that grows from *before* to *after* events; return a warning if it gets near the limit.

        Raises:
            LimitExceeded: If it gets longer than `max_history_events`.
        """
        limit = self.max_history_events
        if limit is None:
            return None
        if after > limit:
            msg = (
                f"history of {after} events exceeds limit of {limit} events (max_history_events). Use"
                " ctx.continue_as_new() in long loops, sub-orchestrations for wide fan-outs, or raise the limit."
            )
            raise LimitExceeded(msg)
        if before <= limit * _WARN_FROM < after:
            return f"history of {after} events is near the limit of {limit} events (max_history_events)"
        return None


NO_LIMITS = Limits()


def size_of(text: str) -> int:
    """Return the size of *text* in bytes of UTF-8; a lone surrogate counts three."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def check_instance_id(instance_id: str, *, most: int = MAX_INSTANCE_ID_BYTES) -> None:
    """
    Refuse an instance id that not every database and every log can hold.

    Raises:
        InvalidInput: If it is no text, empty, or has control characters or lone surrogates.

        LimitExceeded: If it is longer than *most* bytes.
    """
    is_plain = isinstance(instance_id, str) and instance_id.isascii() and instance_id.isprintable()
    if is_plain and 0 < len(instance_id) <= most:  # nearly always
        return
    _check_text("instance id", instance_id)
    if not instance_id.isprintable() and any(unicodedata.category(character) == "Cc" for character in instance_id):
        msg = f"instance id {instance_id[:80]!r} has control characters: use printable ones only."
        raise InvalidInput(msg)
    _check_size("instance id", instance_id, most, "Use a shorter id.")


def check_existing_id(instance_id: str) -> None:
    """
    Refuse an id that no instance can have. That of a child of children may be longer than what may be started.

    Raises:
        InvalidInput: For the reasons of `check_instance_id`.

        LimitExceeded: If it is longer than `MAX_INSTANCE_ID_BYTES`, or `MAX_AUTOMATIC_ID_BYTES` for automatic ones.
    """
    is_automatic = isinstance(instance_id, str) and CHILD_ID_MARKER in instance_id
    check_instance_id(instance_id, most=MAX_AUTOMATIC_ID_BYTES if is_automatic else MAX_INSTANCE_ID_BYTES)


def check_child_id(instance_id: str) -> None:
    """
    Refuse an explicit id for a child that could be mistaken for an automatic one.

    Raises:
        InvalidInput: If it contains the reserved marker (its parent's id may), or for the reasons of `check_instance_id`.
    """
    check_instance_id(instance_id)
    if _RESERVED.search(instance_id) is not None:
        msg = (
            f"child id {instance_id!r}: {CHILD_ID_MARKER!r}, and {_CHILD_ID_PREFIX!r} in front, are reserved for automatic"
            " child ids. Use another separator, or leave the id out."
        )
        raise InvalidInput(msg)


def check_parent_of_automatic(instance_id: str) -> None:
    """
    Refuse to let *instance_id* have a child with an automatic id, if that could be over `MAX_AUTOMATIC_ID_BYTES`.

    Raises:
        LimitExceeded: If it could.
    """
    size = size_of(instance_id) + _CHILD_ID_ROOM
    if size > MAX_AUTOMATIC_ID_BYTES:
        msg = (
            f"automatic child id of up to {size} bytes exceeds limit of {MAX_AUTOMATIC_ID_BYTES} bytes: it grows with each"
            " level of children of children. Give the child an instance_id."
        )
        raise LimitExceeded(msg)


def check_name(what: str, name: str) -> None:
    """
    Refuse a name that not every database can hold.

    Args:
        what: What is named, for the error: ``"orchestration name"``.

        name: The name.

    Raises:
        InvalidInput: If it is no text, empty, or has NUL or lone surrogates.

        LimitExceeded: If it is longer than `MAX_NAME_BYTES`.
    """
    _check_text(what, name)
    _check_size(what, name, MAX_NAME_BYTES, "Use a shorter one.")


def check_sought(what: str, text: str) -> None:
    """
    Refuse to look for what no database can hold. Of any length: what is too long is not found.

    Raises:
        InvalidInput: If it is no text, empty, or has NUL or lone surrogates.
    """
    _check_text(what, text)


def check_function_name(what: str, name: str) -> None:
    """
    Refuse a name that no orchestration or activity of a user can have.

    Raises:
        InvalidInput: If it begins with `RESERVED_PREFIX`, or for the reasons of `check_name`.

        LimitExceeded: As `check_name`.
    """
    check_name(what, name)
    if name.startswith(RESERVED_PREFIX):
        msg = (
            f"{what} {name!r}: names that begin with {RESERVED_PREFIX!r} are reserved for the library. Choose another"
            " name."
        )
        raise InvalidInput(msg)


def check_activity_name(what: str, name: str) -> None:
    """
    Refuse a name that no activity of a user can have. Unlike other names, it may be empty.

    Raises:
        InvalidInput: For the reasons of `check_function_name`.

        LimitExceeded: As `check_name`.
    """
    if name != "":
        check_function_name(what, name)


def check_tag(tag: str) -> None:
    """
    Refuse a tag that cannot be stored or is over `MAX_TAG_BYTES`.

    Raises:
        InvalidInput: If it is no text, empty, or has NUL or lone surrogates.

        LimitExceeded: If it is too long.
    """
    _check_text("tag", tag)
    _check_size("tag size", tag, MAX_TAG_BYTES, "Use a shorter tag.")


def check_tag_filter(tags: Collection[str]) -> None:
    """
    Refuse a worker's set of tags that is empty or over `MAX_TAGS_PER_FILTER`.

    Raises:
        InvalidInput: If it is empty, or one of the tags cannot be stored.

        LimitExceeded: If there are too many.
    """
    if not tags:
        msg = "tags is empty: name 1 to 5 tags, or ask for no tagged activities at all."
        raise InvalidInput(msg)
    if len(tags) > MAX_TAGS_PER_FILTER:
        msg = (
            f"{len(tags)} tags exceeds limit of {MAX_TAGS_PER_FILTER} per worker. Start a second runtime for the rest."
        )
        raise LimitExceeded(msg)
    for tag in tags:
        check_tag(tag)


def check_custom_status(status: str) -> None:
    """
    Refuse a status text that not every database can hold, or over `MAX_CUSTOM_STATUS_BYTES`.

    Raises:
        InvalidInput: If it is no text, or has NUL or lone surrogates.

        LimitExceeded: If it is too long.
    """
    _check_storable("custom status", status)
    _check_size(
        "Custom status size", status, MAX_CUSTOM_STATUS_BYTES, "Store large data elsewhere and report where it is."
    )


def check_kv_key(key: str) -> None:
    """
    Refuse a key that cannot be stored, whether it is to be written or to be looked for.

    Raises:
        InvalidInput: If it is no text, or has NUL or lone surrogates. An empty key is a key.

        LimitExceeded: If it is longer than `MAX_INSTANCE_ID_BYTES`.
    """
    _check_storable("KV key", key)
    # The key stands beside the instance id in the primary key.
    _check_size("KV key size", key, MAX_INSTANCE_ID_BYTES, "Use a shorter key.")


def check_kv(key: str, value: str) -> None:
    """
    Refuse a key that cannot be stored, or a value over `MAX_KV_VALUE_BYTES`.

    Raises:
        InvalidInput: If *key* is no text, or has NUL or lone surrogates. An empty key is a key.

        LimitExceeded: If *value* is too long, or *key* longer than `MAX_INSTANCE_ID_BYTES`.
    """
    check_kv_key(key)
    _check_size(f"KV value size of {key!r}", value, MAX_KV_VALUE_BYTES, "Store large data elsewhere.")


def check_kv_count(count: int) -> None:
    """
    Refuse *count* live keys if that is over `MAX_KV_KEYS`.

    Raises:
        LimitExceeded: If there are too many.
    """
    if count > MAX_KV_KEYS:
        msg = f"KV key count {count} exceeds limit of {MAX_KV_KEYS}. Clear or prune keys that are not needed any more."
        raise LimitExceeded(msg)


def _check_text(what: str, text: object) -> None:
    _check_storable(what, text)
    if not text:
        msg = f"{what} is empty: give at least one character."
        raise InvalidInput(msg)


def _check_storable(what: str, text: object) -> None:
    if not isinstance(text, str):
        msg = f"{what} is {text!r}: give a str."
        raise InvalidInput(msg)
    if "\0" in text:
        msg = f"{what} {text[:80]!r} has a NUL character, which Postgres cannot store. Remove it."
        raise InvalidInput(msg)
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        msg = f"{what} {text[:80]!r} has a lone surrogate, which is not valid Unicode text. Remove it."
        raise InvalidInput(msg)


def _check_size(what: str, text: str, limit: int, remedy: str) -> None:
    size = size_of(text)
    if size > limit:
        msg = f"{what} of {size} bytes exceeds limit of {limit} bytes. {remedy}"
        raise LimitExceeded(msg)
