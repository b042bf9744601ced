"""Enrolments: one customer's passage through one journey; and the versions they are pinned to."""

from datetime import datetime

from sqlalchemy import Index, UniqueConstraint
from sqlmodel import Field

from signalpost.record.base import Id, Table, document, moment, pk


class JourneyVersion(Table, table=True):
    """A journey as it was when somebody entered it; kept as long as anybody is in it."""

    __tablename__ = "journey_versions"

    version: str = Field(primary_key=True)  #: hash of the program
    journey: str = Field(index=True)
    program: dict = document()
    first_seen_at: datetime = moment()


class Enrolment(Table, table=True):
    """One customer in one journey.

    ``status``: active (``due_at`` says when it moves), waiting (for ``wait_for``, at the latest until
    ``due_at``), done, exited, set_aside (a fault of ours stopped it; ``reason`` says which).
    The lease says which worker holds it; ``lease_token`` grows with each claim and fences off a
    worker that comes back too late.
    """

    __tablename__ = "enrolments"
    __table_args__ = (
        UniqueConstraint("journey", "entry_key"),
        Index("ix_enrolments_due", "lane", "due_at"),
        Index("ix_enrolments_waiting", "customer_id", "status"),
        Index("ix_enrolments_claim", "claim_id"),
    )

    id: str = pk()
    customer_id: str = Field(sa_type=Id, foreign_key="customers.id")
    journey: str
    version: str = Field(foreign_key="journey_versions.version")
    lane: str
    entry_key: str  #: what makes this entry one and not two: "transaction_id:T1"
    key: str | None = None  #: the value that events are matched by
    step: str | None = None  #: id of the node in the program; None when it has ended
    status: str
    reason: str | None = None
    wait_for: str | None = None  #: "event:order.picked_up" or "answer:csat"
    due_at: datetime | None = moment(default=None)  #: None: nothing to do until something happens
    attempts: int = 0  #: failed tries of the present step
    context: dict = document()  #: facts, answers, arms, the cause
    claim_id: str | None = Field(default=None, sa_type=Id)
    lease_until: datetime | None = moment(default=None)
    lease_token: int = 0
    started_at: datetime = moment()
    moved_at: datetime = moment()
    ended_at: datetime | None = moment(default=None)
