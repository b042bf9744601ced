"""Messages, the attempts to hand them over, their wording, and the in-app inbox."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from signalpost.record.base import Id, Table, document, moment, pk


class MessageVariant(Table, table=True):
    """The static wording of one message on one channel in one locale, kept as long as it was sent.

    Text as sent = these parts filled with a message's slots.
    """

    __tablename__ = "message_variants"

    id: str = Field(primary_key=True)  #: hash of the parts
    message: str
    channel: str
    locale: str
    parts: dict = document()
    first_used_at: datetime = moment()


class Message(Table, table=True):
    """One template for one customer on one channel for one cause."""

    __tablename__ = "messages"
    __table_args__ = (
        Index("ix_messages_customer_at", "customer_id", "created_at"),
        Index("ix_messages_status", "status"),
    )

    id: str = pk()
    idempotency_key: str = Field(unique=True)
    customer_id: str = Field(sa_type=Id, foreign_key="customers.id")
    enrolment_id: str | None = Field(default=None, index=True, sa_type=Id)
    cause_id: str | None = Field(default=None, sa_type=Id)  #: the event it is about
    message: str  #: the folder's name
    version: str  #: the folder's version
    channel: str
    address: str
    purpose: str
    topic: str
    locale: str
    status: str
    reason: str | None = None
    facts: dict = document()
    variant_id: str | None = None
    slots: dict = document()
    run_id: str | None = None  #: the Prefect flow run that sent it
    created_at: datetime = moment()
    updated_at: datetime = moment()
    expires_at: datetime | None = moment(default=None)


class Delivery(Table, table=True):
    """One attempt to hand a message to a provider, written before the provider is called."""

    __tablename__ = "deliveries"

    id: str = pk()
    message_id: str = Field(index=True, sa_type=Id, foreign_key="messages.id")
    attempt: int
    provider: str
    status: str
    provider_id: str | None = Field(default=None, index=True)
    fault: str | None = None
    code: str | None = None
    detail: str | None = None
    started_at: datetime = moment()
    settled_at: datetime | None = moment(default=None)


class InAppItem(Table, table=True):
    """Where an in-app message stands in the customer's inbox."""

    __tablename__ = "in_app_items"
    __table_args__ = (Index("ix_in_app_items_customer_at", "customer_id", "created_at"),)

    message_id: str = Field(primary_key=True, sa_type=Id, foreign_key="messages.id")
    customer_id: str = Field(sa_type=Id)
    created_at: datetime = moment()
    seen_at: datetime | None = moment(default=None)
    read_at: datetime | None = moment(default=None)
    archived_at: datetime | None = moment(default=None)
    withdrawn_at: datetime | None = moment(default=None)  #: redeemed or ended: no longer shown
