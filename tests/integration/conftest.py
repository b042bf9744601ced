"""Fixtures for tests that use a real database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signalpost.record.database import Database, open_engine
from signalpost.record.migrate import whole_metadata


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a database without tables: SQLite, then a real PostgreSQL."""
    yield from _a_database(request, tmp_path, empty=True)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of a fresh database with every table: SQLite, then a real PostgreSQL."""
    yield from _a_database(request, tmp_path, empty=False)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A fresh record on SQLite, then the same test on PostgreSQL."""
    opened = Database(open_engine(database_url))
    yield opened
    opened.close()


def _a_database(request: pytest.FixtureRequest, place: Path, *, empty: bool) -> Iterator[str]:
    if request.param == "sqlite":
        url = f"sqlite:///{place / 'signalpost.db'}"
        if not empty:
            engine = open_engine(url)
            whole_metadata().create_all(engine)
            engine.dispose()
        yield url
        return
    home: Any = request.getfixturevalue("postgres_home")
    if empty:
        yield home.bare()
    else:
        yield home.furnished()
        home.sweep()
