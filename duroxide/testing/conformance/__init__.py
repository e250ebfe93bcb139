"""
The conformance suite: every promise of `duroxide.providers.contract`, as checks that any provider can be put to.

Under pytest, or anything else that calls the methods named ``test_...`` of a class::

    class TestMyProvider(ProviderConformance):
        def make_provider(self, clock):
            provider = MyProvider(..., clock=clock)
            provider.initialize()
            return provider

(with ``pytest.register_assert_rewrite("duroxide.testing.conformance")`` in ``conftest.py``, so that a failure shows
its values), or without any test framework: ``assert not run_conformance(make_provider).failures``.

Rule 1: nothing here imports pytest or Hypothesis; a check is plain asserts, and never sleeps.

Rule 2: a check sees a provider only through the contract. What it can't do without help is a hook of `Checks`.

Rule 3: a check needs a store of its own, and the clock that it was given.
"""

from __future__ import annotations

from .checks import Checks, HeldClock
from .runner import Failure, Report, run_conformance
from .suite import GROUPS, ProviderConformance


__all__ = ["GROUPS", "Checks", "Failure", "HeldClock", "ProviderConformance", "Report", "run_conformance"]
