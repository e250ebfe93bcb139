"""
How pydantic models are written: as pydantic says, unless that is to lose fields.

pydantic is not imported here: whoever has a model has it, and this is only given models.
"""

from __future__ import annotations

from typing import Any

from .texts import Unwritable


def write_model(model: Any) -> Any:
    """Return *model* in JSON's types."""
    tree = model.model_dump(mode="json")
    # pydantic writes what stands in a field as the class that the field is annotated with.
    whole = model.model_dump(mode="json", serialize_as_any=True, warnings=False)
    if tree != whole and (lost := _lost(tree, whole)) is not None:
        raise lost
    return tree


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
