"""
How unions are read: which of its members a value is.

Rule: nothing is guessed. What may be several of them is refused, since what was written does not say which it was.

Importing cattrs takes 60 ms, so only `converter` imports this module.
"""

from __future__ import annotations

import typing

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, Flag
from typing import Any, Literal

from cattrs import Converter
from cattrs.disambiguators import create_default_dis_func

from .hints import has_fields, is_type_alias, is_typed_dict, is_union, names_of, pydantic_fields, unwrapped
from .names import name_of
from .texts import Unwritable, representation_of
from .writing import write


_PLAIN: tuple[type, ...] = (str, bool, int, float)


def is_read_here(kind: Any) -> bool:
    """Whether *kind* is a union with anything in it but plain values, which cattrs tells apart."""
    return is_union(kind) and len(_members_of(kind)) > 1 and not all(map(_is_plain, _members_of(kind)))


def union_reader(kind: Any, converter: Converter) -> Callable[[Any, Any], Any]:
    """Return what reads the one member of *kind* that a value can be."""
    members = _members_of(kind)
    has_none = len(members) < len(typing.get_args(kind))
    plain = [cls for member in members if (cls := unwrapped(member)) in _PLAIN]
    guess = _guess_of(members, converter)
    shapes: list[frozenset[type] | None] = []

    def read(value: Any, _: Any) -> Any:
        if type(value) in plain or (value is None and has_none):
            return value
        if not shapes:  # not before the first: a type may be named in its own definition
            shapes.extend(map(_shapes_of, members))
        pairs = zip(members, shapes, strict=True)
        fitting: Sequence[Any] = [member for member, known in pairs if known is None or type(value) in known]
        if not fitting:
            msg = f"expected {_listed(members)}, found {type(value).__name__}"
            raise TypeError(msg)
        if len(fitting) == 1:
            return converter.structure(value, fitting[0])
        if type(value) is dict:
            fitting = _with_these_fields(value, fitting)
            if len(fitting) > 1 and guess is not None:
                return converter.structure(value, guess(value))
        return _only_one(value, fitting, converter)

    return read


def _members_of(union: Any) -> list[Any]:
    return [member for member in typing.get_args(union) if member is not type(None)]


def _is_plain(member: Any) -> bool:
    hint = unwrapped(member)
    return hint in _PLAIN or typing.get_origin(hint) is Literal


def _guess_of(members: Sequence[Any], converter: Converter) -> Callable[[Any], Any] | None:
    """Return what tells attrs classes and dataclasses apart by fields that only one has; None if there is no such thing."""
    if not all(has_fields(typing.get_origin(member) or member) for member in members):
        return None
    try:
        guess: Callable[[Any], Any] = create_default_dis_func(converter, *members)
    except TypeError:
        return None

    def checked(value: Any) -> Any:
        cls = guess(value)
        if cls is None:
            raise ValueError(_those_of_none(value, members))
        return cls

    return checked


def _with_these_fields(value: Mapping[str, Any], members: Sequence[Any]) -> Sequence[Any]:
    """Return those of *members* that are classes with the very fields of *value*, or all, if there is none."""
    names = [_keys_of(member) for member in members]
    if None in names:  # one that may have any keys
        return members
    keys = frozenset(value)
    return [member for member, known in zip(members, names, strict=True) if known == keys] or members


def _keys_of(member: Any) -> frozenset[str] | None:
    """Return the keys of what is written of instances of *member*; None if they are not known."""
    cls: Any = typing.get_origin(member) or member
    fields = pydantic_fields(cls)
    if fields is None:
        return names_of(cls)
    if _is_root_model(cls):
        return None
    by_alias = bool(cls.model_config.get("serialize_by_alias"))
    aliases = {name: getattr(field, "serialization_alias", None) for name, field in fields.items()}
    written = {alias if by_alias and alias else name for name, alias in aliases.items()}
    return frozenset(written.union(cls.model_computed_fields))


def _is_root_model(cls: Any) -> bool:
    return bool(getattr(cls, "__pydantic_root_model__", False))


def _only_one(value: Any, members: Sequence[Any], converter: Converter) -> Any:
    """Return *value* as the only one of *members* that it can be read as."""
    if len(members) == 1:
        return converter.structure(value, members[0])
    if type(value) is dict and all(has_fields(typing.get_origin(member) or member) for member in members):
        # cattrs leaves out what it does not know, so that each might do.
        if any(_keys_of(member) == frozenset(value) for member in members):
            raise ValueError(_several(members))
        raise ValueError(_those_of_none(value, members))
    found: list[tuple[Any, Any]] = []
    reasons: list[str] = []
    for member in members:
        try:
            found.append((member, converter.structure(value, member)))
        except Exception as error:  # noqa: BLE001  # validators of user classes may raise anything
            reasons.append(f"not {name_of(member)}, since {str(error) or type(error).__name__}")
    if not found:
        raise ValueError("; ".join(reasons))
    if len(found) > 1:
        raise ValueError(_several([member for member, _ in found]))
    return found[0][1]


def _several(members: Iterable[Any]) -> str:
    return (
        f"it may be each of {_listed(members)}, and what was written does not say which. Give each class a field that tells"
        " it from the others, such as a Literal; of other types annotate one"
    )


def _those_of_none(value: Mapping[str, Any], members: Iterable[Any]) -> str:
    return f"the fields {', '.join(value)} are those of none of {_listed(members)}"


def _listed(members: Iterable[Any]) -> str:
    return " | ".join(map(name_of, members))


# What JSON has for values of a type.


def _shapes_of(hint: Any) -> frozenset[type] | None:
    """Return the types of what is written of values of *hint*; None: it may be any."""
    hint = unwrapped(hint)
    if is_type_alias(hint):
        return _shapes_of(hint.__value__)
    if is_union(hint):
        known = [_shapes_of(member) for member in typing.get_args(hint)]
        return None if None in known else frozenset().union(*(each for each in known if each is not None))
    if typing.get_origin(hint) is Literal:
        return _shapes_in(typing.get_args(hint))
    cls = typing.get_origin(hint) or hint
    return _shapes_of_class(cls) if isinstance(cls, type) else None


def _shapes_of_class(cls: Any) -> frozenset[type] | None:
    if issubclass(cls, Enum):
        # Flags may be combined.
        return _shapes_in(cls, int) if issubclass(cls, Flag) else _shapes_in(cls)
    representation = representation_of(cls)
    if representation is not None:
        return frozenset({representation.shape})
    if issubclass(cls, float):
        return frozenset({float, int})
    if pydantic_fields(cls) is not None:
        return None if _is_root_model(cls) else frozenset({dict})
    if has_fields(cls) or is_typed_dict(cls) or issubclass(cls, Mapping):
        return frozenset({dict})
    plain = next((each for each in (*_PLAIN, type(None)) if issubclass(cls, each)), None)
    if plain is not None:
        return frozenset({plain})
    return frozenset({list}) if issubclass(cls, Iterable) else None


def _shapes_in(values: Iterable[Any], *more: type) -> frozenset[type] | None:
    try:
        return frozenset({type(write(value)) for value in values}.union(more))
    except Unwritable:
        return None
