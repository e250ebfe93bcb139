"""The exploration behind `duroxide.testing.explore`: schedules that Hypothesis draws, checks, and shrinks."""

from __future__ import annotations
