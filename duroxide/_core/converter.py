"""
How what was written is read by type hints: the one cattrs converter of the library.

Rule 1: what one release writes, the next one reads; see `texts` for single values.

Rule 2: nothing is guessed. A text is not taken for a number or a list, a number not for a text.

Importing cattrs takes 60 ms, so only `payloads` imports this module, and only when a type needs it.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import types
import typing

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Any, TypeVar

import attrs

from cattrs import Converter
from cattrs.cols import list_structure_factory
from cattrs.errors import IterableValidationError, IterableValidationNote
from cattrs.gen import make_dict_structure_fn_from_attrs, override
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typed_dict_structure_fn
from cattrs.preconf.json import make_converter

from .hints import (
    fields_of,
    has_fields,
    has_forward_references,
    has_typed_keys,
    hints_of,
    is_named_tuple,
    is_plain_mapping,
    is_typed_dict,
    members_of,
    pydantic_fields,
    unwrapped,
)
from .models import read_model
from .texts import REPRESENTATIONS, exactly
from .unions import is_read_here, union_reader
from .writing import key_text, write


Reader = Callable[[Any, Any], Any]


def build_converter() -> Converter:
    """Return a new converter with all hooks of the library."""
    converter = make_converter()
    # object says as little as Any, also inside list[object] or object | None.
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    for plain in (str, int, bool, type(None)):
        converter.register_structure_hook(plain, _exactly(plain))
    converter.register_structure_hook(float, _read_float)
    for kind, representation in REPRESENTATIONS.items():
        converter.register_structure_hook(kind, _unless_enum(representation.read))
    converter.register_structure_hook_factory(_is_collection, _collection_reader)
    converter.register_structure_hook_factory(_is_enum, _enum_reader)
    converter.register_structure_hook_factory(is_named_tuple, _named_tuple_reader)
    converter.register_structure_hook_factory(_is_mapping, _mapping_reader)
    converter.register_structure_hook_factory(is_typed_dict, _typed_dict_reader)
    converter.register_structure_hook_factory(_is_class, _class_reader)
    converter.register_structure_hook_factory(is_read_here, union_reader)
    converter.register_structure_hook_func(lambda kind: pydantic_fields(kind) is not None, read_model)
    converter.register_structure_hook_func(
        lambda kind: isinstance(kind, TypeVar), lambda value, kind: converter.structure(value, _bound_of(kind))
    )
    return converter


def _bound_of(variable: TypeVar) -> Any:
    """Return what is known of a type that a generic function leaves open."""
    bound = variable.__bound__
    return Any if bound is None or has_forward_references(bound) else bound


def _unless_enum(read: Reader) -> Reader:
    # cattrs comes here for subclasses too, and an enum's members may be dates, for example.
    return lambda value, kind: _enum_reader(kind)(value, kind) if _is_enum(kind) else read(value, kind)


def _exactly(kind: type) -> Reader:
    def read(value: Any, asked_for: Any) -> Any:
        exactly(value, kind)
        # cattrs comes here for subclasses too: StrEnum, IntEnum, a user's own str.
        is_subclass = isinstance(asked_for, type) and asked_for is not kind and issubclass(asked_for, kind)
        return asked_for(value) if is_subclass else value

    return read


def _read_float(value: Any, asked_for: Any) -> float:
    if type(value) is not float and type(value) is not int:
        msg = f"expected float, found {type(value).__name__}"
        raise TypeError(msg)
    number = float(value)
    if number != value:
        msg = f"expected float, found {value}, which no float is equal to"
        raise ValueError(msg)
    is_subclass = isinstance(asked_for, type) and issubclass(asked_for, float)
    return asked_for(number) if is_subclass else number


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Enum)


@functools.cache
def _enum_reader(kind: Any) -> Reader:
    # By what they are written as: a value may be a tuple, or a date.
    members = {json.dumps(write(member)): member for member in kind}
    if len(members) < len(list(kind)):
        msg = f"two members of {kind.__name__} are written alike. Give them values that JSON tells apart"
        raise TypeError(msg)
    # What is not among them may be flags, or known to _missing_().
    return lambda value, _: members[text] if (text := json.dumps(value)) in members else kind(value)


# Lists of all kinds. Of cattrs' own hooks some take a text for a list of letters, and a dict for a list of its keys.

_BUILDERS: Mapping[Any, Callable[[list[Any]], Any]] = {
    list: list,
    collections.abc.MutableSequence: list,
    collections.abc.Sequence: tuple,
    tuple: tuple,
    set: set,
    collections.abc.MutableSet: set,
    frozenset: frozenset,
    collections.abc.Set: frozenset,
    collections.deque: collections.deque,
    collections.abc.Collection: list,
    collections.abc.Iterable: list,
}


def _is_collection(kind: Any) -> bool:
    cls = typing.get_origin(kind) or kind
    return isinstance(cls, type) and cls in _BUILDERS


def _collection_reader(kind: Any, converter: Converter) -> Reader:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        return _members_reader(arguments, converter)
    members: Any = types.GenericAlias(list, arguments[:1] or (Any,))
    read, build = list_structure_factory(members, converter), _BUILDERS[origin]
    return lambda value, _: build(read(exactly(value, list), members))


def _members_reader(hints: Sequence[Any], converter: Converter) -> Reader:
    hooks = [_hook_for(hint, converter) for hint in hints]

    def read(value: Any, kind: Any) -> tuple[Any, ...]:
        if len(exactly(value, list)) != len(hints):
            msg = f"expected {len(hints)} members, found {len(value)}"
            raise ValueError(msg)
        try:
            return tuple([hook(content, hint) for hook, content, hint in zip(hooks, value, hints, strict=True)])
        except Exception:  # noqa: BLE001  # now with the places
            return say_where(value, kind)

    def say_where(value: Any, kind: Any) -> tuple[Any, ...]:
        members, errors = [], []
        for index, (content, hint) in enumerate(zip(value, hints, strict=True)):
            try:
                members.append(converter.structure(content, hint))
            except Exception as error:  # noqa: BLE001  # validators of user classes may raise anything
                error.add_note(IterableValidationNote(f"Structuring {kind} @ index {index}", index, hint))
                errors.append(error)
        if errors:
            msg = f"While structuring {kind!r}"
            raise IterableValidationError(msg, errors, kind)
        return tuple(members)

    return read


def _hook_for(hint: Any, converter: Converter) -> Reader:
    try:
        hook: Reader = converter.get_structure_hook(hint)
    except RecursionError:  # how cattrs says that it is about to make it
        return converter.structure
    return hook


def _named_tuple_reader(kind: Any, converter: Converter) -> Reader:
    # cattrs' own hooks cannot resolve annotations that are strings.
    build = typing.get_origin(kind) or kind
    typing.get_type_hints(build)  # what cannot be found is an error here
    read = _members_reader(members_of(kind), converter)
    return lambda value, _: build(*read(value, kind))


# Classes.


def _is_class(kind: Any) -> bool:
    return has_fields(typing.get_origin(kind) or kind)


def _class_reader(kind: Any, converter: Converter) -> Reader:
    cls = typing.get_origin(kind) or kind
    declared = attrs.fields(cls) if attrs.has(cls) else dataclasses.fields(cls)
    # cattrs looks up names in quotes only if there is an annotation that is all in quotes.
    is_left = not any(isinstance(field.type, str) for field in declared)
    if is_left and any(has_forward_references(field.type) for field in declared):
        if not attrs.has(cls):
            return _of_dict(_resolving_reader(kind, converter))
        attrs.resolve_types(cls)
    return _of_dict(converter.gen_structure_attrs_fromdict(kind))


def _resolving_reader(kind: Any, converter: Converter) -> Reader:
    """Return what reads a dataclass, names in quotes looked up."""
    cls = typing.get_origin(kind) or kind
    typing.get_type_hints(cls)  # what cannot be found is an error here
    declared = {field.name: field for field in dataclasses.fields(cls)}
    fields: dict[str, Any] = {}
    for field in fields_of(kind):
        if field.argument is not None:
            is_required = declared[field.name].default is declared[field.name].default_factory is dataclasses.MISSING
            default: Any = attrs.NOTHING if is_required else None  # never used: what is missing is left to __init__
            hint: Any = field.hint
            fields[field.name] = attrs.field(type=hint, default=default, alias=field.name, kw_only=True)
    # The class may contain itself, so that what reads a field is found when it is read.
    late: dict[str, Any] = {name: override(struct_hook=converter.structure) for name in fields}
    return make_dict_structure_fn_from_attrs(
        list(attrs.fields(attrs.make_class(cls.__name__, fields))), cls, converter, **late
    )


def _typed_dict_reader(kind: Any, converter: Converter) -> Reader:
    hints, required = hints_of(kind), kind.__required_keys__
    marks = {name: mark for name, hint in hints.items() if (mark := typing.get_origin(hint)) in _MARKS}
    # Where annotations are texts, a TypedDict does not know of those of its keys that are marked.
    if all((mark is typing.Required) == (name in required) for name, mark in marks.items()):
        return _of_dict(converter.gen_structure_typeddict(kind))
    marked = {name: hint if name in marks else _MARKS[name not in required][hint] for name, hint in hints.items()}
    make: Any = typing.TypedDict
    # It may contain itself, so that what reads a member is found when it is read.
    late: dict[str, Any] = {name: override(struct_hook=converter.structure) for name in marked}
    return _of_dict(make_typed_dict_structure_fn(make(kind.__name__, marked), converter, **late))


#: Of keys that must be there, and of others.
_MARKS = (typing.Required, typing.NotRequired)


def _of_dict(read: Reader) -> Reader:
    """Return *read* for dicts only: to look for fields in a text is to find none, and to take the defaults."""
    return lambda value, kind: read(value if type(value) is dict else exactly(value, dict), kind)


# Mappings. Some have keys that are not texts, and JSON knows only texts as keys.

#: What an enum's value must be for it to be a key.
_KEYS = (str, int, float)


def _needs_no_reading(kind: Any) -> bool:
    key_type, value_type = typing.get_args(kind) or (Any, Any)
    return key_type in (str, Any, object) and value_type in (Any, object)


def _is_mapping(kind: Any) -> bool:
    return is_plain_mapping(kind) and (_needs_no_reading(kind) or has_typed_keys(kind))


def _mapping_reader(kind: Any, converter: Converter) -> Reader:
    if _needs_no_reading(kind):
        return lambda value, _: exactly(value, dict)
    key_type, value_type = typing.get_args(kind)

    def read(value: Any, _: Any) -> dict[Any, Any]:
        return {
            _key_of(text, key_type, converter): converter.structure(content, value_type)
            for text, content in exactly(value, dict).items()
        }

    return read


def _key_of(text: str, key_type: Any, converter: Converter) -> Any:
    key_type = unwrapped(key_type)
    if _is_enum(key_type):
        values = {member: write(member) for member in key_type}
        members = {key_text(key_type, member): member for member, value in values.items() if type(value) in _KEYS}
        if text in members:
            return members[text]
    is_number = key_type in (int, float)
    return converter.structure(json.loads(text) if is_number else text, key_type)
