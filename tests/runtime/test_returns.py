"""What becomes of locks that are to be given back, and that the store does not take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from duroxide._core.commit import InstanceLock
from duroxide._runtime.returns import Returns
from duroxide.errors import ProviderError
from duroxide.providers.contract import Release
from duroxide.providers.sql import SqlProvider
from duroxide.providers.wrapping import WrappedProvider


RELEASE = Release(InstanceLock("a", "token"))


class Failing(WrappedProvider):
    """Raises what it is given, one error for each call, and keeps what it is asked to release."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__(SqlProvider.in_memory())
        self._errors = list(errors)
        self.asked: list[Sequence[Release]] = []

    def _call(self, name: str, operation: Callable[..., Any], *args: Any, **keywords: Any) -> Any:
        self.asked.append(args[0])
        if self._errors:
            raise self._errors.pop()
        return None


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        (ProviderError("release_orchestration_items", "busy", retryable=True), True),
        (ProviderError("release_orchestration_items", "closed", retryable=False), False),
        (AttributeError("a provider's bug"), False),
    ],
    ids=["passing", "for good", "bug"],
)
def test_settled(error: Exception, *, is_kept: bool) -> None:
    """What may pass is tried again; whatever else it is, the lock is left to expire, and nobody is held up."""
    provider = Failing(error)
    returns = Returns(provider)
    returns.instances([RELEASE])
    assert is_kept == returns.owes

    returns.settle()

    assert [[RELEASE]] * (1 + is_kept) == provider.asked
    assert not returns.owes
