"""Why instances were passed on by this runtime: what to say of one that becomes poison after that."""

from __future__ import annotations

from collections import OrderedDict

from ..providers.contract import OrchestrationItem


#: Instances that are remembered, at most; of those that were passed on before, nobody knows why any more.
_MOST = 1000


class Reasons:
    """The last reason for each instance. Used by one thread at a time."""

    def __init__(self) -> None:
        # With the place in history: a reason is none for what comes after it.
        self._reasons: OrderedDict[str, tuple[tuple[int, int, int], str]] = OrderedDict()

    def note(self, item: OrchestrationItem, reason: str) -> None:
        """Take note that *item* was passed on because of *reason*."""
        self._reasons[item.lock.instance_id] = (_place(item), reason)
        self._reasons.move_to_end(item.lock.instance_id)
        if len(self._reasons) > _MOST:
            self._reasons.popitem(last=False)

    def of(self, item: OrchestrationItem) -> str | None:
        """Return why *item* was passed on before, if it was, and forget it."""
        place, reason = self._reasons.pop(item.lock.instance_id, (None, None))
        return reason if place == _place(item) else None

    def explains(self, item: OrchestrationItem) -> bool:
        """Whether *item* was passed on before, as it stands."""
        place, _ = self._reasons.get(item.lock.instance_id, (None, None))
        return place == _place(item)


def _place(item: OrchestrationItem) -> tuple[int, int, int]:
    return item.incarnation, item.execution_id, item.last_event_id
