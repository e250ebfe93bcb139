"""
How pydantic models are written and read: as pydantic says, unless that is to lose something.

Rule: what pydantic has written by the names of the fields is read by them, whatever aliases there are.

pydantic is not imported here: whoever has a model has it, and this is only given models.
"""

from __future__ import annotations

import functools
import inspect
import json

from typing import Any

from .names import name_of
from .texts import Unwritable


#: What pydantic writes of a secret.
_MASK = "**********"


def write_model(model: Any) -> Any:
    """Return *model* in JSON's types."""
    kind: Any = type(model)
    _check_aliases(kind)
    tree = model.model_dump(mode="json")
    # pydantic writes what stands in a field as the class that the field is annotated with.
    whole = model.model_dump(mode="json", serialize_as_any=True, warnings=False)
    if tree != whole and (lost := _lost(tree, whole)) is not None:
        raise lost
    if _has_mask(tree) and (masked := _masked(tree, model.model_dump())) is not None:
        raise masked
    return tree


def read_model(tree: Any, kind: Any) -> Any:
    """Return the model of *kind* that *tree* was written of."""
    options = {"by_alias": True, "by_name": True} if _can_read_by_name(_base_of(kind)) else {}
    return kind.model_validate_json(json.dumps(tree), **options)


def _base_of(kind: Any) -> Any:
    """Return pydantic's own class of models."""
    return next(each for each in reversed(kind.__mro__) if hasattr(each, "model_validate_json"))


@functools.cache
def _can_read_by_name(base: Any) -> bool:
    """Whether this pydantic reads fields by their names if they have aliases: since 2.11."""
    return "by_name" in inspect.signature(base.model_validate_json).parameters


@functools.cache
def _check_aliases(kind: Any) -> None:
    """Refuse models that this pydantic would not read as it has written them."""
    fields = kind.model_fields.items()
    aliased = [name for name, field in fields if field.validation_alias not in (None, name)]
    if aliased and not kind.model_config.get("populate_by_name") and not _can_read_by_name(_base_of(kind)):
        msg = (
            f"is of type {name_of(kind)}, and this pydantic reads {', '.join(aliased)} by an alias only. Upgrade pydantic to"
            " 2.11 or later, or set populate_by_name=True."
        )
        raise Unwritable(msg)


def check_dataclass(kind: Any) -> None:
    """Refuse pydantic's dataclasses that cannot be made by the names of their fields, by which they are written."""
    config = getattr(kind, "__pydantic_config__", None) or {}
    if config.get("populate_by_name") or config.get("validate_by_name"):
        return
    aliases = {name: field.validation_alias for name, field in getattr(kind, "__pydantic_fields__", {}).items()}
    aliased = [name for name, alias in aliases.items() if alias and name not in getattr(alias, "choices", (alias,))]
    if aliased:
        msg = (
            f"is of type {name_of(kind)}, and pydantic takes {', '.join(aliased)} of a dataclass by an alias only. Give it"
            " config=ConfigDict(populate_by_name=True), or make it a BaseModel."
        )
        raise Unwritable(msg)


def _lost(tree: Any, whole: Any) -> Unwritable | None:
    """Return which keys of *whole* are not in *tree*; None if there are none."""
    if isinstance(tree, dict) and isinstance(whole, dict):
        names = sorted(whole.keys() - tree.keys())
        if names:
            return Unwritable(
                f"is of a class derived from its annotation, and pydantic would write it without {', '.join(names)}."
                " Annotate it with its own class, or as pydantic.SerializeAsAny."
            )
        places = [(f".{key}", tree[key], whole[key]) for key in whole]
    elif isinstance(tree, list) and isinstance(whole, list):
        places = [(f"[{index}]", *pair) for index, pair in enumerate(zip(tree, whole, strict=False))]
    else:
        places = []
    found = ((place, _lost(part, whole_part)) for place, part, whole_part in places)
    return next((lost.inside(place) for place, lost in found if lost is not None), None)


def _has_mask(tree: Any) -> bool:
    if type(tree) is dict:
        return any(map(_has_mask, tree.values()))
    return any(map(_has_mask, tree)) if type(tree) is list else tree == _MASK


def _masked(tree: Any, values: Any) -> Unwritable | None:
    """Return where *values* has a secret of which *tree* has the mask; None: nowhere."""
    if tree == _MASK and hasattr(values, "get_secret_value"):
        return Unwritable(
            "is a secret, which pydantic writes as asterisks, and what is stored can be read by anybody. Pass where the"
            " secret is kept; or a str, if it may be read."
        )
    if isinstance(tree, dict) and isinstance(values, dict):
        places = [(f".{key}", *pair) for key, *pair in zip(tree, tree.values(), values.values(), strict=False)]
    elif isinstance(tree, list) and isinstance(values, list | tuple | set | frozenset):
        places = [(f"[{index}]", *pair) for index, pair in enumerate(zip(tree, values, strict=False))]
    else:
        places = []
    found = ((place, _masked(part, value)) for place, part, value in places)
    return next((masked.inside(place) for place, masked in found if masked is not None), None)
