"""Many processes that share a database from its first moment, some of which are killed: all work is done, in peace."""

from __future__ import annotations

from pathlib import Path

import pytest

from duroxide import Client, SqlProvider

from ..runtime.stage import eventually
from ..workload.outcomes import check, start_one_of_each
from ..workload.process import Worker


#: Instances of each kind, for each process.
EACH = 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("store", "count"),
    [
        pytest.param("postgres_database_url", 8, marks=pytest.mark.thorough),
        ("postgres_database_url", 4),
        ("sqlite_url", 4),
    ],
)
def test_from_the_first_moment(request: pytest.FixtureRequest, tmp_path: Path, store: str, count: int) -> None:
    """Processes that start at the same moment on an empty database share its work, and outlive three of them."""
    url = request.getfixturevalue(store)
    workers = [Worker(url, tmp_path / f"log-{number}") for number in range(count)]
    for worker in workers:
        worker.wait_for("loaded")
    for worker in workers:
        worker.go()
    with SqlProvider(url) as provider:  # makes the tables, too, if it is the quickest
        client = Client(provider)
        ids = [instance_id for number in range(count * EACH) for instance_id in start_one_of_each(client, number)]
        for worker in workers:
            worker.wait_for("ready")
        for number, victim in enumerate(workers[:3]):
            eventually(lambda: sum(worker.said["begun"] for worker in workers) > 20 * number)  # noqa: B023  # it is over then
            ids += start_one_of_each(client, count * EACH + number)  # so that there is always something to interrupt
            victim.kill()
        check(provider, ids)
        for survivor in workers[3:]:
            survivor.stop()
        assert [] == list(provider.audit())
    logs = "".join(worker.log() for worker in workers)
    assert "database is locked" not in logs
    # Neither a traceback nor a warning; that an operation is tried again is information.
    assert [] == [line for line in logs.splitlines() if not line.startswith("INFO")]
