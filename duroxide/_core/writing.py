"""
Users' values to JSON's own types: by the type of the value, for all that JSON does not know.

Rule 1: what an annotation says changes nothing in what is written, but for keys: ``dict[int, str]`` may have them.

Rule 2: a field whose value does not fit its annotation, so that it would be read as something else or as less, is refused.

What is made ready for a class is made once, when the first of its instances is written.
"""

from __future__ import annotations

import functools
import json
import math
import typing

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, TypeVar

from .._nouns import values_of
from .hints import (
    Field,
    fields_of,
    has_fields,
    has_typed_keys,
    hints_of,
    is_named_tuple,
    is_type_alias,
    is_typed_dict,
    is_union,
    members_of,
    names_of,
    pydantic_fields,
    unwrapped,
)
from .models import check_dataclass, write_model
from .names import name_of
from .remaking import check_of
from .texts import Representation, Unwritable, representation_of


__all__ = ["Ambiguous", "Unwritable", "UnwritableKey", "Writer", "hinted", "key_text", "write"]

Writer = Callable[[Any], Any]

_SCALARS: frozenset[type] = frozenset({str, int, float, bool, type(None)})
_SUPPORTED = (
    "Supported are None, bool, int, float, str, lists, tuples, sets, dicts with str keys, attrs classes, dataclasses,"
    " named tuples, enums, datetimes, timedelta, Decimal, UUID, bytes, paths and pydantic models."
)


class UnwritableKey(Unwritable):
    """A key of a dict that is no text, and of which no annotation says what it is."""


class Ambiguous(Unwritable):
    """A value that would be read as another member of the union that it is annotated with."""


def write(value: Any) -> Any:
    """
    Return *value* in JSON's types, by its own type. Whether numbers are finite is left to whoever makes text of it.

    Raises:
        Unwritable: If it cannot be written, or something in it.
    """
    kind = type(value)
    writer = _writers.get(kind)
    if writer is None:
        writer = _writers[kind] = _writer_for(kind)
    return writer(value)


# By the type of the value.


def _as_it_is(value: Any) -> Any:
    return value


def _writer_for(kind: type) -> Writer:
    if issubclass(kind, Enum):
        return lambda member: write(member.value)
    if issubclass(kind, str | int | float):
        return _as_it_is
    representation = representation_of(kind)
    if representation is not None:
        return representation.write
    if pydantic_fields(kind) is not None:
        return write_model
    if has_fields(kind):
        return _fields_writer(kind)
    if is_named_tuple(kind):
        return _named_tuple_writer(kind)
    return next((writer for base, writer in _COLLECTIONS if issubclass(kind, base)), _refuse)


def _refuse(value: Any) -> Any:
    msg = f"is of type {name_of(type(value))}. {_SUPPORTED}"
    raise Unwritable(msg)


def _write_mapping(mapping: Mapping[Any, Any], contents: Writer = write, write_key: Writer | None = None) -> Any:
    tree: dict[str, Any] = {}
    for key, content in mapping.items():
        text = key if type(key) is str and write_key is None else (write_key or _own_key)(key)
        if text in tree:
            msg = f"has two keys that are both written as {text!r}. Use keys of one type."
            raise Unwritable(msg)
        try:
            tree[text] = contents(content)
        except Unwritable as error:
            error.inside(f".{text}")
            raise
    return tree


def _own_key(key: Any) -> str:
    try:
        text = write(key)
    except Unwritable:
        text = None
    if not isinstance(text, str):
        msg = (
            f"has the key {key!r} of type {name_of(type(key))}, and JSON has only str keys. Use str keys. Numbers and enums"
            " may be keys where an annotation says so, dict[int, str] for example: in a field of a class, or of a function"
            " that is given itself, not by its name."
        )
        raise UnwritableKey(msg)
    return text


def _write_sequence(members: Collection[Any], contents: Writer = write) -> list[Any]:
    tree: list[Any] = []
    try:
        for member in members:
            tree.append(contents(member))  # noqa: PERF401  # its length says where it failed
    except Unwritable as error:
        error.inside(f"[{len(tree)}]")
        raise
    return tree


def _write_set(members: Collection[Any], contents: Writer = write) -> list[Any]:
    # In an order that does not depend on the process: replay compares what was written.
    return sorted(_write_sequence(members, contents), key=json.dumps)


_COLLECTIONS: tuple[tuple[Any, Writer], ...] = (
    (Mapping, _write_mapping),
    (AbstractSet, _write_set),
    (Sequence | deque, _write_sequence),
)

_writers: dict[type, Writer] = dict.fromkeys(_SCALARS, _as_it_is)


# Classes with fields.


def _fields_writer(kind: Any) -> Writer:
    check_dataclass(kind)
    fields = [(field, key) for field in fields_of(kind) if (key := _key_for(field)) is not None]
    if not fields:
        return lambda _: {}
    keys = [key for _, key in fields]
    as_they_are = [_takes_scalars(field.hint) for field, _ in fields]
    writers = [hinted(field.hint) for field, _ in fields]
    get = values_of(field.name for field, _ in fields)
    check = check_of(kind)

    def write_fields(value: Any) -> dict[str, Any]:
        tree = {}
        key = ""
        try:
            for key, as_it_is, writer, content in zip(keys, as_they_are, writers, get(value), strict=True):
                tree[key] = content if as_it_is and type(content) in _SCALARS else writer(content)
        except Unwritable as error:
            error.inside(f".{key}")
            raise
        if check is not None:
            check(value)
        return tree

    short = [
        (key, field.name, field.default) for field, key in fields if field.default and _is_omitted_if_default(field)
    ]
    return _without_defaults(write_fields, short) if short else write_fields


def _without_defaults(write_fields: Writer, short: Sequence[tuple[str, str, Callable[[Any], object]]]) -> Writer:
    def write_short(value: Any) -> dict[str, Any]:
        tree: dict[str, Any] = write_fields(value)
        for key, name, default in short:
            if getattr(value, name) == default(value):
                del tree[key]
        return tree

    return write_short


def _is_omitted_if_default(field: Field) -> bool:
    return bool(getattr(_override_of(field.hint), "omit_if_default", False))


def _takes_scalars(hint: object) -> bool:
    """Whether plain values are written as they are in a field that is annotated so, be it right or wrong."""
    hint = unwrapped(hint)
    if is_union(hint):
        return all(_takes_scalars(member) for member in typing.get_args(hint))
    return hint in (str, int, float, bool, None, type(None), object, Any)


def _key_for(field: Field) -> str | None:
    """Return the key that *field* is written as; None if it is not written, since ``__init__`` does not take it."""
    override = _override_of(field.hint)
    is_left_out = field.argument is None if override is None or override.omit is None else override.omit
    if is_left_out:
        return None
    return field.name if override is None or override.rename is None else str(override.rename)


def _override_of(hint: Any) -> Any:
    """Return what ``Annotated[int, cattrs.gen.override(...)]`` says: cattrs, which reads, goes by it, too."""
    notes = getattr(hint, "__metadata__", ())
    return next((note for note in notes if type(note).__module__.startswith("cattrs.")), None)


# By annotation: nothing but keys, and whether the value fits.


def hinted(hint: Any) -> Writer:
    """Return what writes values that are annotated as *hint*."""
    hint = unwrapped(hint)
    if is_type_alias(hint):
        return _alias_writer(hint)
    if is_union(hint):
        return _union_writer(hint)
    cls = typing.get_origin(hint) or hint
    # Any, Literal, a TypeVar, a name that cannot be found: they say nothing of how to write.
    return _class_hint(hint, cls) if isinstance(cls, type) else write


def _alias_writer(alias: Any) -> Writer:
    @functools.cache
    def writer() -> Writer:
        # Not before the first value: a type may be named in its own definition.
        return hinted(alias.__value__)

    return lambda value: writer()(value)  # noqa: PLW0108  # see above


def _class_hint(hint: Any, cls: Any) -> Writer:
    if cls in (object, type(None)):
        return write
    if is_typed_dict(cls):
        return _typed_dict_writer(cls)
    if issubclass(cls, Enum) or representation_of(cls) is not None:
        return _single_writer(cls, representation_of(cls))
    scalar = next((base for base in (str, bool, int, float) if issubclass(cls, base)), None)
    if scalar is not None:
        return _scalar_writer(scalar, cls)
    if names_of(cls) is not None or is_named_tuple(cls):
        return _instance_writer(hint, cls)
    if issubclass(cls, Mapping):
        return _mapping_hint(hint)
    if issubclass(cls, AbstractSet | Sequence | deque) or cls in (Collection, Iterable):
        return _sequence_hint(hint, cls)
    return write


def _misfit(
    value: Any, hint: object, reason: str = "", *, remedy: str = "", error: type[Unwritable] = Unwritable
) -> Unwritable:
    why = reason or "it would be read as that"
    what = remedy or "Send what the annotation says, or correct the annotation."
    return error(f"is of type {name_of(type(value))}, and its annotation is {name_of(hint)}: {why}. {what}")


def _scalar_writer(cls: type, hint: type) -> Writer:
    def write_scalar(value: Any) -> Any:
        # Another plain value is for the receiver to refuse.
        if type(value) in _SCALARS or isinstance(value, cls):
            return write(value)
        tree = write(value)
        if type(tree) in _SCALARS and tree is not None:
            raise _misfit(value, hint)
        return tree

    return write_scalar


def _single_writer(cls: type, representation: Representation | None) -> Writer:
    def write_single(value: Any) -> Any:
        if type(value) is cls:
            return write(value)
        if isinstance(value, cls) and representation_of(type(value)) is representation:
            return write(value)
        if representation is not None and isinstance(value, representation.also):
            return representation.write(value)
        raise _misfit(value, cls)

    return write_single


def _instance_writer(hint: Any, cls: type) -> Writer:
    """Return what writes instances of *cls*, and of other classes if they have no more fields than it."""
    fitting = {cls} if hint is cls else set()
    make_writer = _named_tuple_writer if is_named_tuple(cls) else _fields_writer
    of_arguments = functools.cache(lambda: make_writer(hint))  # not before the first: a class may contain itself

    def write_instance(value: Any) -> Any:
        kind = type(value)
        if kind in fitting:
            return write(value)
        if kind is cls:
            return of_arguments()(value)
        if not (kind in (list, tuple) and is_named_tuple(cls)):
            _check_instance(value, hint, cls)
            fitting.add(kind)
        return write(value)

    return write_instance


def _check_instance(value: Any, hint: Any, cls: type) -> None:
    names, of_hint = names_of(type(value)), names_of(cls)
    if not isinstance(value, cls) and (names is None or of_hint is None):
        raise _misfit(value, hint)
    lost = sorted((names or frozenset()) - (of_hint or frozenset()))
    if lost:
        reason = f"it would be read as that, without {', '.join(lost)}"
        remedy = f"Annotate it with each class that it may be: {name_of(hint)} | {name_of(type(value))}."
        raise _misfit(value, hint, reason, remedy=remedy)


def _union_writer(hint: Any) -> Writer:
    members = [unwrapped(member) for member in typing.get_args(hint) if member is not type(None)]
    if len(members) == 1:
        only = hinted(members[0])
        return lambda value: None if value is None else only(value)
    writers = [(_class_of(member), hinted(member)) for member in members]
    plain = tuple(member for member in members if member in (str, int, float, bool))

    def write_member(value: Any) -> Any:
        if type(value) in _SCALARS:
            return value
        exact = (writer for cls, writer in writers if cls is type(value))
        near = (writer for cls, writer in writers if cls is not None and isinstance(value, cls))
        tree = next(exact, None) or next(near, write)
        written = tree(value)
        if isinstance(written, plain) and not isinstance(value, plain):
            reason = f"it is written as {written!r}, and would be read as {type(written).__name__}"
            remedy = "Make these two fields, or two classes, or one of the types."
            raise _misfit(value, hint, reason, remedy=remedy, error=Ambiguous)
        return written

    return write_member


def _class_of(hint: Any) -> Any:
    cls = typing.get_origin(hint) or hint
    if is_typed_dict(cls):
        return dict
    # Protocols cannot be asked for instances.
    return cls if isinstance(cls, type) and not getattr(cls, "_is_protocol", False) else None


def _typed_dict_writer(cls: Any) -> Writer:
    @functools.cache
    def members() -> Mapping[str, Writer]:
        # Not before the first: one may contain itself.
        hints = {name: _required(hint) for name, hint in hints_of(cls).items()}
        return {name: hinted(hint) for name, hint in hints.items()}

    def write_typed_dict(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise _misfit(value, cls)
        known = members()
        tree = {}
        for key, content in value.items():
            try:
                tree[key if type(key) is str else _own_key(key)] = known.get(key, _write_unknown)(content)
            except Unwritable as error:
                error.inside(f".{key}")
                raise
        return tree

    return write_typed_dict


def _write_unknown(value: Any) -> Any:
    if type(value) in _SCALARS or type(value) in (list, dict):
        return write(value)
    msg = f"is of type {name_of(type(value))}, and the TypedDict has no such key, so that it would be read as JSON."
    raise Unwritable(f"{msg} Add the key to the TypedDict.")


def _required(hint: Any) -> Any:
    is_mark = typing.get_origin(hint) in (typing.Required, typing.NotRequired)
    return typing.get_args(hint)[0] if is_mark else hint


def _sequence_hint(hint: Any, cls: Any) -> Writer:
    arguments = typing.get_args(hint)
    if issubclass(cls, tuple) and arguments and arguments[-1] is not Ellipsis:
        return _members_writer([hinted(argument) for argument in arguments], hint)
    contents = hinted(arguments[0]) if arguments else write
    is_set = issubclass(cls, AbstractSet)

    def write_sequence(value: Any) -> Any:
        if value is None:
            return None
        if type(value) is not list and not _is_collection(value):
            raise _misfit(value, hint)
        return (
            _write_set(value, contents)
            if is_set or isinstance(value, AbstractSet)
            else _write_sequence(value, contents)
        )

    return write_sequence


def _is_collection(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | bytearray | memoryview | Mapping)


def _members_writer(contents: Sequence[Writer], hint: Any = tuple) -> Writer:
    def write_members(value: Any) -> list[Any]:
        if not _is_collection(value) or isinstance(value, AbstractSet) or len(value) != len(contents):
            raise _misfit(value, hint, f"it has {len(contents)} members")
        writers = iter(contents)
        return _write_sequence(value, lambda member: next(writers)(member))  # noqa: PLW0108  # another for each

    return write_members


def _named_tuple_writer(kind: Any) -> Writer:
    return _members_writer([hinted(hint) for hint in members_of(kind)])


# Mappings whose keys are not texts: JSON knows only texts as keys.


def _mapping_hint(hint: Any) -> Writer:
    # A Counter has one, and what has none may hold anything.
    key_hint, content_hint, *_ = (*typing.get_args(hint), Any, Any)
    contents = hinted(content_hint)
    write_key = functools.partial(key_text, unwrapped(key_hint)) if has_typed_keys(hint) else None

    def write_mapping(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise _misfit(value, hint)
        return _write_mapping(value, contents, write_key)

    return write_mapping


def key_text(key_hint: Any, key: Any) -> str:
    """Return *key* as text. Only a receiver that reads them as numbers, or as an enum, may be sent numbers."""
    is_number = key_hint in (int, float)
    may_be_number = is_number or isinstance(key_hint, TypeVar) or issubclass(_class_of(key_hint) or object, Enum)
    written = write(key)
    if may_be_number and type(written) in (int, float) and math.isfinite(written):
        return json.dumps(written)
    if is_number and isinstance(written, str):
        raise _misfit(key, key_hint).inside(f".{key}")
    return written if isinstance(written, str) else _own_key(key)
