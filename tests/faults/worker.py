"""
The program of test_many_processes.py: a runtime on the database at argv[1], until its standard input ends.

It says ``loaded`` and waits for a line before it opens the database, starts instances of every kind (numbered argv[2] and up, argv[3] of
each) and says ``ready``. Its log goes to standard error.
"""

from __future__ import annotations

import logging
import sys

from programs import OPTIONS, registry, start_one_of_each  # beside this file, which is a program

from duroxide import Runtime


def main() -> None:
    """Run until nobody writes to us any more."""
    url, first, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s %(message)s")
    logging.getLogger("duroxide.orchestrations").setLevel(logging.ERROR)  # failed attempts are what we are here for
    say("loaded")
    sys.stdin.readline()
    with Runtime(url, registry, OPTIONS) as runtime:
        for number in range(first, first + count):
            start_one_of_each(runtime.client, number)
        say("ready")
        sys.stdin.read()


def say(line: str) -> None:
    """Print *line* now."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
