"""What is known of the activities and orchestrations that are called: their name, and what they take and return."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from .._nouns import noun
from . import limits
from .functions import FunctionInfo, inspect_activity, inspect_orchestration, registered_name
from .state import decoder


@noun
class Callee:
    """An activity or orchestration that is called."""

    name: str
    #: How errors call its input.
    what_goes_in: str
    #: What it reads its input as; Any if that is not known.
    input_type: object
    #: JSON text of its result → value.
    decode: Callable[[str], Any]


class Callees:
    """
    Those of one kind. What was called by function is remembered: to work it out takes longer than all the rest of a call.

    Args:
        kind: What errors call them: ``"activity"``.

        inspect: What says what is known of a function.

        check_name: Refuses what cannot be the name of one.
    """

    def __init__(self, kind: str, inspect: Callable[..., FunctionInfo], check_name: Callable[[str, str], None]) -> None:
        self._kind = kind
        self._inspect = inspect
        self._check_name = check_name
        self._known: WeakKeyDictionary[Callable[..., Any], Callee] = WeakKeyDictionary()

    def find(self, function: Callable[..., Any] | str) -> Callee:
        """
        Return what is known of *function*; of a name, nothing but that.

        Raises:
            InvalidInput: If it has no name, or none that it may have, or cannot be called.
        """
        if isinstance(function, str):
            return self._called(function, Any, Any)
        name = registered_name(function, self._kind)
        try:
            callee = self._known.get(function)
            if callee is None or callee.name != name:
                callee = self._known[function] = self._inspected(function, name)
        except TypeError:  # neither hashable nor weakly referable
            return self._inspected(function, name)
        return callee

    def _inspected(self, function: Callable[..., Any], name: str) -> Callee:
        info = self._inspect(function, name=name)
        return self._called(name, info.input_type, info.result_type)

    def _called(self, name: str, input_type: object, result_type: object) -> Callee:
        self._check_name(f"{self._kind} name", name)
        decode = decoder(result_type, f"result of {self._kind} {name!r}")
        return Callee(name, f"input of {self._kind} {name!r}", input_type, decode)


activities = Callees("activity", inspect_activity, limits.check_activity_name)
orchestrations = Callees("orchestration", inspect_orchestration, limits.check_function_name)
