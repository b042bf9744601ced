"""Consents (the customer's own permission) and suppressions (our block); both append-only."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, select
from sqlmodel import Field, Session

from signalpost.record.base import Id, Table, metadata, moment, pk
from signalpost.record.bulk import among
from signalpost.record.events import chunks


class Consent(Table, table=True):
    """One statement of a customer about one channel and topic; the latest one counts.

    ``channel`` and ``topic`` may be ``*``: all of them.
    """

    __tablename__ = "consents"

    id: str = pk()
    customer_id: str = Field(index=True, sa_type=Id, foreign_key="customers.id")
    channel: str
    topic: str
    status: str  #: granted | denied | pending
    source: str
    wording: str | None = None  #: the text the customer agreed to, or wrote
    at: datetime = moment()
    recorded_at: datetime = moment()


class Suppression(Table, table=True):
    """A block on an address whatever the consent, or the lifting of one; the latest one counts."""

    __tablename__ = "suppressions"

    id: str = pk()
    channel: str
    address: str = Field(index=True)
    scope: str  #: all | marketing | a topic
    reason: str  #: stop | hard_bounce | complaint | unsubscribe | bad_address | manual
    active: bool = True  #: false on the row that lifts it
    source: str
    at: datetime = moment()


_consents = metadata.tables["consents"]
_suppressions = metadata.tables["suppressions"]


def statements(session: Session, root_ids: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """Return every consent statement by root customer, oldest first (by time, then as recorded)."""
    customers = metadata.tables["customers"]
    query = (
        select(_consents, customers.c.root_id)
        .join(customers, customers.c.id == _consents.c.customer_id)
        .where(among(customers.c.root_id))
        .order_by(_consents.c.at, _consents.c.id)
    )
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for ids in chunks(root_ids):
        for row in session.execute(query, {"ids": ids}):
            found[row.root_id].append(row)
    return dict(found)


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append consent statements."""
    if rows:
        session.execute(_consents.insert(), rows)


def suppressions(session: Session, addresses: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """Return every suppression row by address, oldest first."""
    query = (
        select(_suppressions)
        .where(among(_suppressions.c.address, "addresses"))
        .order_by(_suppressions.c.at, _suppressions.c.id)
    )
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for some in chunks(set(addresses)):
        for row in session.execute(query, {"addresses": some}):
            found[row.address].append(row)
    return dict(found)


def add_suppressions(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append suppression rows, those that block and those that lift."""
    if rows:
        session.execute(_suppressions.insert(), rows)
