"""
Gives locks back, and remembers those that could not be given back, because the store failed, until it answers.

Giving back a lock that is not held any more has no effect, so it may be done too often, but never too seldom:
nobody else can go on before the lock expires.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from ..errors import ProviderError
from ..providers.contract import Provider, Release
from .complaints import Complaints


_log = Complaints("duroxide.runtime")


class Returns:
    """What one thread has to give back."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._instances: list[Release] = []
        self._activities: list[Release] = []

    def instances(self, releases: Iterable[Release]) -> None:
        """Give instances back, now or when the store answers again."""
        self._instances.extend(releases)
        self.settle()

    def activities(self, releases: Iterable[Release]) -> None:
        """Give activities back, now or when the store answers again."""
        self._activities.extend(releases)
        self.settle()

    @property
    def owes(self) -> bool:
        """Whether something is still to be given back."""
        return bool(self._instances or self._activities)

    def settle(self) -> None:
        """Give back what is still owed."""
        self._instances = self._left(self._instances, self._provider.release_orchestration_items)
        self._activities = self._left(self._activities, self._provider.release_activities)

    @staticmethod
    def _left(owed: list[Release], release: Callable[[Sequence[Release]], object]) -> list[Release]:
        """Release what is *owed*; return what is owed then."""
        if not owed:
            return owed
        try:
            release(owed)
        except ProviderError as error:
            _log.warning("%d locks could not be given back yet: %s", len(owed), error)
            # What is refused for good will not do better next time: its lock expires.
            return owed if error.retryable else []
        except Exception:  # noqa: BLE001  # a provider's bug, likewise; it must not keep this thread from all other work
            _log.exception("%d locks could not be given back, and will expire", len(owed))
        return []
