"""
The gate before a deployment: replay what runs in a database against the code of this checkout.

Rule 1: nothing is written.

Rule 2: however many instances there are, a bounded number of them is in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from attrs import field, frozen

from .._core.commit import ENDED, GOING_ON
from .._core.portions import portions
from .._core.registry import Registry
from .._guard import Mode
from ..client import Client
from ..errors import Divergence, UnreadableHistory
from ..providers.contract import HistoryRequest, InstanceInfo, Provider
from ..providers.management import InstanceFilter
from .histories import start_of
from .replaying import is_registered, stored_divergence


#: Events that are read at once, unless one history alone has more.
EVENTS_AT_ONCE = 20_000
INSTANCES_AT_ONCE = 200


@frozen(kw_only=True)
class Selection:
    """Which instances to replay."""

    #: Only these; whatever their status. None: all that run.
    ids: tuple[str, ...] | None = None
    #: How many of the newest that have ended, besides.
    finished: int = 0
    #: Leave out instances of orchestrations that are not registered, instead of reporting them.
    skip_unregistered: bool = False
    guard: Mode = "off"


@frozen
class Outcome:
    """What came of one instance."""

    info: InstanceInfo
    divergence: Divergence | None = None
    #: Its orchestration is not registered, and it was left out.
    is_skipped: bool = field(default=False, kw_only=True)


def replay_stored(provider: Provider, registry: Registry, selection: Selection) -> Iterator[Outcome]:
    """Replay the current execution of the instances in *provider* that *selection* names; yield what came of each."""
    for batch in portions(_instances(Client(provider), selection), _cost, (INSTANCES_AT_ONCE, EVENTS_AT_ONCE)):
        requests = [HistoryRequest(info.instance_id, info.execution_id) for info in batch]
        for info, history in zip(batch, provider.read_histories(requests), strict=True):
            if isinstance(history, UnreadableHistory):
                yield Outcome(info, _unreadable(info, history))
            elif history:  # otherwise it was deleted meanwhile
                started = start_of(history)
                if selection.skip_unregistered and not is_registered(started, registry):
                    yield Outcome(info, is_skipped=True)
                else:
                    yield Outcome(info, stored_divergence(history, registry, guard=selection.guard))


def _instances(client: Client, selection: Selection) -> Iterator[InstanceInfo]:
    if selection.ids is not None:
        yield from (client.get_instance_info(instance_id) for instance_id in selection.ids)
        return
    yield from client.iterate_instances(InstanceFilter(statuses=GOING_ON))
    yield from islice(client.iterate_instances(InstanceFilter(statuses=ENDED)), selection.finished)


def _cost(info: InstanceInfo) -> tuple[int, int]:
    return 1, info.last_event_id


def _unreadable(info: InstanceInfo, error: UnreadableHistory) -> Divergence:
    return Divergence(
        instance_id=info.instance_id,
        execution_id=info.execution_id,
        orchestration=info.orchestration_name,
        version=info.orchestration_version,
        event_id=0,
        place="the store",
        expected="a history that this release can read",
        got=str(error),
    )
