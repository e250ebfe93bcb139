"""Version numbers: of orchestrations, and of the releases that can replay an execution."""

from __future__ import annotations

import re

from .._nouns import frozen
from ..errors import InvalidInput
from .limits import check_name


# Semantic versioning's three numbers and an optional pre-release; build metadata means nothing here.
_PATTERN = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?", re.ASCII)

#: Packed versions leave this many bits for each of minor and patch.
_BITS = 20


@frozen(order=True)
class Version:
    """A semantic version. A pre-release comes before its release."""

    major: int
    minor: int
    patch: int
    #: Sorts pre-releases by semver's rules: numbers before words, and any of them before none.
    _prerelease: tuple[tuple[int, int, str], ...] = ((2, 0, ""),)

    @classmethod
    def parse(cls, text: str) -> Version:
        """
        Read a version such as ``1.4.0`` or ``2.0.0-rc.1``.

        Raises:
            InvalidInput: If *text* is not a semantic version.

            LimitExceeded: If it is longer than a name may be.
        """
        match = None
        if isinstance(text, str):
            check_name("version", text)
            match = _PATTERN.fullmatch(text)
        if match is None:
            msg = f"{text!r} is not a version: write three numbers, like '1.4.0'."
            raise InvalidInput(msg)
        major, minor, patch, prerelease = match.groups()
        return cls(int(major), int(minor), int(patch), _prerelease_key(prerelease))

    @property
    def numbers(self) -> tuple[int, int, int]:
        """The three numbers, without the pre-release."""
        return self.major, self.minor, self.patch

    @property
    def packed(self) -> int:
        """One integer that sorts like the three numbers, for storage. The pre-release is left out."""
        return (self.major << 2 * _BITS) | (self.minor << _BITS) | self.patch


def _prerelease_key(prerelease: str | None) -> tuple[tuple[int, int, str], ...]:
    if prerelease is None:
        return ((2, 0, ""),)
    parts = prerelease.split(".")
    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts)


@frozen
class VersionRange:
    """The releases from *lowest* to *highest*, both included."""

    lowest: Version
    highest: Version

    def __attrs_post_init__(self) -> None:
        ends: tuple[object, ...] = (self.lowest, self.highest)
        if not all(isinstance(end, Version) for end in ends):
            msg = (
                f"a VersionRange from {self.lowest!r} to {self.highest!r}: give two Versions, or write"
                " VersionRange.between('1.0.0', '1.9.9')."
            )
            raise InvalidInput(msg)
        largest = max(*self.lowest.numbers, *self.highest.numbers)
        if largest >> _BITS:
            msg = f"a VersionRange with the number {largest}: give numbers below {1 << _BITS}, which can be stored."
            raise InvalidInput(msg)
        if self.lowest.packed > self.highest.packed:
            lowest, highest = (".".join(map(str, each.numbers)) for each in (self.lowest, self.highest))
            msg = f"a VersionRange from {lowest} to {highest} has no version in it: give the lower one first."
            raise InvalidInput(msg)

    @classmethod
    def between(cls, lowest: str, highest: str) -> VersionRange:
        """
        Return the range of two version texts.

        Raises:
            InvalidInput: If one is no version, or *lowest* is above *highest*.
        """
        return cls(Version.parse(lowest), Version.parse(highest))

    def __contains__(self, version: Version) -> bool:
        return self.lowest.packed <= version.packed <= self.highest.packed
