"""Customers, the identities that lead to them, and the addresses we may write to."""

from datetime import datetime

from sqlalchemy import UniqueConstraint
from sqlmodel import Field

from signalpost.record.base import Id, Table, document, moment, pk


class Customer(Table, table=True):
    """The person we may write to.

    ``root_id`` is the customer that stands for the whole person: itself, or after a merge the one it
    was merged into. Rows keep the id they were written with, so a merge changes no history and can
    be undone by setting ``root_id`` back.
    """

    __tablename__ = "customers"

    id: str = pk()
    root_id: str = Field(index=True, sa_type=Id)
    locale: str | None = None
    zone: str | None = None  #: IANA name
    attributes: dict = document()
    created_at: datetime = moment()
    updated_at: datetime = moment()


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
    value: str
    at: datetime = moment()
    resolved_at: datetime | None = moment(default=None)
