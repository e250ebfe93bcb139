"""
A provider that breaks by plan: what your orchestrations, and a provider of your own, do when the database fails.

Wrap the provider, and give the wrapper to a Runtime or a Client::

    plan = FaultPlan((Rule(LoseConnection(after_commit=True), on="commit_turns", nth=(1, 3)),))
    with Runtime(FaultyProvider(provider, plan), registry):
        ...
"""

from __future__ import annotations

from .kinds import KILLED, CallTwice, Delay, Fail, Fault, Kill, LoseConnection, ProviderCall, Refuse
from .plan import RUNTIME_OPERATIONS, FaultPlan, Rule
from .provider import FaultyProvider


__all__ = [
    "KILLED",
    "RUNTIME_OPERATIONS",
    "CallTwice",
    "Delay",
    "Fail",
    "Fault",
    "FaultPlan",
    "FaultyProvider",
    "Kill",
    "LoseConnection",
    "ProviderCall",
    "Refuse",
    "Rule",
]
