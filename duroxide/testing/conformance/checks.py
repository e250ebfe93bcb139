"""What all checks share: the provider under test, the clock that they hold, and the hooks that a provider fills in."""

from __future__ import annotations

import re
import threading

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from unittest import SkipTest

from attrs import define

from ..._clock import Clock
from ...client import Client
from ...providers.contract import Provider
from ...providers.management import Management
from ...providers.wakeups import Subscription
from .vocabulary import NOW


#: Seconds after which a thread of a check counts as stuck.
PATIENCE = 30.0


@define
class HeldClock:
    """Stands still until the check moves it."""

    ms: int = NOW

    def now_ms(self) -> int:
        """Return the time that was set."""
        return self.ms

    def advance(self, ms: int) -> None:
        """Let *ms* milliseconds pass."""
        self.ms += ms


class Checks:
    """
    One check: made anew for each, with an empty store and a clock that stands still.

    A provider's own tests override `make_provider`, and what they can of the other hooks.
    """

    _provider: Provider | None = None
    _clock: HeldClock | None = None
    _subscriptions: tuple[Subscription, ...] = ()

    # Hooks

    def make_provider(self, clock: Clock) -> Provider:
        """Return an initialized provider on an empty store, which takes the time from *clock*."""
        raise NotImplementedError

    def make_another(self) -> Provider:
        """Return another provider on the store of this check. By default there is only one."""
        return self.provider

    def close(self) -> None:
        """Release what the check has opened."""
        if self._provider is not None:
            self._provider.close()

    def damage_messages(self) -> None:
        """Make the messages of the orchestrator queue unreadable, as bad blocks or a newer release do."""
        reason = "this provider has no way to damage its store"
        raise SkipTest(reason)

    def damage_histories(self) -> None:
        """Make the events of all histories unreadable."""
        reason = "this provider has no way to damage its store"
        raise SkipTest(reason)

    # For the checks

    def teardown_method(self) -> None:
        """End the check; pytest and `run_conformance` call it."""
        for subscription in self._subscriptions:
            subscription.close()
        self.close()

    def until_the_end(self, subscription: Subscription) -> None:
        """Close *subscription* when the check ends: the signal may outlive the provider."""
        self._subscriptions = (*self._subscriptions, subscription)

    @property
    def clock(self) -> HeldClock:
        """The clock of the provider."""
        if self._clock is None:
            self._clock = HeldClock()
        return self._clock

    @property
    def provider(self) -> Provider:
        """The provider under test, made when it is first asked for."""
        if self._provider is None:
            self._provider = self.make_provider(self.clock)
        return self._provider

    @property
    def management(self) -> Management:
        """The provider, which has to have management: else the check is skipped."""
        if not isinstance(self.provider, Management):
            reason = "this provider has no management"
            raise SkipTest(reason)
        return self.provider

    @property
    def client(self) -> Client:
        """A client of the provider, which has to have management."""
        assert isinstance(self.management, Management)
        return Client(self.provider)

    def audit(self) -> list[tuple[str, str, int | None]]:
        """Return what the provider's audit finds: rule, instance and event of each. Without audit, nothing."""
        audit = getattr(self.provider, "audit", None)
        found = () if audit is None else audit()
        return sorted({(violation.rule, violation.instance_id, violation.event_id) for violation in found})

    def needs_audit(self) -> None:
        """Skip the check where the provider has no audit."""
        if not hasattr(self.provider, "audit"):
            reason = "this provider has no audit"
            raise SkipTest(reason)


@contextmanager
def raises(kind: type[Exception], match: str = "") -> Iterator[None]:
    """Assert that the body raises *kind*, with a message in which the pattern *match* is found."""
    try:
        yield
    except kind as error:
        assert re.search(match, str(error)), f"{str(error)!r} does not match {match!r}"
    else:
        message = f"no {kind.__name__} was raised"
        raise AssertionError(message)


def at_once(*works: Callable[[], object]) -> None:
    """Run *works* at the same time, each in a thread, to their ends; the first that failed is raised."""
    errors: list[BaseException] = []
    together = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            together.wait(PATIENCE)
            work()
        except BaseException as error:  # noqa: BLE001  # raised below, in the thread of the check
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if errors:
        raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a thread is stuck"


def found_by(takers: int, take: Callable[[], Sequence[str]]) -> list[str]:
    """Return all that *takers* threads get, each calling *take* until there is nothing."""
    found: list[str] = []

    def run() -> None:
        while items := take():
            found.extend(items)

    at_once(*[run] * takers)
    return found
