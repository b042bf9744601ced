"""Who did what: every act of an operator or a marketer, append-only and chained by hashes.

Each entry holds the hash of the one before it, so nothing can be changed, taken out or put in without
breaking the chain from there on. The database refuses to change or delete entries (triggers); whoever
owns the database can take the triggers away, and that is what the chain is for. Whoever rewrites the
whole chain is found out by a head that was written down elsewhere: ``verify(session, head=…)``.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DDL, BigInteger, Row, String, Text, event, select, text
from sqlmodel import Field, Session

from signalpost.record.base import Table, moment, table_of

#: What the first entry follows.
GENESIS = "0" * 64
_LOCK = 20_831  #: PostgreSQL: one writer at a time; SQLite has one anyway
_MOST = 4_000  #: characters of a detail
_MANY = 1_000  #: entries that are read at once
_ADDRESS = re.compile(r"@|\+?\d[\d ()./-]{6,}\d\Z")
_ID = re.compile(r"[0-9a-f-]{36}|[0-9a-f]{16,64}", re.ASCII)
_WITHHELD = "(withheld)"


class AuditEntry(Table, table=True):
    """One act. ``detail`` is the canonical JSON that was hashed: ids and counts, nobody's data."""

    __tablename__ = "audit_entries"

    number: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    at: datetime = moment()
    actor: str = Field(sa_type=String(200))  #: ``cli:ann``, ``key:crm``, ``prefect:<flow run>``
    action: str = Field(sa_type=String(60), index=True)
    subject: str = Field(sa_type=String(200), index=True)
    detail: str = Field(sa_type=Text)
    previous: str = Field(sa_type=String(64))
    hash: str = Field(sa_type=String(64))


_e = table_of(AuditEntry)

#: What makes the table append-only; ``migrations/versions/0005_audit.py`` says the same.
GUARDS: Mapping[str, tuple[str, ...]] = {
    "sqlite": (
        *(
            f"CREATE TRIGGER audit_no_{what.lower()} BEFORE {what} ON audit_entries "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            for what in ("UPDATE", "DELETE")
        ),
        # INSERT OR REPLACE deletes without a word to the trigger above.
        (
            "CREATE TRIGGER audit_in_order BEFORE INSERT ON audit_entries "
            "WHEN NEW.number <> (SELECT coalesce(max(number), 0) + 1 FROM audit_entries) "
            "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
        ),
    ),
    "postgresql": (
        (
            "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
        ),
        (
            "CREATE TRIGGER audit_no_change BEFORE UPDATE OR DELETE ON audit_entries "
            "FOR EACH ROW EXECUTE FUNCTION audit_append_only()"
        ),
        (
            "CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON audit_entries "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()"
        ),
    ),
}
for _dialect, _statements in GUARDS.items():
    for _statement in _statements:
        event.listen(_e, "after_create", DDL(_statement).execute_if(dialect=_dialect))


@dataclass(frozen=True)
class Break:
    """The first place at which the log is not what was written."""

    number: int
    says: str


@dataclass(frozen=True)
class Head:
    """The newest entry: written down elsewhere, it proves later that nothing before it was changed."""

    number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.number}:{self.hash}"


def add(
    session: Session,
    *,
    actor: str,
    action: str,
    subject: str,
    detail: Mapping[str, Any],
    now: datetime,
) -> None:
    """Write an act down in the caller's transaction: both are kept, or neither.

    Call it last: on PostgreSQL everybody else who acts waits from here to the end of the transaction.

    Raises:
        ValueError: the detail is too long, or not made of texts, whole numbers, lists and mappings.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    last = head(session)
    entry = {
        "number": last.number + 1,
        "at": now.astimezone(UTC),
        "actor": actor[:200],
        "action": action[:60],
        "subject": _clean(subject)[:200],
        "detail": _canonical(_clean(detail)),
        "previous": last.hash,
    }
    if len(entry["detail"]) > _MOST:
        raise ValueError(f"the detail of {action} is longer than {_MOST} characters")
    session.execute(_e.insert(), [{**entry, "hash": _hash(entry)}])


def head(session: Session) -> Head:
    """Give the newest entry's number and hash."""
    row = session.execute(
        select(_e.c.number, _e.c.hash).order_by(_e.c.number.desc()).limit(1)
    ).first()
    return Head(row.number, row.hash) if row is not None else Head(0, GENESIS)


def verify(session: Session, *, head: str | None = None) -> Break | None:
    """Look through the whole log; give the first break, or None when all is as it was written.

    ``head``: as ``signalpost audit --head`` printed it earlier. Without it an end that was cut off, or
    a log that was written anew from some entry on, is not noticed.
    """
    number, previous = 0, GENESIS
    wanted = head.strip().lower().rpartition(":")[2] if head else None
    found = wanted in (None, GENESIS)
    for row in _all(session):
        number += 1
        if row.number != number:
            return Break(number, "the entry is missing")
        if row.previous != previous:
            return Break(number, "the entry does not follow the one before it")
        if row.hash != _hash(row._asdict()):
            return Break(number, "the entry was changed")
        previous = row.hash
        found = found or previous == wanted
    if not found:
        says = "the head that was written down is not in the log: its end was cut off or rewritten"
        return Break(number + 1, says)
    return None


def entries(
    session: Session,
    *,
    since: datetime | None = None,
    subject: str | None = None,
    before: int | None = None,
    limit: int = 200,
) -> list[Row[Any]]:
    """Give entries, the newest first; ``subject`` with or without its kind: ``run:7`` or ``7``."""
    query = select(_e).order_by(_e.c.number.desc()).limit(limit)
    if since is not None:
        query = query.where(_e.c.at >= since)
    if subject is not None:
        # The part after the kind, compared whole: no pattern that a subject could be mistaken for.
        kinds = [subject] if ":" in subject else [subject, *(f"{k}:{subject}" for k in KINDS)]
        query = query.where(_e.c.subject.in_(kinds))
    if before is not None:
        query = query.where(_e.c.number < before)
    return list(session.execute(query))


#: What an entry may be about.
KINDS = ("customer", "run", "enrolment", "event", "journey", "merge", "block", "key", "project")


def _all(session: Session) -> Iterator[Row[Any]]:
    last = 0
    while rows := list(
        session.execute(select(_e).where(_e.c.number > last).order_by(_e.c.number).limit(_MANY))
    ):
        yield from rows
        last = rows[-1].number


def _hash(entry: Mapping[str, Any]) -> str:
    said = {name: entry[name] for name in ("number", "actor", "action", "subject", "detail")}
    said["at"] = entry["at"].astimezone(UTC).isoformat(timespec="microseconds")
    return hashlib.sha256((entry["previous"] + _canonical(said)).encode()).hexdigest()


def _canonical(value: Any) -> str:
    try:
        return json.dumps(
            value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"an audit entry's detail cannot be written as JSON: {error}") from None


def _clean(value: Any) -> Any:
    """Withhold what looks like an address or a phone number: the log is kept for ever.

    It is the second line of defence: whoever writes an entry gives ids and counts.
    """
    if isinstance(value, Mapping):
        return {str(key): _clean(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(one) for one in (sorted(value) if isinstance(value, set) else value)]
    if isinstance(value, str):
        plain = value.replace("\0", "")
        is_id = _ID.fullmatch(plain.rpartition(":")[2])
        return _WITHHELD if _ADDRESS.search(plain) and not is_id else plain
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)
