"""What commands print."""

from __future__ import annotations

import sys


def say(text: str, *, is_error: bool = False) -> None:
    """Print *text* (or nothing, if there is none) to the output, or to that for errors, as far as it can show it."""
    stream = sys.stderr if is_error else sys.stdout
    if text:
        encoding = stream.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), file=stream)  # a command prints
