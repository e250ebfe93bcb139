"""
What users' annotations say: the fields of a class and their types, with names in quotes looked up.

Rule: nothing here knows how a value is written or read.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing

from collections.abc import Callable, Mapping, MutableMapping
from typing import Annotated, Any, ClassVar, Final, Literal, TypeVar

import attrs

from .._nouns import frozen


@frozen
class Field:
    """A field of a user's attrs class or dataclass."""

    name: str
    hint: object
    #: The name of the argument of ``__init__`` that it is made from; None if there is none.
    argument: str | None
    #: Whether instances that differ in it are different.
    is_compared: bool
    #: An instance → the value that the field has if nobody gives it one; None if there is none.
    default: Callable[[Any], object] | None


def has_fields(kind: object) -> bool:
    """Whether *kind* is an attrs class or a dataclass."""
    return isinstance(kind, type) and (hasattr(kind, "__attrs_attrs__") or hasattr(kind, "__dataclass_fields__"))


def is_named_tuple(kind: object) -> bool:
    """Whether *kind* is a class of named tuples, or one with arguments."""
    kind = typing.get_origin(kind) or kind
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def pydantic_fields(kind: object) -> Mapping[str, object] | None:
    """Return the fields of *kind* by name, None if it is no pydantic model."""
    # Whoever has a model has imported pydantic; we never do.
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    if model is None or not isinstance(kind, type) or not issubclass(kind, model):
        return None
    fields: Mapping[str, object] = kind.model_fields  # type: ignore[attr-defined]
    return fields


def names_of(kind: type) -> frozenset[str] | None:
    """Return the names of what is written of an instance of *kind*; None if it is no class with fields."""
    if has_fields(kind):
        return frozenset(field.name for field in fields_of(kind) if field.argument is not None)
    model = pydantic_fields(kind)
    return None if model is None else frozenset(model)


def fields_of(kind: Any) -> list[Field]:
    """Return the fields of *kind*: an attrs class, a dataclass, or one of those with arguments, ``Box[int]``."""
    cls = typing.get_origin(kind) or kind
    hints = hints_of(cls)
    known = _type_arguments(kind)
    return [attrs.evolve(field, hint=_with(hints.get(field.name, field.hint), known)) for field in _declared(cls)]


def members_of(kind: Any) -> list[object]:
    """Return the types of the members of *kind*: a class of named tuples, or one with arguments."""
    cls = typing.get_origin(kind) or kind
    hints, known = hints_of(cls), _type_arguments(kind)
    return [_with(hints.get(name, Any), known) for name in cls._fields]


def _declared(cls: Any) -> list[Field]:
    if hasattr(cls, "__attrs_attrs__"):
        return [
            Field(field.name, field.type, field.alias if field.init else None, bool(field.eq), _default_of_attrs(field))
            for field in attrs.fields(cls)
        ]
    return [
        Field(field.name, field.type, field.name if field.init else None, field.compare, _default_of_dataclass(field))
        for field in dataclasses.fields(cls)
    ]


def _default_of_attrs(field: Any) -> Callable[[Any], object] | None:
    default = field.default
    if isinstance(default, attrs.Factory):  # type: ignore[arg-type]  # attrs' stub calls the class a function
        return default.factory if default.takes_self else lambda _: default.factory()
    return None if default is attrs.NOTHING else lambda _: default


def _default_of_dataclass(field: dataclasses.Field[Any]) -> Callable[[Any], object] | None:
    factory, default = field.default_factory, field.default
    if factory is not dataclasses.MISSING:
        return lambda _: factory()
    return None if default is dataclasses.MISSING else lambda _: default


def init_only_of(cls: type) -> list[str]:
    """Return the arguments that a dataclass takes and does not keep: its ``InitVar``."""
    declared: Mapping[str, Any] = getattr(cls, "__dataclass_fields__", {})
    # How dataclasses tells them apart from fields is not public; that they are no fields is.
    kept = {field.name for field in dataclasses.fields(cls)} if declared else set()
    return [name for name, field in declared.items() if name not in kept and not _is_class_variable(field.type)]


def _is_class_variable(hint: object) -> bool:
    if isinstance(hint, str):
        return "ClassVar" in hint
    return hint is ClassVar or typing.get_origin(hint) is ClassVar


def hints_of(cls: Any) -> Mapping[str, object]:
    """Return the annotations of *cls*, names in quotes looked up; none if one of them cannot be found."""
    try:
        return typing.get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001  # annotations are users' expressions
        return {}


def has_forward_references(hint: object) -> bool:
    """Whether there is a name in quotes in *hint*."""
    if isinstance(hint, str | typing.ForwardRef):
        return True
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal or origin is Annotated:
        # What else is in there may be texts, and no names.
        arguments = arguments[:1] if origin is Annotated else ()
    return any(has_forward_references(argument) for argument in arguments)


def unwrapped(hint: Any) -> Any:
    """Return *hint* without what says nothing about values: Annotated, Final, ClassVar, NewType."""
    while True:
        origin = typing.get_origin(hint)
        if origin in (Annotated, Final, ClassVar):
            hint = hint.__origin__ if origin is Annotated else typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        else:
            return hint


def is_type_alias(hint: object) -> bool:
    """Whether *hint* is what ``type Name = ...`` makes, since Python 3.12."""
    return type(hint).__name__ == "TypeAliasType"


def is_typed_dict(hint: object) -> bool:
    """Whether *hint* is a TypedDict, be it of typing_extensions."""
    return isinstance(hint, type) and issubclass(hint, dict) and hasattr(hint, "__total__")


def is_plain_mapping(hint: object) -> bool:
    """Whether *hint* is a dict, or what stands for one; not one of its subclasses."""
    cls = typing.get_origin(hint) or hint
    return any(cls is mapping for mapping in (dict, Mapping, MutableMapping))


def has_typed_keys(hint: object) -> bool:
    """Whether *hint* is a mapping that says of what type its keys are: texts in JSON, as those of all others are here, too."""
    arguments = typing.get_args(hint)
    return is_plain_mapping(hint) and bool(arguments) and unwrapped(arguments[0]) not in (str, Any, object, bool)


def is_union(hint: object) -> bool:
    """Whether *hint* is a union: ``int | str``, ``Optional[int]``."""
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _type_arguments(kind: Any) -> Mapping[TypeVar, object]:
    """Return what the type variables of a generic class stand for, in its bases, too."""
    origin = typing.get_origin(kind)
    known = dict(zip(getattr(origin, "__parameters__", ()), typing.get_args(kind), strict=False))
    for base in getattr(origin or kind, "__orig_bases__", ()):
        if typing.get_origin(base) is not typing.Generic:
            known.update({name: _with(hint, known) for name, hint in _type_arguments(base).items()})
    return known


def _with(hint: Any, known: Mapping[Any, object]) -> Any:
    if not known:
        return hint
    if isinstance(hint, TypeVar):
        return known.get(hint, hint)
    parameters = () if isinstance(hint, type) else getattr(hint, "__parameters__", ())
    return hint[tuple(known.get(parameter, parameter) for parameter in parameters)] if parameters else hint
