"""Consents (the customer's own permission) and suppressions (our block); both append-only."""

from datetime import datetime

from sqlmodel import Field

from signalpost.record.base import Id, Table, moment, pk


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
