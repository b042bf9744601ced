"""The inbox of facts: every signal that was answered 2xx, once."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Computed,
    Index,
    Numeric,
    Row,
    RowMapping,
    Text,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlmodel import Field, Session, col

from signalpost.domain.audience_values import CURRENCY, NUMBER
from signalpost.record.base import Id, Table, document, metadata, moment, pk
from signalpost.record.bulk import among, by_column, insert_columns

T = TypeVar("T")

#: Most values in one statement; PostgreSQL takes 65,535 parameters and SQLite 32,766.
_CHUNK = 8_000
_LOCKS = 128  #: a batch takes at most so many advisory locks
#: Spaces of our advisory locks: message ids are locked before keys, so nobody waits in a circle.
LOCK_MESSAGES = 20_831
LOCK_KEYS = 20_832
_TOTAL = (
    "CASE WHEN jsonb_typeof(facts -> 'total') = 'object' THEN facts #> '{total,amount}'"
    " ELSE facts -> 'total' END"
)
_TEXT = f"(({_TOTAL}) #>> '{{}}')"
#: What PostgreSQL reads the columns ``total`` and ``currency`` from.
TOTAL_OF_FACTS = {
    "total": (
        f"CASE WHEN jsonb_typeof({_TOTAL}) = 'number' THEN CAST({_TEXT} AS NUMERIC)"
        f" WHEN jsonb_typeof({_TOTAL}) = 'string' AND {_TEXT} ~ '^{NUMBER}$'"
        f" THEN CAST({_TEXT} AS NUMERIC) END"
    ),
    "currency": (
        f"CASE WHEN facts #>> '{{total,currency}}' ~ '^{CURRENCY}$'"
        " THEN facts #>> '{total,currency}' END"
    ),
}
_Held = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class _OnPostgres(ColumnElement[Any]):
    """A generated column's expression; nothing on SQLite."""

    inherit_cache = False

    def __init__(self, expression: str) -> None:
        self.on_postgres = expression


@compiles(_OnPostgres)
def _nothing(_element: _OnPostgres, _compiler: Any, **_: Any) -> str:
    return "NULL"


@compiles(_OnPostgres, "postgresql")
def _expression(element: _OnPostgres, _compiler: Any, **_: Any) -> str:
    return element.on_postgres


def _read_from_facts(name: str, kind: Any) -> Column[Any]:
    made = Computed(_OnPostgres(TOTAL_OF_FACTS[name]), persisted=True)
    return Column(name, kind, made, nullable=True)


class Event(Table, table=True):
    """A fact about a customer that happened.

    ``status``: accepted; guest (nobody to write to); historic (too old to act on); parked (waits for
    an order, a time or a repair; ``reason`` says which and ``parked_key`` what would wake it);
    conflict (the same id came again with another body).
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_customer_name", "customer_id", "name", "occurred_at"),
        Index(
            "ix_events_parked",
            "parked_key",
            "occurred_at",
            sqlite_where=text("parked_key IS NOT NULL"),
            postgresql_where=text("parked_key IS NOT NULL"),
        ),
        # Who did something within a time: audiences read it without fetching an event.
        Index(
            "ix_events_did",
            "name",
            "occurred_at",
            postgresql_include=["customer_id", "total", "currency"],
            sqlite_where=text("status IN ('accepted', 'historic')"),
            postgresql_where=text("status IN ('accepted', 'historic')"),
        ),
    )

    id: str = pk()
    message_id: str = Field(unique=True)  #: the sender's id, prefixed with its source
    body_hash: str
    name: str
    customer_id: str | None = Field(default=None, sa_type=Id, foreign_key="customers.id")
    source: str
    status: str
    reason: str | None = None
    parked_key: str | None = None  #: "order_id:5004", "until" or "repair"
    facts: dict = document()  #: canonical, checked (domain.events)
    payload: dict = document()  #: as it came
    held: dict | None = Field(default=None, sa_type=_Held)  #: what a parked event has yet to say
    occurred_at: datetime = moment()
    received_at: datetime = moment()
    #: What an audience adds up, read from ``facts.total`` by PostgreSQL itself (domain.audience_values
    #: says how). SQLite keeps neither: there the facts are read.
    total: Decimal | None = Field(default=None, sa_column=_read_from_facts("total", Numeric))
    currency: str | None = Field(default=None, sa_column=_read_from_facts("currency", Text))


_events = metadata.tables["events"]


def chunks(values: Iterable[T]) -> Iterator[list[T]]:
    """Cut values into lists that fit one statement."""
    listed = list(values)
    for start in range(0, len(listed), _CHUNK):
        yield listed[start : start + _CHUNK]


def hold(session: Session, space: int, keys: Iterable[str]) -> None:
    """Let nobody else accept signals with these keys until this transaction ends.

    SQLite has one writer at a time, so there it is nothing to do. On PostgreSQL keys share a fixed
    number of advisory locks, taken in order so that two batches cannot wait for each other.
    """
    if session.get_bind().dialect.name != "postgresql":
        return
    places = sorted({zlib.crc32(key.encode()) % _LOCKS for key in keys})
    if places:
        session.execute(
            text("SELECT pg_advisory_xact_lock(:space, place) FROM unnest(:places) AS place"),
            {"space": space, "places": places},
        )


_SEEN = select(
    _events.c.id,
    _events.c.message_id,
    _events.c.body_hash,
    _events.c.status,
    _events.c.reason,
    _events.c.customer_id,
).where(among(_events.c.message_id))


def seen(session: Session, message_ids: Iterable[str]) -> dict[str, Row[Any]]:
    """Return what is on the record of these message ids."""
    found: dict[str, Row[Any]] = {}
    for ids in chunks(message_ids):
        found.update((row.message_id, row) for row in session.execute(_SEEN, {"ids": ids}))
    return found


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert events; each row names every column."""
    insert_columns(session, _events, rows=len(rows), columns=by_column(rows))


_PARKED = select(_events).where(among(_events.c.parked_key, "keys"), _events.c.status == "parked")


def parked_for(session: Session, keys: Iterable[str]) -> list[Row[Any]]:
    """Return the events that are parked for any of these keys, in order of occurrence."""
    found = [row for some in chunks(keys) for row in session.execute(_PARKED, {"keys": some})]
    return sorted(found, key=lambda row: (row.occurred_at, row.id))


def parked_until(session: Session, *, now: datetime, limit: int) -> list[Row[Any]]:
    """Return the events that are parked for a time that has come."""
    query = (
        select(_events)
        .where(_events.c.parked_key == "until", _events.c.occurred_at <= now)
        .order_by(_events.c.occurred_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return list(session.execute(query))


def one(session: Session, event_id: str) -> Row[Any] | None:
    """Return an event by its id."""
    return session.execute(select(_events).where(_events.c.id == event_id)).first()


def parked(session: Session, *, limit: int = 100) -> list[Row[Any]]:
    """Return the newest parked events, for an operator to look at."""
    query = (
        select(_events)
        .where(_events.c.parked_key.is_not(None))
        .order_by(_events.c.received_at.desc())
        .limit(limit)
    )
    return list(session.execute(query))


_SETTLED = ("status", "reason", "parked_key", "customer_id", "name", "facts", "held", "occurred_at")


def settle(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write how parked events went on; each row is a whole event's columns."""
    if rows:
        session.execute(
            _events.update()
            .where(_events.c.id == bindparam("event_id"))
            .values({name: bindparam(f"new_{name}") for name in _SETTLED}),
            [
                {"event_id": row["id"]} | {f"new_{name}": row[name] for name in _SETTLED}
                for row in rows
            ],
        )


def count_by_status(session: Session) -> dict[str, int]:
    """Return how many events stand at each status."""
    query = select(_events.c.status, func.count()).group_by(_events.c.status)
    return {row[0]: row[1] for row in session.execute(query)}


def of_customers(session: Session, customer_ids: Iterable[str]) -> list[Event]:
    """Return the events of these customers, in order of occurrence."""
    query = select(Event).where(col(Event.customer_id).in_(list(customer_ids)))
    return list(session.scalars(query.order_by(col(Event.occurred_at), col(Event.id))))


def of_people(
    session: Session, *, roots: Iterable[str], names: Iterable[str], since: datetime | None = None
) -> dict[str, list[RowMapping]]:
    """Return, by root customer, the facts and times of these events, oldest first.

    ``since``: only what occurred then or later. Parked ones are left out: they have not happened to
    anybody yet.
    """
    customers = metadata.tables["customers"]
    query = (
        select(
            _events.c.id,
            _events.c.name,
            _events.c.facts,
            _events.c.occurred_at,
            customers.c.root_id,
        )
        .join(customers, customers.c.id == _events.c.customer_id)
        .where(
            among(customers.c.root_id),
            among(_events.c.name, "names"),
            _events.c.status != "parked",
        )
        .order_by(_events.c.occurred_at, _events.c.id)
    )
    if since is not None:
        query = query.where(_events.c.occurred_at >= since)
    found: dict[str, list[RowMapping]] = defaultdict(list)
    for ids in chunks(set(roots)):
        for row in session.execute(query, {"ids": ids, "names": list(names)}).mappings():
            found[row["root_id"]].append(row)
    return dict(found)
