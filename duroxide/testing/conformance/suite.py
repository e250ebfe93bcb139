"""`ProviderConformance`: all checks in one class."""

from __future__ import annotations

from .activities import Acknowledging, FetchingActivities, ReleasingActivities, RenewingActivities, Tags
from .auditing import Audit
from .checks import Checks
from .commits import CustomStatus, Executions, InstanceCreation, KeyValues, Progress
from .deletion import DeletingTrees, Deletion
from .deletion_bulk import BulkDeletion
from .deletion_reuse import AboutToBeReused, DeletingAtOnce, Reuse
from .effects import Effects, Histories
from .general_path import GeneralPath
from .handing_over import HandingOver
from .listing import Counts, ExecutionInfos, Listing, Trees
from .listing_filter import Filters
from .locking import Locking, Releasing, Renewing
from .pipelining import Pipelining
from .pruning import BulkPruning, Pruning
from .queues import Ending, NextDue, Orphans, Queues, StartsToCome, Unreadable
from .refusals import Refusals
from .releases import VersionFilter
from .sessions import Sessions
from .short_way import ExpiredActivity, ShortWay
from .starting import Starting
from .time_to_live import TimeToLive
from .waking import WakeUps


class ProviderConformance(
    Queues,
    Orphans,
    StartsToCome,
    Unreadable,
    NextDue,
    Ending,
    Starting,
    Locking,
    Releasing,
    Renewing,
    VersionFilter,
    GeneralPath,
    InstanceCreation,
    Executions,
    Progress,
    CustomStatus,
    KeyValues,
    Effects,
    Histories,
    ShortWay,
    ExpiredActivity,
    HandingOver,
    Refusals,
    Pipelining,
    FetchingActivities,
    Tags,
    Acknowledging,
    ReleasingActivities,
    RenewingActivities,
    Sessions,
    TimeToLive,
    WakeUps,
    Listing,
    Filters,
    ExecutionInfos,
    Trees,
    Counts,
    Deletion,
    DeletingTrees,
    Reuse,
    AboutToBeReused,
    DeletingAtOnce,
    BulkDeletion,
    Pruning,
    BulkPruning,
    Audit,
):
    """Everything that a provider promises. Its own tests derive from it, and say how a provider is made."""


#: The classes that the checks are in, by topic.
GROUPS: tuple[type[Checks], ...] = tuple(group for group in ProviderConformance.__bases__ if issubclass(group, Checks))
