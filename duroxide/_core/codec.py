"""
Events and messages, to JSON text and back.

Rule 1: what was written once can be read forever. Fields are only ever added, with a default; a
field this release does not know is left alone, an event *type* it does not know is `UnreadableEvent`.

Rule 2: the text holds only what has no column of its own: an event's payload without its envelope, a
message without the instance and execution that it is for.

Rule 3: the text is ASCII. So NUL and lone surrogates survive in any database.

Fields that are None are left out, and of `ErrorDetails` every field at its default.
"""

from __future__ import annotations

import json
import typing

from collections.abc import Callable, Mapping
from functools import cached_property
from itertools import islice
from json.encoder import encode_basestring_ascii
from operator import call
from typing import Any

from attrs import NOTHING as REQUIRED
from attrs import Attribute, evolve, fields

from .._nouns import define, frozen, values_of
from ..errors import MAX_CAUSES, ErrorCategory, ErrorDetails, ErrorKind
from .events import EVENT_TYPES, TYPE_NAMES, Event, KvEntry, Parent, QueuedMessage
from .messages import Deliver, Message, StartOrchestration


#: What `message_kind` calls a message that starts an execution; every other kind is an event's type.
START_KIND = "StartOrchestration"

_scan: Callable[[str, int], tuple[Any, int]]
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # undocumented: what raw_decode() calls

_encode_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class UnreadableEvent(ValueError):
    """Stored text that this release cannot read: written by a newer one, or damaged."""


def encode_event(event: Event) -> str:
    """Return the payload of *event* as JSON text; type, id and timestamp have columns of their own."""
    return _encode(_PLANS[type(event)], event)


def decode_event(type_name: str, event_id: int, timestamp_ms: int, data: str) -> Event:
    """
    Return the event that `encode_event` made *data* from.

    Raises:
        UnreadableEvent: If the type is unknown or *data* is not the payload of such an event.
    """
    plan = _plan_for(type_name)
    return plan.build(event_id, timestamp_ms, **_values(plan, _parse(data, type_name)))  # type: ignore[no-any-return]


def message_kind(message: Message) -> str:
    """Return what the queue's kind column says: `START_KIND`, or the type of the delivered event."""
    return START_KIND if isinstance(message, StartOrchestration) else TYPE_NAMES[type(message.event)]


def encode_message(message: Message) -> str:
    """Return *message* as JSON text; kind, instance and execution have columns of their own."""
    if isinstance(message, StartOrchestration):
        return _encode(_START_PLAN, message)
    return encode_event(message.event)


def decode_message(kind: str, instance_id: str, execution_id: int | None, data: str) -> Message:
    """
    Return the message that `encode_message` made *data* from.

    Raises:
        UnreadableEvent: If the kind is unknown or *data* is not such a message.
    """
    if kind != START_KIND:
        return Deliver(instance_id, execution_id, decode_event(kind, 0, 0, data))
    values = _values(_START_PLAN, _parse(data, kind))
    return StartOrchestration(instance_id, execution_id=1 if execution_id is None else execution_id, **values)


def encode_details(details: ErrorDetails) -> str:
    """Return *details* as JSON text, with at most `MAX_CAUSES` causes."""
    return _encode(_DETAILS_PLAN, _shortened(details))


def _shortened(details: ErrorDetails) -> ErrorDetails:
    if details.cause is None:
        return details
    links = list(islice(details.chain(), MAX_CAUSES + 2))
    if len(links) <= MAX_CAUSES + 1:
        return details
    shortened = None
    for link in reversed(links[: MAX_CAUSES + 1]):
        shortened = evolve(link, cause=shortened)
    return shortened or details


def decode_details(data: str) -> ErrorDetails:
    """
    Return the details that `encode_details` made *data* from.

    Raises:
        UnreadableEvent: If *data* is not such a text.
    """
    return _read_object(_DETAILS_PLAN, _parse(data, _DETAILS_PLAN.name))  # type: ignore[no-any-return]


def event_to_dict(event: Event) -> dict[str, Any]:
    """Return *event* as plain JSON values, envelope and all, for exported histories."""
    envelope = {"event_id": event.event_id, "timestamp_ms": event.timestamp_ms, "type": TYPE_NAMES[type(event)]}
    payload: dict[str, Any] = json.loads(encode_event(event))
    return envelope | payload


def event_from_dict(exported: Mapping[str, Any]) -> Event:
    """
    Return the event that `event_to_dict` made *exported* from.

    Raises:
        UnreadableEvent: If it is not an exported event.
    """
    plan = _plan_for(_read_str(exported.get("type")))
    envelope = (_read_int(exported.get(name)) for name in ("event_id", "timestamp_ms"))
    return plan.build(*envelope, **_values(plan, exported))  # type: ignore[no-any-return]


# How each kind of field is written and read.


@frozen
class _Format:
    """How a value is written as JSON text, and read from a parsed JSON value."""

    write: Callable[[Any], str]
    read: Callable[[Any], Any]
    #: Values of exactly this type need no reading.
    plain: type | None = None


@frozen
class _Field:
    """One field of a class, prepared for writing and reading."""

    name: str
    #: ``"name":``, ready to be followed by the value.
    prefix: str
    format: _Format
    #: What it is unless somebody says so; `REQUIRED` if somebody must.
    default: object


@define
class _Plan:
    """A class's name in messages, and how its fields are written and read: found out when the first one is."""

    name: str
    build: type
    #: Fields that have columns of their own.
    without: tuple[str, ...] = ()
    omit_defaults: bool = False

    @cached_property
    def fields(self) -> tuple[_Field, ...]:
        """Its prepared fields."""
        return _fields_of(self.build, without=self.without)

    @cached_property
    def required(self) -> tuple[str, list[Callable[[Any], str]], Callable[[Any], tuple[Any, ...]]]:
        """The text of the fields that have no default, with a gap for each; what writes them, and what gets them."""
        required = [each for each in self.fields if each.default is REQUIRED]
        text = ",".join(f"{each.prefix}%s" for each in required)
        return text, [each.format.write for each in required], values_of(each.name for each in required)

    @cached_property
    def optional(self) -> Callable[[Any], tuple[Any, ...]]:
        """What gets the values of the other fields."""
        return values_of(each.name for each in self._others)

    @cached_property
    def usual(self) -> tuple[tuple[Any, ...], str]:
        """The values of the other fields if nobody has said anything, and the text of them."""
        defaults = tuple(each.default for each in self._others)
        return defaults, self.written(defaults)

    def written(self, optional: tuple[Any, ...]) -> str:
        """Return the text of the other fields, as it follows that of the required ones."""
        parts = [
            each.prefix + each.format.write(content)
            for each, content in zip(self._others, optional, strict=True)
            if content is not None and not (self.omit_defaults and content is each.default)
        ]
        return ",".join(["", *parts] if self.required[0] else parts)

    @cached_property
    def _others(self) -> list[_Field]:
        return [each for each in self.fields if each.default is not REQUIRED]


def _encode(plan: _Plan, value: object) -> str:
    # Every event there is comes by here, most of them with nothing but what they must have.
    text, writers, get = plan.required
    optional, (usual, usual_text) = plan.optional(value), plan.usual
    rest = usual_text if optional == usual else plan.written(optional)
    return f"{{{text % tuple(map(call, writers, get(value)))}{rest}}}"


def _values(plan: _Plan, raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constructor's arguments, as far as *raw* has them."""
    values = {}
    for entry in plan.fields:
        content = raw.get(entry.name)
        if content is None:
            if entry.default is REQUIRED:
                msg = f"{plan.name} without {entry.name!r}: the stored data is damaged."
                raise UnreadableEvent(msg)
        elif type(content) is entry.format.plain:
            values[entry.name] = content
        else:
            values[entry.name] = _read(plan, entry, content)
    return values


def _read(plan: _Plan, entry: _Field, content: object) -> object:
    try:
        return entry.format.read(content)
    except (TypeError, ValueError) as error:
        msg = f"{plan.name}.{entry.name} cannot be read: {error}"
        raise UnreadableEvent(msg) from error


def _read_object(plan: _Plan, content: object) -> Any:
    return plan.build(**_values(plan, _expect(content, dict)))


def _expect(content: Any, kind: type) -> Any:
    if type(content) is not kind:
        msg = f"expected {kind.__name__}, found {type(content).__name__}"
        raise UnreadableEvent(msg)
    return content


def _read_str(content: object) -> str:
    return _expect(content, str)  # type: ignore[no-any-return]


def _read_int(content: object) -> int:
    return _expect(content, int)  # type: ignore[no-any-return]


def _parse(data: str, what: str) -> dict[str, Any]:
    try:
        # Not json.loads(), because it looks for white space around the text, with regular expressions.
        raw, end = _scan(data, 0)
    except (ValueError, RecursionError, StopIteration) as error:
        msg = f"{what}: the stored data is not JSON: {error!r}"
        raise UnreadableEvent(msg) from error
    if type(raw) is not dict or end != len(data):
        msg = f"{what}: the stored data is not one JSON object."
        raise UnreadableEvent(msg)
    parsed: dict[str, Any] = raw
    return parsed


def _plan_for(type_name: str) -> _Plan:
    try:
        return _PLANS[EVENT_TYPES[type_name]]
    except KeyError:
        msg = f"unknown event type {type_name!r}: it was written by a newer release of duroxide. Upgrade this worker."
        raise UnreadableEvent(msg) from None


def _write_kv(entries: Mapping[str, KvEntry]) -> str:
    return (
        _encode_json({key: [entry.value, entry.updated_at_ms] for key, entry in entries.items()}) if entries else "{}"
    )


def _read_kv(content: object) -> Mapping[str, KvEntry]:
    return {key: KvEntry(_read_str(text), _read_int(at)) for key, (text, at) in _expect(content, dict).items()}


def _write_queued(messages: tuple[QueuedMessage, ...]) -> str:
    return _encode_json([[message.queue, message.data] for message in messages]) if messages else "[]"


def _read_queued(content: object) -> tuple[QueuedMessage, ...]:
    return tuple(QueuedMessage(_read_str(queue), _read_str(data)) for queue, data in _expect(content, list))


def _enum_format(kind: type[ErrorCategory | ErrorKind]) -> _Format:
    return _Format(lambda value: encode_basestring_ascii(value.value), kind)


_DETAILS_PLAN = _Plan("ErrorDetails", ErrorDetails, omit_defaults=True)
_PARENT_PLAN = _Plan("Parent", Parent)

_FORMATS: Mapping[object, _Format] = {
    str: _Format(encode_basestring_ascii, _read_str, str),
    int: _Format(int.__repr__, _read_int, int),
    bool: _Format(lambda value: "true" if value else "false", lambda content: _expect(content, bool), bool),
    ErrorCategory: _enum_format(ErrorCategory),
    ErrorKind: _enum_format(ErrorKind),
    ErrorDetails: _Format(encode_details, lambda content: _read_object(_DETAILS_PLAN, content)),
    Parent: _Format(lambda parent: _encode(_PARENT_PLAN, parent), lambda content: _read_object(_PARENT_PLAN, content)),
    Mapping[str, KvEntry]: _Format(_write_kv, _read_kv),
    tuple[QueuedMessage, ...]: _Format(_write_queued, _read_queued),
}


def _fields_of(cls: type, *, without: tuple[str, ...]) -> tuple[_Field, ...]:
    hints = typing.get_type_hints(cls)
    attributes: tuple[Attribute[Any], ...] = fields(cls)
    return tuple(
        _Field(
            name=attribute.name,
            prefix=f'"{attribute.name}":',
            format=_format_of(hints[attribute.name]),
            default=_default_of(attribute),
        )
        for attribute in attributes
        if attribute.name not in without
    )


def _default_of(attribute: Attribute[Any]) -> object:
    default: Any = attribute.default
    return default.factory() if hasattr(default, "factory") else default


def _format_of(hint: Any) -> _Format:
    """Look up the format of a field, ``T`` or ``T | None``."""
    kinds = [kind for kind in typing.get_args(hint) if kind is not type(None)]
    return _FORMATS[hint] if hint in _FORMATS else _FORMATS[kinds[0]]


_START_PLAN = _Plan(START_KIND, StartOrchestration, without=("instance_id", "execution_id"))
_PLANS: Mapping[type, _Plan] = {
    cls: _Plan(name, cls, without=("event_id", "timestamp_ms")) for name, cls in EVENT_TYPES.items()
}
