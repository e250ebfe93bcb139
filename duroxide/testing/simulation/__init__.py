"""The simulator behind `duroxide.testing.Simulator`: one thread, virtual time, the engine of production."""

from __future__ import annotations
