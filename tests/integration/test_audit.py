"""The audit log: append-only, chained, and verifiable by somebody who trusts neither us nor the disk."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from signalpost.record import audit
from signalpost.record.database import Database

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def write(database: Database, count: int = 1, **given: object) -> None:
    for number in range(count):
        entry = {"actor": "cli:ann", "action": "pause", "subject": f"run:{number}", "detail": {}}
        with database.writing() as session:
            audit.add(session, **(entry | given), now=NOW + timedelta(minutes=number))  # type: ignore[arg-type]


def verify(database: Database, head: str | None = None) -> audit.Break | None:
    with database.reading() as session:
        return audit.verify(session, head=head)


def without_guards(database: Database) -> None:
    """What somebody who owns the database can do: take the triggers away."""
    with database.engine.begin() as connection:
        if database.is_sqlite:
            for name in ("audit_no_update", "audit_no_delete", "audit_in_order"):
                connection.execute(text(f"DROP TRIGGER {name}"))


def tamper(database: Database, statement: str) -> None:
    without_guards(database)
    with database.engine.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        connection.execute(text(statement))


def test_an_empty_log_and_one_that_nobody_touched_verify(database: Database) -> None:
    assert verify(database) is None
    write(database, 5)
    assert verify(database) is None


def test_entries_are_read_newest_first_by_subject_and_since_a_moment(database: Database) -> None:
    write(database, 3)
    with database.reading() as session:
        assert [row.subject for row in audit.entries(session)] == ["run:2", "run:1", "run:0"]
        assert [row.number for row in audit.entries(session, subject="run:1")] == [2]
        assert [row.number for row in audit.entries(session, subject="1")] == [2]
        late = audit.entries(session, since=NOW + timedelta(minutes=1))
        assert [row.number for row in late] == [3, 2]
        assert [row.number for row in audit.entries(session, before=3, limit=1)] == [2]


def test_anybody_can_check_the_chain_with_a_few_lines_of_their_own(database: Database) -> None:
    """The rule in docs, written down a second time: no code of ours is needed to verify."""
    write(database, 3, detail={"people": 7, "campaign": "frühling"})
    previous = "0" * 64
    with database.reading() as session:
        for row in reversed(audit.entries(session)):
            at = row.at.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
            said = {
                "action": row.action,
                "actor": row.actor,
                "at": at,
                "detail": row.detail,
                "number": row.number,
                "subject": row.subject,
            }
            line = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
            previous = hashlib.sha256((previous + line).encode()).hexdigest()
            assert row.hash == previous
        assert str(audit.head(session)) == f"3:{previous}"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET actor = 'cli:bob'",
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE number = 3",
    ],
)
def test_the_database_refuses_to_change_or_delete_entries(
    database: Database, statement: str
) -> None:
    write(database, 3)
    with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
        session.execute(text(statement))
    with database.reading() as session:
        assert len(audit.entries(session)) == 3


def test_the_database_refuses_to_replace_or_empty_the_log(database: Database) -> None:
    write(database, 3)
    statement = "TRUNCATE audit_entries"
    if database.is_sqlite:  # a REPLACE deletes the old row without a word to a DELETE trigger
        statement = (
            "INSERT OR REPLACE INTO audit_entries SELECT number, at, 'cli:bob', action, subject, "
            "detail, previous, hash FROM audit_entries WHERE number = 2"
        )
    with pytest.raises(DBAPIError, match="append-only"), database.writing() as session:
        session.execute(text(statement))
    assert verify(database) is None


@pytest.mark.parametrize(
    ("statement", "number"),
    [
        ("UPDATE audit_entries SET actor = 'cli:bob' WHERE number = 2", 2),
        ("UPDATE audit_entries SET action = 'approve' WHERE number = 3", 3),
        ("UPDATE audit_entries SET subject = 'run:9' WHERE number = 1", 1),
        ("UPDATE audit_entries SET detail = '{ }' WHERE number = 4", 4),
        ("UPDATE audit_entries SET at = '2026-03-01 09:00:00.000000+00:00' WHERE number = 4", 4),
        ("UPDATE audit_entries SET previous = hash WHERE number = 5", 5),
        ("UPDATE audit_entries SET hash = previous WHERE number = 5", 5),
        ("DELETE FROM audit_entries WHERE number = 3", 3),
        ("DELETE FROM audit_entries WHERE number = 1", 1),
        ("UPDATE audit_entries SET number = number + 1 WHERE number = 5", 5),
    ],
)
def test_whoever_gets_past_the_triggers_is_found_at_the_entry_they_touched(
    database: Database, statement: str, number: int
) -> None:
    write(database, 5)
    tamper(database, statement)
    broken = verify(database)
    assert broken is not None
    assert broken.number == number


def test_an_end_that_was_cut_off_is_found_by_a_head_that_was_written_down(
    database: Database,
) -> None:
    write(database, 5)
    with database.reading() as session:
        head = str(audit.head(session))
    write(database, 2)
    assert verify(database, head) is None, "an older head is in the log as well"
    tamper(database, "DELETE FROM audit_entries WHERE number >= 5")
    assert verify(database) is None, "the chain alone cannot know"
    broken = verify(database, head)
    assert broken is not None
    assert "cut off" in broken.says


def test_a_log_that_was_written_anew_is_found_by_a_head_that_was_written_down(
    database: Database,
) -> None:
    write(database, 5)
    with database.reading() as session:
        head = str(audit.head(session))
    tamper(database, "DELETE FROM audit_entries")
    write(database, 5, actor="cli:bob")
    assert verify(database) is None
    assert verify(database, head) is not None


def test_an_act_that_is_rolled_back_leaves_no_entry_and_no_gap(database: Database) -> None:
    write(database)
    with database.engine.connect() as connection, Session(connection) as session:
        audit.add(session, actor="a", action="pause", subject="run:1", detail={}, now=NOW)
        session.rollback()
    write(database)
    with database.reading() as session:
        assert [row.number for row in audit.entries(session)] == [2, 1]
    assert verify(database) is None


def test_many_who_act_at_once_write_one_chain(database: Database) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            write(database, 10)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.reading() as session:
        assert audit.head(session).number == 60
    assert verify(database) is None


@pytest.mark.parametrize(
    "value", ["ann@example.com", "+14155550100", "+1 (415) 555-0100", "4155550100", "a@b"]
)
def test_an_address_that_slips_into_an_entry_is_withheld(database: Database, value: str) -> None:
    write(database, subject=f"block:{value}", detail={"to": value, "in": [value], "n": 7})
    with database.reading() as session:
        [row] = audit.entries(session)
    assert value not in f"{row.subject} {row.detail}"
    assert "(withheld)" in row.detail
    assert '"n":7' in row.detail


def test_ids_are_not_taken_for_addresses(database: Database) -> None:
    ids = ["01998e7a-1b2c-7d3e-8f40-123456789012", "0123456789012345", "f" * 64]
    write(database, subject=f"run:{ids[0]}", detail={"ids": ids})
    with database.reading() as session:
        [row] = audit.entries(session)
    assert row.subject == f"run:{ids[0]}"
    assert json.loads(row.detail)["ids"] == ids


def test_a_detail_that_is_no_list_of_ids_and_counts_is_refused(database: Database) -> None:
    with pytest.raises(ValueError, match="longer"):
        write(database, detail={"much": "x" * 5_000})


def _moments() -> list[Callable[[], datetime]]:
    from zoneinfo import ZoneInfo

    return [lambda: NOW.astimezone(ZoneInfo("Asia/Tokyo")), lambda: NOW.replace(microsecond=123)]


@pytest.mark.parametrize("moment", _moments())
def test_the_chain_holds_whatever_zone_the_clock_is_in(
    database: Database, moment: Callable[[], datetime]
) -> None:
    with database.writing() as session:
        audit.add(session, actor="a", action="b", subject="run:1", detail={}, now=moment())
    assert verify(database) is None
