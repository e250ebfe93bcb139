"""The release number, and nothing else: the build reads this file without importing the package."""

from __future__ import annotations


__version__ = "0.1.0"
