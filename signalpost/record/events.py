"""The inbox of facts: every signal that was answered 2xx, once."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from signalpost.record.base import Id, Table, document, moment, pk


class Event(Table, table=True):
    """A fact about a customer that happened.

    ``status``: accepted; guest (nobody to write to); historic (too old to act on); parked (waits for
    an order, a time or a repair; ``reason`` says which and ``parked_key`` what would wake it).
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_customer_name", "customer_id", "name", "occurred_at"),
        Index("ix_events_parked", "parked_key"),
    )

    id: str = pk()
    message_id: str = Field(unique=True)  #: the sender's id, prefixed with its source
    body_hash: str
    name: str
    customer_id: str | None = Field(default=None, sa_type=Id, foreign_key="customers.id")
    source: str
    status: str
    reason: str | None = None
    parked_key: str | None = None  #: "order_id:5004", or "until"
    facts: dict = document()  #: canonical, checked (domain.events)
    payload: dict = document()  #: as it came
    occurred_at: datetime = moment()
    received_at: datetime = moment()
