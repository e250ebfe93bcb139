"""Live executions between turns: a bounded cache, the least recently used go first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from .._core.execution import Execution


class ExecutionCache:
    """Executions by instance id. Used by one thread at a time."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._executions: OrderedDict[str, Execution] = OrderedDict()

    def __len__(self) -> int:
        return len(self._executions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._executions)

    def __contains__(self, instance_id: object) -> bool:
        return instance_id in self._executions

    def take(self, instance_id: str) -> Execution | None:
        """
        Take the live execution of an instance out, if there is one here.

        Whoever takes it either puts it back with `keep`, or closes it: while it is in use, it cannot
        be pushed out by others.
        """
        return self._executions.pop(instance_id, None)

    def keep(self, execution: Execution) -> None:
        """Put *execution* in, and close those that no longer fit."""
        self.evict(execution.started.instance_id)
        self._executions[execution.started.instance_id] = execution
        while len(self._executions) > self._size:
            _, oldest = self._executions.popitem(last=False)
            oldest.close()

    def evict(self, instance_id: str) -> None:
        """Forget what is known of an instance: it is not, or no longer, what is in the store."""
        execution = self._executions.pop(instance_id, None)
        if execution is not None:
            execution.close()

    def clear(self) -> None:
        """Forget everything."""
        for instance_id in tuple(self._executions):
            self.evict(instance_id)
