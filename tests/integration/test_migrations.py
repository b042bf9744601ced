"""Migrations make exactly the tables that the code uses, on both databases, and only once."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, inspect, text
from sqlalchemy.exc import OperationalError

from signalpost.record import migrate
from signalpost.record.database import open_engine


@pytest.fixture
def engine(empty_database_url: str) -> Iterator[Engine]:
    opened = open_engine(empty_database_url)
    yield opened
    opened.dispose()


def test_an_empty_database_is_not_current_and_a_migrated_one_is(engine: Engine) -> None:
    assert not migrate.is_current(engine)
    migrate.migrate(engine)
    assert migrate.is_current(engine)
    migrate.migrate(engine)
    assert migrate.is_current(engine)


def test_an_older_version_goes_on_beside_a_newer_one(engine: Engine) -> None:
    """Machines are brought to a version one after the other; so nobody is turned away meanwhile."""
    migrate.migrate(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert migrate.is_current(engine)
    migrate.migrate(engine)
    with engine.connect() as connection:
        assert (
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar() == "9999"
        )


def test_migrations_make_the_tables_that_the_code_uses(engine: Engine) -> None:
    """When this fails: ``signalpost.record.migrate.draft("what changed")`` writes the revision."""
    migrate.migrate(engine)
    assert migrate.differences(engine) == []
    made = set(inspect(engine).get_table_names()) - {"alembic_version"}
    assert made == set(migrate.whole_metadata().tables)


def test_indexes_and_their_conditions_are_made_too(engine: Engine) -> None:
    migrate.migrate(engine)
    expected = {
        index.name for table in migrate.whole_metadata().tables.values() for index in table.indexes
    }
    inspector = inspect(engine)
    made = {
        index["name"]
        for table in inspector.get_table_names()
        for index in inspector.get_indexes(table)
    }
    assert expected <= made
    [parked] = [i for i in inspector.get_indexes("events") if i["name"] == "ix_events_parked"]
    assert f"{engine.dialect.name}_where" in parked.get("dialect_options", {})


def test_processes_that_start_together_take_turns(empty_database_url: str) -> None:
    failures: list[BaseException] = []
    start = threading.Barrier(4)

    def run() -> None:
        engine = open_engine(empty_database_url)
        try:
            start.wait()
            migrate.migrate(engine)
        except BaseException as error:
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_migration_that_fails_leaves_the_database_as_it_was(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE receipts (id TEXT)"))
    with pytest.raises(Exception, match="receipts"):
        migrate.migrate(engine)
    assert inspect(engine).get_table_names() == ["receipts"]


def test_who_was_imported_before_is_known_since_their_oldest_event(engine: Engine) -> None:
    """Of a record from before 0014: by the first telling of it; who is on record longer stays."""
    migrate.migrate(engine)
    customer = "INSERT INTO customers (id, root_id, attributes, created_at, updated_at)"
    event = (
        "INSERT INTO events (id, message_id, body_hash, name, source, facts, payload, customer_id, "
        "status, occurred_at, received_at)"
    )
    told = [
        ("ann", "historic", "2025-03-01", "2026-01-02"),
        ("ann", "historic", "2025-02-01", "2026-01-02"),
        ("ann", "historic", "2025-02-01", "2026-01-03"),
        ("ann", "parked", "2025-01-01", "2026-01-01"),
        ("bob", "accepted", "2025-12-31", "2026-01-01"),
        ("cid", "historic", "2026-01-03", "2026-02-01"),
    ]
    with engine.begin() as connection:
        for name in ("known_since", "learned_at"):
            connection.execute(text(f"ALTER TABLE customers DROP COLUMN {name}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0013'"))
        at = _midnight("2026-01-02")
        for one in ("ann", "bob", "cid"):
            values = f"('{one}', '{one}', '{{}}', '{at}', '{at}')"
            connection.execute(text(f"{customer} VALUES {values}"))
        for number, (who, status, happened, came) in enumerate(told):
            fixed = f"'e{number}', 'e{number}', '', 'order.placed', 'test', '{{}}', '{{}}'"
            values = f"({fixed}, '{who}', '{status}', '{_midnight(happened)}', '{_midnight(came)}')"
            connection.execute(text(f"{event} VALUES {values}"))
    migrate.migrate(engine)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT id, known_since, learned_at FROM customers")).all()
    assert {one: (str(since)[:10], str(told)[:10]) for one, since, told in found if since} == {
        "ann": ("2025-02-01", "2026-01-02")
    }
    assert {one for one, since, told in found if since is None and told is None} == {"bob", "cid"}


def _midnight(day: str) -> str:
    return f"{day} 00:00:00.000000+00:00"


def test_the_migrations_are_shipped_with_the_package() -> None:
    versions = Path(migrate.__file__).parent / "migrations" / "versions"
    assert sorted(versions.glob("0001_*.py"))


def test_connections_that_find_a_new_file_at_once_all_open_it(tmp_path: Path) -> None:
    """SQLite tells all but one at once that it is locked: seen in a fifth of such meetings of four."""
    failures: list[BaseException] = []

    def connect(url: str, start: threading.Barrier) -> None:
        engine = open_engine(url)
        try:
            start.wait()
            engine.connect().close()
        except BaseException as error:
            failures.append(error)
        finally:
            engine.dispose()

    for number in range(60):
        start = threading.Barrier(4)
        url = f"sqlite:///{tmp_path}/{number}.db"
        threads = [threading.Thread(target=connect, args=(url, start)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_file_that_nobody_may_write_to_is_told_of_at_once(tmp_path: Path) -> None:
    """Waiting helps against a lock, and against nothing else."""
    sqlite3.connect(tmp_path / "kept.db").execute("CREATE TABLE one (value)").connection.close()
    engine = open_engine(f"sqlite:///file:{tmp_path}/kept.db?mode=ro&uri=true")
    began = time.monotonic()
    with pytest.raises(OperationalError, match="readonly"):
        engine.connect()
    assert time.monotonic() - began < 5
    engine.dispose()
