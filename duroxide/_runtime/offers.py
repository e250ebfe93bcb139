"""
What clients of this process hand over: their messages go straight into turns, without having been in the queue.

Offers are taken while the dispatcher waits. One that is busy is better fed by the queue, unless its rounds are short and
what keeps it busy is a crowd of clients, who wait for what they have started: then they are better off sharing its commits. A
message is declined, and goes the general way, if its instance is not in memory, is in the round already, or cannot be
run here. Whether it overtakes another one is for the commit to say.
"""

from __future__ import annotations

import threading

from collections.abc import Callable, Iterable

from .._clock import monotonic, new_incarnation
from .._core.execution import Claim
from .._core.messages import StartOrchestration
from ..errors import ProviderError
from ..providers.handover import Offer, Offered
from .cache import ExecutionCache
from .complaints import Complaints
from .turns import Round, Turned, Turns


_log = Complaints("duroxide.runtime")

#: How many ids of starts are remembered. Whoever starts an id again wants it to exist, and need not have it run in vain.
REMEMBERED = 1000

#: Up to what length of a round (seconds) clients wait for the next one rather than write by themselves, …
SHORT = 0.02
#: … if there are so many of them, and no fewer than turns in a round. Fewer get more done beside the dispatcher.
CROWD = 4
#: For how long (seconds) a client that came is counted, at least.
COUNTED = 0.05

#: How long (seconds) no offers are taken after one was withdrawn: there is code that takes so long, or waits.
REST = 5.0


def as_unknown(error: BaseException) -> ProviderError:
    """Return *error* of a commit for those who sent a message with it; if it is a bug, nobody knows what has happened."""
    if isinstance(error, ProviderError):
        return error
    message = f"a commit failed with {error!r}, and may or may not have happened"
    return ProviderError("commit_turns", message, retryable=True)


class Desk:
    """
    Where offers are laid down while the dispatcher waits.

    Args:
        most: Messages of a round.

        wake: Called when there is an offer.
    """

    def __init__(self, most: int, wake: Callable[[], None]) -> None:
        self._most = most
        self._wake = wake
        self._lock = threading.Lock()
        self._is_open = False
        self._rests_until = 0.0
        self._offers: list[Offer] = []
        #: Threads that came lately, …
        self._came: set[int] = set()
        #: … and before.
        self._came_before: set[int] = set()
        self._count_until = 0.0

    @property
    def has_offers(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._offers)

    @property
    def is_open(self) -> bool:
        """Whether offers are taken now."""
        return self._is_open

    def open(self) -> None:
        """Take offers from now on."""
        with self._lock:
            self._is_open = monotonic() >= self._rests_until

    def after_round(self, turns: int, seconds: float) -> None:
        """Go on taking offers after a round of *turns* and *seconds* only if a crowd is behind them, and need not wait long."""
        now = monotonic()
        with self._lock:
            is_crowd = len(self._came | self._came_before) >= max(turns, CROWD)
            self._is_open = is_crowd and seconds < SHORT and now >= self._rests_until
            if now >= self._count_until:
                self._came, self._came_before = set(), self._came
                self._count_until = now + COUNTED

    def rest(self, seconds: float) -> None:
        """Take none for *seconds*."""
        with self._lock:
            self._is_open = False
            self._rests_until = monotonic() + seconds

    def lay_down(self, offer: Offer) -> bool:
        """Take *offer*, or return False. Called from any thread."""
        with self._lock:
            self._came.add(threading.get_ident())
            if not self._is_open or len(offer) + sum(map(len, self._offers)) > self._most:
                return False
            self._offers.append(offer)
        self._wake()
        return True

    def take(self) -> list[Offer]:
        """Return what was laid down."""
        with self._lock:
            offers, self._offers = self._offers, []
        return offers


class Offers:
    """Runs turns for what is offered, in the thread of the round."""

    def __init__(self, desk: Desk, turns: Turns, cache: ExecutionCache) -> None:
        self._desk = desk
        self._turns = turns
        self._cache = cache
        #: The ids that were to be started, the oldest first.
        self._tried: dict[str, None] = {}

    def run(self, offers: Iterable[Offer], round_: Round, claim: Claim) -> None:
        """Add a turn to *round_* for each message of *offers* that can be run here, and decline the others."""
        busy = {item.lock.instance_id for item in round_.items}
        busy.update(turned.commit.instance_id for turned in round_.turns)
        for offer in offers:
            for offered in () if offer.is_withdrawn else offer:
                instance_id = offered.message.instance_id
                turned = None if instance_id in busy else self._turn_of(offered, claim)
                if turned is None:
                    offered.declined()
                else:
                    busy.add(instance_id)
                    round_.turns.append(turned)

    def begin_writing(self, offers: Iterable[Offer], round_: Round) -> list[Turned]:
        """Take the turns out of *round_* whose clients did not wait for them, and return them."""
        withdrawn = {id(offer) for offer in offers if not offer.begin_writing()}
        if not withdrawn:
            return []
        self._desk.rest(REST)
        _log.debug("%d clients did not wait for their turns; nothing is handed over for %g s", len(withdrawn), REST)
        gone = [each for each in round_.turns if each.offered is not None and id(each.offered.offer) in withdrawn]
        left = {id(each) for each in round_.turns} - {id(each) for each in gone}
        round_.turns[:] = [each for each in round_.turns if id(each) in left]
        return gone

    def fail(self, round_: Round, error: BaseException) -> None:
        """A bug has ended *round_*: nobody knows of the turns that were being written."""
        for turned in round_.turns:
            if turned.offered is not None:
                turned.offered.failed(as_unknown(error))

    def _turn_of(self, offered: Offered, claim: Claim) -> Turned | None:
        message, execution = offered.message, None
        try:
            if isinstance(message, StartOrchestration):
                if self._is_new(message.instance_id):
                    execution = self._turns.begin(message, new_incarnation())
            else:
                execution = self._cache.take(message.instance_id)
            if execution is None:
                return None
            deliveries = [] if isinstance(message, StartOrchestration) else [message]
            turned = self._turns.hand_over(execution, deliveries, claim)
        except Exception:  # noqa: BLE001  # as with any turn: the general way will try it again, and count
            _log.exception("the turn of instance %r failed", message.instance_id)
            if execution is not None:
                execution.close()
            return None
        turned.offered = offered
        return turned

    def _is_new(self, instance_id: str) -> bool:
        """Whether nothing is known here of an instance of this id. It is from now on."""
        if instance_id in self._cache or instance_id in self._tried:
            return False
        self._tried[instance_id] = None
        if len(self._tried) > REMEMBERED:
            del self._tried[next(iter(self._tried))]
        return True
