"""Tests of the storage contract, and of what keeps it."""

from __future__ import annotations

import pytest


# Before anybody imports the suite: only then does a failed check show its values.
pytest.register_assert_rewrite("duroxide.testing.conformance")
