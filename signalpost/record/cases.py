"""Cases: what a person of ours must look at; and calls to other systems made on their behalf."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from signalpost.record.base import Id, Table, document, moment, pk


class Case(Table, table=True):
    """Something a person must see to. ``status``: awaiting_customer | open | closed."""

    __tablename__ = "cases"
    __table_args__ = (
        UniqueConstraint("enrolment_id", "kind"),
        Index("ix_cases_status_priority", "status", "priority"),
    )

    id: str = pk()
    kind: str  #: fraud | service | store
    customer_id: str = Field(index=True, sa_type=Id)
    enrolment_id: str = Field(sa_type=Id)
    status: str
    outcome: str | None = None  #: cleared | confirmed_fraud | ...
    reason: str
    priority: str = "normal"  #: normal | high
    team: str
    assignee: str  #: the customer's own agent, else whoever is on call
    context: dict = document()
    promised_by: datetime | None = moment(default=None)
    opened_at: datetime = moment()
    closed_at: datetime | None = moment(default=None)


class CaseEntry(Table, table=True):
    """One thing that happened to a case; append-only."""

    __tablename__ = "case_entries"

    id: str = pk()
    case_id: str = Field(index=True, sa_type=Id, foreign_key="cases.id")
    what: str  #: opened | joined | assigned | raised | closed | note
    detail: dict = document()
    at: datetime = moment()


class HookCall(Table, table=True):
    """A signed webhook out; its id is the idempotency key that the receiver sees on every attempt."""

    __tablename__ = "hook_calls"
    __table_args__ = (UniqueConstraint("enrolment_id", "step"),)

    id: str = pk()
    customer_id: str = Field(index=True, sa_type=Id)
    enrolment_id: str = Field(sa_type=Id)
    step: str
    hook: str
    body: dict = document()
    status: str  #: calling | done | retry | failed | unknown
    attempts: int = 0
    detail: str | None = None
    started_at: datetime = moment()
    settled_at: datetime | None = moment(default=None)
