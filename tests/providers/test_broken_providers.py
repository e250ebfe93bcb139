"""The conformance suite can fail: each broken provider is caught, by the checks that are meant to catch it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from duroxide.testing.conformance import run_conformance

from . import broken
from .broken import Broken
from .caught import CAUGHT_BY, PAGE, made_by, page
from .naive import NaiveProvider


@pytest.fixture
def made() -> Iterator[list[Broken]]:
    """Providers to close."""
    yield (providers := [])
    for provider in providers:
        provider.close()


@pytest.mark.parametrize("defect", CAUGHT_BY, ids=lambda defect: defect.__name__)
def test_is_caught(defect: type[Broken], made: list[Broken]) -> None:
    """Each defect fails the checks that promise its absence, by an assertion, and nothing else of its own."""
    expected = CAUGHT_BY[defect].split()
    report = run_conformance(made_by(defect, made), checks=expected)

    assert set(expected) == report.failed
    assert [] == [str(failure) for failure in report.failures if not isinstance(failure.error, AssertionError)]


def test_no_defect_is_left_out() -> None:
    """Every broken provider is put to the test."""
    abstract = {broken.Broken, broken.BrokenCommit, broken._BrokenRelease}
    defects = {found for found in vars(broken).values() if isinstance(found, type) and issubclass(found, Broken)}

    assert defects - abstract == set(CAUGHT_BY)


def test_page() -> None:
    """The page of the documentation has the same table: `python -m tests.providers.caught --write` makes it so."""
    text = PAGE.read_text(encoding="utf-8")
    guide = (PAGE.parents[1] / "provider-guide.md").read_text(encoding="utf-8")

    assert page(text) == text
    assert f"{len(CAUGHT_BY)} providers that are wrong in one way each" in guide


def test_another_provider_passes() -> None:
    """What is written from the contract alone, and shares nothing with ours, passes; what it cannot do is skipped."""
    report = run_conformance(NaiveProvider)

    assert [] == [str(failure) for failure in report.failures]
    assert 150 < len(report.passed)
    assert {reason for _, reason in report.skipped} == {
        "this provider has no management",
        "this provider has no audit",
        "this provider has no way to damage its store",
        "this provider does not send commits ahead",
    }


def test_a_failure_shows_values(made: list[Broken]) -> None:
    """Without a test framework, too, a failure says what was promised and what was found instead."""
    report = run_conformance(made_by(broken.OrderLost, made), checks=["test_enqueue_keeps_order"])
    text = str(report.failures[0])

    assert text.startswith("test_enqueue_keeps_order: Messages are delivered in the order in which they were enqueued.")
    assert "ExternalEvent(" in text
