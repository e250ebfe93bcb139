"""Tests of the storage contract, and of what keeps it."""

from __future__ import annotations
