"""Why something was sent, or not, and why somebody entered a journey, or did not."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index
from sqlmodel import Field, Session

from signalpost.record.base import Id, Table, document, moment, new_id, pk, table_of
from signalpost.record.bulk import by_column, insert_columns


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


_decisions = table_of(DecisionRow)

_NOTHING: dict[str, Any] = {
    "enrolment_id": None,
    "event_id": None,
    "message_id": None,
    "channel": None,
    "detail": {},
    "run_id": None,
}


def decision(
    *,
    customer_id: str,
    kind: str,
    subject: str,
    outcome: str,
    reason: str,
    at: datetime,
    **more: Any,
) -> dict[str, Any]:
    """Make the row of one decision, to be written with others by ``write``."""
    return {
        **_NOTHING,
        "id": new_id(),
        "customer_id": customer_id,
        "kind": kind,
        "subject": subject,
        "outcome": outcome,
        "reason": reason,
        "at": at,
        **more,
    }


def write(session: Session, *, rows: Sequence[dict[str, Any]]) -> None:
    """Write decisions down, in one statement."""
    insert_columns(session, _decisions, rows=len(rows), columns=by_column(rows))
