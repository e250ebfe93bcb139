"""
How types that JSON does not know are written in JSON: the one cattrs converter of the library.

Rule 1: what one release writes, the next one reads. The representations below are part of the stored format.

Rule 2: nothing is guessed. A text is not taken for a number, a number not for a text.

Importing cattrs takes 60 ms, so only `payloads` imports this module, and only when a value or a type needs it.
"""

from __future__ import annotations

import base64
import json
import sys
import types
import typing

from collections.abc import Callable, Mapping, MutableMapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from cattrs import Converter
from cattrs.preconf.json import make_converter


_MICROSECOND = timedelta(microseconds=1)

#: Types that are written as text: how to write and how to read them.
_TEXTS: Mapping[type, tuple[Callable[[Any], str], Callable[[str], object]]] = {
    Decimal: (str, Decimal),
    UUID: (str, UUID),
    datetime: (datetime.isoformat, datetime.fromisoformat),
    date: (date.isoformat, date.fromisoformat),
    time: (time.isoformat, time.fromisoformat),
    bytes: (lambda value: base64.b64encode(value).decode(), lambda text: base64.b64decode(text, validate=True)),
    bytearray: (
        lambda value: base64.b64encode(value).decode(),
        lambda text: bytearray(base64.b64decode(text, validate=True)),
    ),
}


def build_converter() -> Converter:
    """Return a new converter with all hooks of the library."""
    converter = make_converter(unstruct_collection_overrides={})
    # object says as little as Any, also inside list[object] or object | None.
    converter.register_structure_hook_func(lambda kind: kind is object, lambda value, _: value)
    for plain in (str, int, bool):
        converter.register_structure_hook(plain, _exactly(plain))
    converter.register_structure_hook(float, _structure_float)
    for kind, (write, read) in _TEXTS.items():
        converter.register_unstructure_hook(kind, write)
        converter.register_structure_hook(kind, _from_text(read))
    converter.register_unstructure_hook(timedelta, lambda value: value // _MICROSECOND)
    converter.register_structure_hook(timedelta, _structure_timedelta)
    converter.register_unstructure_hook_func(_is_path, str)
    converter.register_structure_hook_func(_is_path, _structure_path)
    converter.register_unstructure_hook_factory(_is_named_tuple, _named_tuple_writer)
    converter.register_structure_hook_factory(_is_named_tuple, _named_tuple_reader)
    converter.register_unstructure_hook_factory(_is_set, _set_writer)
    converter.register_unstructure_hook_factory(_has_typed_keys, _mapping_writer)
    converter.register_structure_hook_factory(_has_typed_keys, _mapping_reader)
    converter.register_unstructure_hook_func(_is_pydantic_model, lambda model: model.model_dump(mode="json"))
    converter.register_structure_hook_func(
        _is_pydantic_model, lambda value, model: model.model_validate_json(json.dumps(value))
    )
    return converter


def _exactly(kind: type) -> Callable[[Any, Any], Any]:
    def structure(value: Any, asked_for: Any) -> Any:
        if type(value) is not kind:
            msg = f"expected {kind.__name__}, found {type(value).__name__}"
            raise TypeError(msg)
        # cattrs comes here for subclasses too: StrEnum, IntEnum, a user's own str.
        is_subclass = isinstance(asked_for, type) and asked_for is not kind and issubclass(asked_for, kind)
        return asked_for(value) if is_subclass else value

    return structure


_structure_str = _exactly(str)
_structure_int = _exactly(int)


def _structure_float(value: Any, _: Any) -> float:
    if type(value) is not float and type(value) is not int:
        msg = f"expected float, found {type(value).__name__}"
        raise TypeError(msg)
    return float(value)


def _from_text(read: Callable[[str], object]) -> Callable[[Any, Any], Any]:
    def structure(value: Any, kind: Any) -> Any:
        text = _structure_str(value, kind)
        try:
            return read(text)
        except ArithmeticError as error:  # what Decimal raises for a text that is no number
            msg = f"{text!r} is not a {kind.__name__}"
            raise ValueError(msg) from error

    return structure


def _structure_timedelta(value: Any, _: Any) -> timedelta:
    return _MICROSECOND * int(_structure_int(value, int))


def _is_path(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, PurePath)


def _structure_path(value: Any, kind: Any) -> PurePath:
    text = _structure_str(value, str)
    # What ran elsewhere may have been a WindowsPath; a hint for the concrete class is a hint for a path.
    return Path(text) if issubclass(kind, Path) else kind(text)


# Named tuples: cattrs' own hooks cannot resolve annotations that are strings.


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _named_tuple_writer(_: Any, converter: Converter) -> Callable[[Any], list[Any]]:
    return lambda members: [converter.unstructure(member) for member in members]


def _named_tuple_reader(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    hints = typing.get_type_hints(kind)
    members: Any = types.GenericAlias(tuple, tuple(hints.get(name, Any) for name in kind._fields))
    return lambda value, _: kind(*converter.structure(value, members))


# Sets, in an order that does not depend on the process: replay compares what was written.


def _is_set(kind: Any) -> bool:
    origin = typing.get_origin(kind) or kind
    return isinstance(origin, type) and issubclass(origin, AbstractSet)


def _set_writer(kind: Any, converter: Converter) -> Callable[[Any], list[Any]]:
    (element,) = typing.get_args(kind) or (Any,)
    unstructure_as = None if element is Any else element

    def write(members: Any) -> list[Any]:
        written = (converter.unstructure(member, unstructure_as=unstructure_as) for member in members)
        return sorted(written, key=lambda value: json.dumps(value, default=repr))

    return write


# Mappings whose keys are not texts: JSON knows only texts as keys.


def _has_typed_keys(kind: Any) -> bool:
    arguments = typing.get_args(kind)
    origin = typing.get_origin(kind)
    return (
        origin in (dict, Mapping, MutableMapping)
        and len(arguments) > 0
        and arguments[0] not in (str, Any, object, bool)
    )


def _mapping_writer(kind: Any, converter: Converter) -> Callable[[Mapping[Any, Any]], dict[str, Any]]:
    key_type, value_type = typing.get_args(kind)
    unstructure_as = None if value_type is Any else value_type

    def write(mapping: Mapping[Any, Any]) -> dict[str, Any]:
        return {
            _key_text(converter.unstructure(key, unstructure_as=key_type)): converter.unstructure(
                value, unstructure_as=unstructure_as
            )
            for key, value in mapping.items()
        }

    return write


def _key_text(key: Any) -> Any:
    """Return a number as text. What is neither is left to be refused, with its path."""
    return json.dumps(key) if type(key) in (int, float) else key


def _mapping_reader(kind: Any, converter: Converter) -> Callable[[Any, Any], dict[Any, Any]]:
    key_type, value_type = typing.get_args(kind)

    def read(value: Any, _: Any) -> dict[Any, Any]:
        return {
            _key_of(text, key_type, converter): converter.structure(content, value_type)
            for text, content in _exactly(dict)(value, dict).items()
        }

    return read


def _key_of(text: str, key_type: Any, converter: Converter) -> Any:
    is_enum = isinstance(key_type, type) and issubclass(key_type, Enum)
    if is_enum:
        members = {_key_text(converter.unstructure(member)): member for member in key_type}
        if text in members:
            return members[text]
    is_number = key_type in (int, float)
    return converter.structure(json.loads(text) if is_number else text, key_type)


def _is_pydantic_model(kind: Any) -> bool:
    # Whoever has a model has imported pydantic; we never do.
    pydantic = sys.modules.get("pydantic")
    model = getattr(pydantic, "BaseModel", None)
    return model is not None and isinstance(kind, type) and issubclass(kind, model)
