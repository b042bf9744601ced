"""Why something was sent, or not, and why somebody entered a journey, or did not."""

from datetime import datetime

from sqlalchemy import Index
from sqlmodel import Field

from signalpost.record.base import Id, Table, document, moment, pk


class DecisionRow(Table, table=True):
    """One decision with its reason; append-only.

    ``kind``: entry (into a journey), gate (of a message), step (branch, split, wait, exit).
    """

    __tablename__ = "decisions"
    __table_args__ = (Index("ix_decisions_customer_at", "customer_id", "at"),)

    id: str = pk()
    customer_id: str = Field(sa_type=Id)
    enrolment_id: str | None = Field(default=None, index=True, sa_type=Id)
    event_id: str | None = Field(default=None, sa_type=Id)
    message_id: str | None = Field(default=None, sa_type=Id)
    kind: str
    subject: str  #: the journey, the message, or the step
    channel: str | None = None
    outcome: str  #: send | skip | hold, entered | joined | not_entered, or where a step led
    reason: str
    detail: dict = document()
    run_id: str | None = None
    at: datetime = moment()
