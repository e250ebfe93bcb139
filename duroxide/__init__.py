"""
Durable execution: workflows that survive crashes, as plain generators, in your own database.

What users import is here; everything else is an implementation detail, except `duroxide.providers`
(for those who write storage), `duroxide.errors` and `duroxide.testing`.
"""

from __future__ import annotations

from ._core.actions import Action, Orchestration, Winner
from ._core.audit import Violation
from ._core.commit import ExecutionStatus
from ._core.context import OrchestrationContext
from ._core.executor import Executor
from ._core.limits import Limits
from ._core.registry import ActivityRegistry, Exact, Latest, OrchestrationRegistry, Registry
from ._core.retry import Exponential, Fixed, Linear, RetryPolicy
from ._core.status import Completed, Failed, NotFound, OrchestrationStatus, Running
from ._core.turn import run_turn
from ._core.verdicts import Turn
from ._core.versions import VersionRange
from ._runtime.activity_context import ActivityContext
from ._runtime.metrics import MetricsSnapshot
from ._runtime.options import RuntimeOptions
from ._runtime.runtime import Runtime
from ._version import __version__
from .client import Client, Start
from .errors import (
    ActionCancelled,
    ActivityCancelled,
    ActivityFailed,
    CannotDeleteSubOrchestration,
    DuroxideError,
    ErrorCategory,
    ErrorDetails,
    ErrorKind,
    InstanceAlreadyExists,
    InstanceNotFound,
    InstanceStillRunning,
    InvalidInput,
    LimitExceeded,
    NondeterminismError,
    NonRetryableError,
    OrchestrationFailed,
    OrchestrationMisuse,
    PayloadError,
    ProviderError,
    RegistrationError,
    SubOrchestrationFailed,
    UnreadableHistory,
    WaitTimeout,
)
from .providers.contract import InstanceInfo, Provider, TagFilter
from .providers.management import InstanceFilter
from .providers.sql import SqlProvider
from .retention import RetentionPolicy, RetentionResult, RetentionRule


__all__ = [
    "Action",
    "ActionCancelled",
    "ActivityCancelled",
    "ActivityContext",
    "ActivityFailed",
    "ActivityRegistry",
    "CannotDeleteSubOrchestration",
    "Client",
    "Completed",
    "DuroxideError",
    "ErrorCategory",
    "ErrorDetails",
    "ErrorKind",
    "Exact",
    "ExecutionStatus",
    "Executor",
    "Exponential",
    "Failed",
    "Fixed",
    "InstanceAlreadyExists",
    "InstanceFilter",
    "InstanceInfo",
    "InstanceNotFound",
    "InstanceStillRunning",
    "InvalidInput",
    "Latest",
    "LimitExceeded",
    "Limits",
    "Linear",
    "MetricsSnapshot",
    "NonRetryableError",
    "NondeterminismError",
    "NotFound",
    "Orchestration",
    "OrchestrationContext",
    "OrchestrationFailed",
    "OrchestrationMisuse",
    "OrchestrationRegistry",
    "OrchestrationStatus",
    "PayloadError",
    "Provider",
    "ProviderError",
    "RegistrationError",
    "Registry",
    "RetentionPolicy",
    "RetentionResult",
    "RetentionRule",
    "RetryPolicy",
    "Running",
    "Runtime",
    "RuntimeOptions",
    "SqlProvider",
    "Start",
    "SubOrchestrationFailed",
    "TagFilter",
    "Turn",
    "UnreadableHistory",
    "VersionRange",
    "Violation",
    "WaitTimeout",
    "Winner",
    "__version__",
    "run_turn",
]
