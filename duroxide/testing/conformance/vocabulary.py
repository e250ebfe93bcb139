"""Short names for long values: the messages, events and commits that checks are made of, and what they ask."""

from __future__ import annotations

from attrs import evolve

from ..._core import events as e
from ..._core.commit import (
    ActivityLock,
    CommitResult,
    ExecutionStatus,
    InstanceLock,
    NewExecution,
    Outgoing,
    TurnCommit,
)
from ..._core.messages import ActivityExecute, ActivityKey, Deliver, StartOrchestration
from ...providers.contract import ActivityItem, HistoryRequest, InstanceInfo, OrchestrationItem, Provider, TagFilter


#: When every check begins, in milliseconds since the epoch.
NOW = 1_700_000_000_000

#: How long locks last in the checks, in milliseconds.
LOCK_MS = 30_000

ANY_TAG = TagFilter(tags=None)


def start(instance_id: str = "a", execution_id: int = 1) -> Outgoing:
    """A message that starts an instance."""
    return Outgoing(StartOrchestration(instance_id, "fulfil", "null", execution_id=execution_id))


def raised(instance_id: str = "a", name: str = "approved", data: str = "null") -> Outgoing:
    """An external event."""
    return Outgoing(Deliver(instance_id, None, e.ExternalEvent(0, 0, name, data)))


def timer(instance_id: str, event_id: int, at_ms: int, execution_id: int = 1) -> Outgoing:
    """The message of a timer."""
    return Outgoing(Deliver(instance_id, execution_id, e.TimerFired(0, 0, event_id, at_ms)), at_ms)


def started(instance_id: str = "a", execution_id: int = 1) -> e.OrchestrationStarted:
    """The first event of an execution."""
    return e.OrchestrationStarted(1, NOW, instance_id, execution_id, "fulfil", "1.0.0", "null")


def scheduled(event_id: int) -> e.ActivityScheduled:
    """An activity that was asked for."""
    return e.ActivityScheduled(event_id, NOW, "charge", "null")


def completed(event_id: int, source: int) -> e.ActivityCompleted:
    """The answer of an activity."""
    return e.ActivityCompleted(event_id, NOW, source, '"done"')


def activity(
    instance_id: str = "a",
    activity_id: int = 2,
    *,
    tag: str | None = None,
    session_id: str | None = None,
    execution_id: int = 1,
) -> ActivityExecute:
    """An activity to run."""
    key = ActivityKey(instance_id, execution_id, activity_id)
    return ActivityExecute(key, "charge", "null", "fulfil", "1.0.0", session_id=session_id, tag=tag)


def lock_of(work: ActivityExecute, token: str = "token") -> ActivityLock:  # noqa: S107  # not a password
    """A lock on *work*."""
    return ActivityLock(work.key, token)


NEW = NewExecution("fulfil", "1.0.0", None, "1.2.3")


def first_turn(
    instance_id: str = "a",
    *activities: ActivityExecute,
    eager: tuple[ActivityLock, ...] = (),
    messages: tuple[Outgoing, ...] = (),
    timers: tuple[int, ...] = (),
) -> TurnCommit:
    """The first commit of an instance, the short way: it schedules *activities*, with ids from 2 on."""
    ids = {work.key.activity_id for work in activities}
    events: list[e.Event] = [scheduled(event_id) for event_id in ids]
    events += [e.TimerCreated(event_id, NOW, NOW + 1000) for event_id in timers]
    return TurnCommit(
        instance_id=instance_id,
        execution_id=1,
        incarnation=7,
        last_event_id=0,
        started=NEW,
        events=(started(instance_id), *sorted(events, key=lambda event: event.event_id)),
        activities=activities,
        eager=eager,
        messages=messages,
    )


def next_turn(commit: TurnCommit, *events: e.Event) -> TurnCommit:
    """A commit that appends *events* after *commit*, the short way, and does nothing else."""
    return TurnCommit(
        instance_id=commit.instance_id,
        execution_id=commit.execution_id,
        incarnation=commit.incarnation,
        last_event_id=commit.events[-1].event_id,
        events=events,
    )


def commit(provider: Provider, *commits: TurnCommit) -> list[CommitResult]:
    """Commit a batch."""
    return list(provider.commit_turns(commits, lock_ms=LOCK_MS))


def must_commit(provider: Provider, *commits: TurnCommit) -> None:
    """Commit a batch of which nothing is refused."""
    assert [CommitResult.COMMITTED] * len(commits) == commit(provider, *commits)


def fetch(provider: Provider, limit: int = 10) -> list[OrchestrationItem]:
    """Lock instances."""
    return list(provider.fetch_orchestration_items(limit, LOCK_MS))


def fetch_one(provider: Provider) -> OrchestrationItem:
    """Lock the only instance there is to lock."""
    items = fetch(provider)
    assert len(items) == 1, f"{len(items)} instances were fetched instead of one"
    return items[0]


def fetch_work(provider: Provider, limit: int = 10, tags: TagFilter = ANY_TAG) -> list[ActivityItem]:
    """Lock activities."""
    return list(provider.fetch_activities(limit, LOCK_MS, tags=tags, session=None))


def under(item: OrchestrationItem, commit: TurnCommit) -> TurnCommit:
    """The same *commit* on the general path, consuming all messages of *item*."""
    consumed = tuple(message.id for message in item.messages)
    return evolve(commit, lock=item.lock, consumed_messages=consumed)


def events_of(provider: Provider, instance_id: str = "a") -> list[e.Event]:
    """Return the history of the current execution."""
    (history,) = provider.read_histories([HistoryRequest(instance_id)])
    assert not isinstance(history, Exception)
    return list(history)


UNKNOWN_LOCK = InstanceLock("a", "nobody's")


def eager_turn(instance_id: str = "a") -> TurnCommit:
    """A first turn with one activity that its committer has locked."""
    work = activity(instance_id)
    return first_turn(instance_id, work, eager=(lock_of(work),))


def finishing_turn(first: TurnCommit) -> TurnCommit:
    """The turn after `eager_turn`: the activity is finished, another one eager."""
    work = activity(first.instance_id, 4)
    return evolve(
        next_turn(first, completed(3, 2), scheduled(4)),
        finished_activities=first.eager,
        activities=(work,),
        eager=(lock_of(work),),
    )


def ending(turn: TurnCommit, output: str = '"out"') -> TurnCommit:
    """The turn after *turn*, which completes the execution."""
    last = turn.events[-1].event_id
    done = next_turn(turn, e.OrchestrationCompleted(last + 1, NOW, '"out"'))
    return evolve(done, status=ExecutionStatus.COMPLETED, output=output)


def info_of(provider: Provider, instance_id: str = "a") -> InstanceInfo:
    """How an instance stands that exists."""
    info = provider.get_instance_info(instance_id)
    assert info is not None
    return info
