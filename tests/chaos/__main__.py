"""
Chaos, for as long as you like: ``python -m tests.chaos --minutes 10``, from the checkout.

First on an SQLite file, then on a PostgreSQL server of its own, which is stopped and killed, too; each for half of the
time. It prints its figures, and exits with 1 unless nothing was lost, nothing done twice, and the database is sound.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import warnings

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from attrs import evolve

from .figures import Figures
from .run import Chaos, Server, Severity


#: SQLite has one writer at a time: more processes get no more done there.
SEVERITIES = {"sqlite": Severity(workers=3, families=12), "postgres": Severity()}


def main() -> int:
    """Do what the command line says; return the exit status."""
    arguments = parse()
    stores = (
        [arguments.url] if arguments.url else ["sqlite", "postgres"] if arguments.store == "both" else [arguments.store]
    )
    figures = []
    for store in stores:
        with tempfile.TemporaryDirectory(prefix="duroxide-chaos-") as name, opened(store, Path(name)) as (url, server):
            figures.append(Figures("given" if arguments.url else store, arguments.seed))
            severity = SEVERITIES["sqlite" if url.startswith("sqlite") else "postgres"]
            if arguments.workers:
                severity = evolve(severity, workers=arguments.workers)
            chaos = Chaos(url, Path(name), figures[-1], severity, server)
            chaos.run(arguments.minutes * 60 / len(stores))
        sys.stdout.write(f"{figures[-1].table()}\n\n")
        sys.stdout.flush()
    if arguments.json:
        arguments.json.write_text(json.dumps([each.as_json() for each in figures], indent=2))
    return 0 if all(each.is_clean for each in figures) else 1


def parse() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="how long in all (default: 10)")
    parser.add_argument("--store", choices=("sqlite", "postgres", "both"), default="both")
    parser.add_argument("--url", help="an empty database of yours, instead; its server is left alone")
    parser.add_argument("--workers", type=int, help="processes at the same time")
    parser.add_argument("--seed", type=int, default=1, help="decides what chance decides")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    return parser.parse_args()


@contextmanager
def opened(store: str, folder: Path) -> Iterator[tuple[str, Server | None]]:
    """Yield the URL of the database to use, and its server if that may be broken."""
    if store == "sqlite":
        yield f"sqlite:///{folder / 'duroxide.db'}", None
    elif store == "postgres":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs warns where there is no XDG_RUNTIME_DIR
            from ..faults.servers import Server as OwnServer
        server = OwnServer(folder / "data")
        server.start()
        try:
            yield server.url.render_as_string(hide_password=False), server
        finally:
            if server.is_running:
                server.stop()
    else:
        yield store, None


if __name__ == "__main__":
    sys.exit(main())
