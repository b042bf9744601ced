"""Customers, the identities that lead to them, and the addresses we may write to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Row,
    UniqueConstraint,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Field, Session

from signalpost.record.base import (
    Id,
    Table,
    UtcDateTime,
    document,
    metadata,
    moment,
    partial_index,
    pk,
    to_json,
)
from signalpost.record.bulk import among, each, given, moment_text
from signalpost.record.events import chunks

#: Says of a row of ``customers`` that it was merged into another one, as the indexes of the few say it.
MERGED_AWAY = "CAST(id = root_id AS INTEGER) = 0"


class Customer(Table, table=True):
    """The person we may write to.

    ``root_id`` is the customer that stands for the whole person: itself, or after a merge the one it
    was merged into. Rows keep the id they were written with, so a merge changes no history and can
    be undone by setting ``root_id`` back.

    ``known_since``: when the oldest of their events happened, of those that were told too late to act
    on, where that was before ``created_at``; ``learned_at``: when it was told. Both are empty for most.
    """

    __tablename__ = "customers"
    # The few who were merged away: what is asked of whole families looks them up here.
    __table_args__ = (
        partial_index("ix_customers_merged", "id", "root_id", where=MERGED_AWAY),
        partial_index("ix_customers_merged_into", "root_id", "id", where=MERGED_AWAY),
    )

    id: str = pk()
    root_id: str = Field(index=True, sa_type=Id)
    locale: str | None = None
    zone: str | None = None  #: IANA name
    attributes: dict = document()
    created_at: datetime = moment()
    known_since: datetime | None = moment(default=None)
    learned_at: datetime | None = moment(default=None)
    updated_at: datetime = moment()
    erased_at: datetime | None = moment(default=None)  #: nothing but ids and times is left


class Identity(Table, table=True):
    """A key that leads to one customer, or (``customer_id`` empty) is known and leads to nobody.

    Kinds: user_id, anonymous_id, email, phone, device_id, order_id, charge_id, payment_id.
    """

    __tablename__ = "identities"
    __table_args__ = (UniqueConstraint("kind", "value"),)

    id: str = pk()
    kind: str
    value: str  #: normalised: email in lower case, phone in E.164
    customer_id: str | None = Field(
        default=None, index=True, sa_type=Id, foreign_key="customers.id"
    )
    source: str
    created_at: datetime = moment()


class ContactPoint(Table, table=True):
    """One address of a customer on one channel."""

    __tablename__ = "contact_points"
    __table_args__ = (UniqueConstraint("channel", "address", "customer_id"),)

    id: str = pk()
    customer_id: str = Field(index=True, sa_type=Id, foreign_key="customers.id")
    channel: str
    address: str
    verified_at: datetime | None = moment(default=None)
    created_at: datetime = moment()
    replaced_at: datetime | None = moment(default=None)  #: a newer address took its place


class Merge(Table, table=True):
    """Two customers found to be one person; undone by ``undone_at``, never by deletion."""

    __tablename__ = "merges"

    id: str = pk()
    kept_id: str = Field(index=True, sa_type=Id)
    merged_id: str = Field(index=True, sa_type=Id)
    moved: list = document(default_factory=list)  #: ids of the customers whose root changed
    reason: str
    at: datetime = moment()
    undone_at: datetime | None = moment(default=None)


class IdentityConflict(Table, table=True):
    """One event named two customers; recorded and shown, never silently merged."""

    __tablename__ = "identity_conflicts"

    id: str = pk()
    event_id: str | None = Field(default=None, sa_type=Id)
    customer_id: str = Field(index=True, sa_type=Id)  #: the one that the stronger key decided
    other_id: str = Field(index=True, sa_type=Id)
    kind: str  #: the weaker key's kind and value, which pointed to ``other_id``
    value: str = Field(index=True)
    at: datetime = moment()
    resolved_at: datetime | None = moment(default=None)


def was_merged(customer: Any) -> ColumnElement[bool]:
    """The customer was merged into another one.

    In the words of the indexes ``ix_customers_merged*``: PostgreSQL takes "id <> root_id" to be true of
    nearly everybody, and this to be rare, as it is.
    """
    return cast(customer.c.id == customer.c.root_id, Integer) == literal_column("0")


def known_since(customer: Any) -> ColumnElement[Any]:
    """Since when the customer is known: by their past, where it was told, else by the record."""
    return func.coalesce(customer.c.known_since, customer.c.created_at)


_customers = metadata.tables["customers"]
_identities = metadata.tables["identities"]
_points = metadata.tables["contact_points"]
_merges = metadata.tables["merges"]
_conflicts = metadata.tables["identity_conflicts"]


_ROOTS = select(_customers.c.id, _customers.c.root_id).where(among(_customers.c.id))
_FAMILY = (
    select(_customers.c.id, _customers.c.root_id)
    .where(among(_customers.c.root_id))
    .order_by(_customers.c.id)
)


def roots(session: Session, customer_ids: Iterable[str]) -> dict[str, str]:
    """Return the root of each customer, by its id."""
    return {
        row.id: row.root_id
        for ids in chunks(set(customer_ids))
        for row in session.execute(_ROOTS, {"ids": ids})
    }


_MERGED = select(_customers.c.id, _customers.c.root_id).where(
    among(_customers.c.root_id), was_merged(_customers)
)


def families(session: Session, root_ids: Iterable[str]) -> dict[str, str]:
    """Return by id the root of each of these people, and of every customer merged into one of them.

    What belongs to people is found faster by all ids of theirs than through the table of customers.
    """
    found = {root: root for root in root_ids}
    for ids in chunks([*found]):
        found.update((row.id, row.root_id) for row in session.execute(_MERGED, {"ids": ids}))
    return found


def family(session: Session, root_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return, by root, the ids of every customer merged into it, itself first."""
    found: dict[str, list[str]] = {root: [] for root in root_ids}
    for ids in chunks(list(found)):
        for row in session.execute(_FAMILY, {"ids": ids}):
            found[row.root_id].append(row.id)
    return {root: sorted(ids, key=lambda i: (i != root, i)) for root, ids in found.items()}


_LED_TO = (
    select(_identities.c.kind, _identities.c.value, _customers.c.root_id)
    .outerjoin(_customers, _customers.c.id == _identities.c.customer_id)
    .where(tuple_(_identities.c.kind, _identities.c.value).in_(bindparam("keys", expanding=True)))
)


def led_to(session: Session, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str | None]:
    """Return the root customer (or None: a guest's) of each key that is known."""
    return {
        (row.kind, row.value): row.root_id
        for some in chunks(set(keys))
        for row in session.execute(_LED_TO, {"keys": some})
    }


_USERS = (
    select(_customers.c.root_id, _identities.c.value)
    .join(_customers, _customers.c.id == _identities.c.customer_id)
    .where(
        among(_customers.c.root_id),
        _identities.c.kind == "user_id",
    )
)


def user_ids(session: Session, root_ids: Iterable[str]) -> dict[str, set[str]]:
    """Return the user ids that lead to each root customer."""
    found: dict[str, set[str]] = defaultdict(set)
    for ids in chunks(root_ids):
        for row in session.execute(_USERS, {"ids": ids}):
            found[row.root_id].add(row.value)
    return dict(found)


def identities(session: Session, customer_ids: Iterable[str]) -> list[Row[Any]]:
    """Return the identities of these customers, oldest first."""
    query = select(_identities).where(_identities.c.customer_id.in_(list(customer_ids)))
    return list(session.execute(query.order_by(_identities.c.created_at, _identities.c.id)))


def add(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert customers."""
    if rows:
        session.execute(_customers.insert(), rows)


def add_identities(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert identities; one that exists stays as it is."""
    if rows:
        session.execute(_insert_new(session, _identities), rows)


def _insert_new(session: Session, table: Any) -> Any:
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    return dialect.insert(table).on_conflict_do_nothing()


def claim_identities(session: Session, claimed: Mapping[tuple[str, str], str]) -> None:
    """Give identities that were nobody's (a guest's order) to their customers."""
    if claimed:
        session.execute(
            _identities.update()
            .where(
                _identities.c.kind == bindparam("of_kind"),
                _identities.c.value == bindparam("of_value"),
                _identities.c.customer_id.is_(None),
            )
            .values(customer_id=bindparam("owner")),
            [
                {"of_kind": kind, "of_value": value, "owner": owner}
                for (kind, value), owner in claimed.items()
            ],
        )


_PROFILES = select(
    _customers.c.id,
    _customers.c.root_id,
    _customers.c.locale,
    _customers.c.zone,
    _customers.c.attributes,
).where(among(_customers.c.root_id))


def profiles(session: Session, root_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return locale, zone and attributes by root: its own first, then of those merged into it."""
    found: dict[str, dict[str, Any]] = {}
    merged = []
    for ids in chunks(root_ids):
        for row in session.execute(_PROFILES, {"ids": ids}).all():
            customer, root, locale, zone, attributes = row
            if customer == root:
                found[root] = {"locale": locale, "zone": zone, "attributes": attributes}
            else:
                merged.append(row)
    for _, root, locale, zone, attributes in sorted(merged, key=itemgetter(0)):
        whole = found.setdefault(root, {"locale": None, "zone": None, "attributes": {}})
        whole["locale"] = whole["locale"] or locale
        whole["zone"] = whole["zone"] or zone
        whole["attributes"] = attributes | whole["attributes"]
    return found


_OWN_PROFILES = select(
    _customers.c.id, _customers.c.locale, _customers.c.zone, _customers.c.attributes
).where(among(_customers.c.id))


def own_profiles(session: Session, customer_ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return locale, zone and attributes as these customers' own rows have them."""
    return {
        row.id: {"locale": row.locale, "zone": row.zone, "attributes": dict(row.attributes)}
        for ids in chunks(customer_ids)
        for row in session.execute(_OWN_PROFILES, {"ids": ids})
    }


def update_profiles(session: Session, rows: Sequence[Mapping[str, Any]], *, now: datetime) -> None:
    """Write ``locale``, ``zone`` and ``attributes`` of customers by ``id``."""
    if rows:
        session.execute(
            _customers.update()
            .where(_customers.c.id == bindparam("of_id"))
            .values(
                locale=bindparam("new_locale"),
                zone=bindparam("new_zone"),
                attributes=bindparam("new_attributes"),
                updated_at=now,
            ),
            [
                {
                    "of_id": row["id"],
                    "new_locale": row["locale"],
                    "new_zone": row["zone"],
                    "new_attributes": row["attributes"],
                }
                for row in sorted(rows, key=lambda row: row["id"])
            ],
        )


_PAST = each("past")
_HAPPENED = cast(_PAST.c.value, UtcDateTime)
_LEARN = (
    update(_customers)
    .where(_customers.c.id == _PAST.c.key, known_since(_customers) > _HAPPENED)
    .values(known_since=_HAPPENED, learned_at=bindparam("now", type_=UtcDateTime))
)


def learn(session: Session, *, past: Mapping[str, datetime], now: datetime) -> None:
    """Write since when customers are known, by id, where it is longer than we knew; they are held."""
    if past:
        told = to_json({one: moment_text(at) for one, at in past.items()})
        session.execute(_LEARN, {"past": told, "now": now})


_POINTS = (
    select(_points, _customers.c.root_id)
    .join(_customers, _customers.c.id == _points.c.customer_id)
    .where(among(_customers.c.root_id))
    .order_by(_points.c.created_at, _points.c.id)
)


def contact_points(session: Session, root_ids: Iterable[str]) -> dict[str, list[Row[Any]]]:
    """Return every contact point by root customer, replaced ones too, oldest first."""
    found: dict[str, list[Row[Any]]] = defaultdict(list)
    for ids in chunks(root_ids):
        for row in session.execute(_POINTS, {"ids": ids}):
            found[row.root_id].append(row)
    return dict(found)


def current_contact_points(
    session: Session, root_ids: Iterable[str]
) -> dict[str, dict[str, Row[Any]]]:
    """Return by root and channel the one address in use: the root's own before a merged one's."""
    found: dict[str, dict[str, Row[Any]]] = {}
    for root, rows in contact_points(session, root_ids).items():
        held = [row for row in rows if row.replaced_at is None]
        held.sort(key=lambda row: (row.customer_id == root, row.created_at, row.id))
        found[root] = {row.channel: row for row in held}
    return found


def add_contact_points(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert contact points; one that exists stays as it is."""
    if rows:
        session.execute(_insert_new(session, _points), rows)


def change_contact_points(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``verified_at`` and ``replaced_at`` of contact points by ``id``."""
    if rows:
        session.execute(
            _points.update()
            .where(_points.c.id == bindparam("of_id"))
            .values(
                verified_at=bindparam("new_verified_at"), replaced_at=bindparam("new_replaced_at")
            ),
            [
                {
                    "of_id": row["id"],
                    "new_verified_at": row["verified_at"],
                    "new_replaced_at": row["replaced_at"],
                }
                for row in sorted(rows, key=lambda row: row["id"])
            ],
        )


def set_root(session: Session, customer_ids: Sequence[str], root_id: str) -> None:
    """Make one customer stand for these."""
    for ids in chunks(customer_ids):
        session.execute(_customers.update().where(_customers.c.id.in_(ids)).values(root_id=root_id))


def merges_of(session: Session, customer_ids: Iterable[str]) -> list[Merge]:
    """Return the merges these customers took part in, oldest first."""
    ids = list(customer_ids)
    query = select(Merge).where(_merges.c.kept_id.in_(ids) | _merges.c.merged_id.in_(ids))
    return list(session.scalars(query.order_by(_merges.c.at, _merges.c.id)))


def conflicts_of(session: Session, customer_ids: Iterable[str]) -> list[IdentityConflict]:
    """Return the conflicts that name these customers, oldest first."""
    ids = list(customer_ids)
    query = select(IdentityConflict).where(
        _conflicts.c.customer_id.in_(ids) | _conflicts.c.other_id.in_(ids)
    )
    return list(session.scalars(query.order_by(_conflicts.c.at, _conflicts.c.id)))


def add_conflicts(session: Session, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert identity conflicts, except those that are on the record and open."""
    if not rows:
        return
    values = {row["value"] for row in rows}
    query = select(
        _conflicts.c.customer_id, _conflicts.c.other_id, _conflicts.c.kind, _conflicts.c.value
    ).where(_conflicts.c.resolved_at.is_(None), _conflicts.c.value.in_(values))
    known = {tuple(row) for row in session.execute(query)}
    new: dict[tuple[str, ...], Mapping[str, Any]] = {}
    for row in rows:
        named = (row["customer_id"], row["other_id"], row["kind"], row["value"])
        if named not in known:
            new.setdefault(named, row)
    if new:
        session.execute(_conflicts.insert(), list(new.values()))


def resolve_conflicts(session: Session, customer_ids: Sequence[str], *, now: datetime) -> None:
    """Close the conflicts between these customers: they are one person now."""
    session.execute(
        _conflicts.update()
        .where(
            _conflicts.c.customer_id.in_(customer_ids),
            _conflicts.c.other_id.in_(customer_ids),
            _conflicts.c.resolved_at.is_(None),
        )
        .values(resolved_at=now)
    )


_LOCK = (
    select(_customers.c.id)
    .where(among(_customers.c.id))
    .order_by(_customers.c.id)
    # NO KEY UPDATE: rows of others that only refer to these people need not wait, and so cannot take
    # part in a deadlock.
    .with_for_update(key_share=True)
)


def lock_customers(session: Session, root_ids: Iterable[str]) -> None:
    """Hold these people until the transaction ends, so that a wake-up or a cap cannot be missed.

    Always in the same order, and before any enrolment, so that two transactions never wait for each
    other. On SQLite a writing transaction holds everything already.
    """
    if session.get_bind().dialect.name == "sqlite":
        return
    ids = sorted(set(root_ids))
    if ids:
        session.execute(_LOCK, given(ids))


def set_attribute(
    session: Session, *, customer_id: str, name: str, value: Any, now: datetime
) -> None:
    """Set one attribute of a customer."""
    known = session.execute(
        select(_customers.c.attributes)
        .where(_customers.c.id == customer_id)
        .with_for_update(key_share=True)
    ).scalar_one()
    session.execute(
        _customers.update()
        .where(_customers.c.id == customer_id)
        .values(attributes={**known, name: value}, updated_at=now)
    )
