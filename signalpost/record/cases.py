"""Cases: what a person of ours must look at; and calls to other systems made on their behalf."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Index, RowMapping, UniqueConstraint, select, update
from sqlmodel import Field, Session

from signalpost.record.base import (
    Id,
    Table,
    document,
    insert_new,
    insert_rows,
    moment,
    new_id,
    partial_index,
    pk,
    table_of,
)


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
    __table_args__ = (
        UniqueConstraint("enrolment_id", "step"),
        partial_index(
            "ix_hook_calls_undone", "id", where="status IN ('failed', 'retry', 'unknown')"
        ),
    )

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


_case = table_of(Case)
_call = table_of(HookCall)


def of_enrolments(session: Session, *, enrolment_ids: Collection[str]) -> list[RowMapping]:
    """Give the cases of these enrolments."""
    query = select(_case).where(_case.c.enrolment_id.in_(enrolment_ids))
    return list(session.execute(query).mappings())


def open_new(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """Open cases; gives the ids of those that were not there yet."""
    return insert_new(session, _case, rows, conflict=("enrolment_id", "kind"), returning="id")


def change(session: Session, *, case_id: str, **values: Any) -> None:
    """Change where a case stands; its entries say what happened."""
    session.execute(update(_case).where(_case.c.id == case_id).values(**values))


def note(
    session: Session, *, rows: Sequence[tuple[str, str, dict[str, Any]]], at: datetime
) -> None:
    """Add entries ``(case id, what, detail)`` to cases."""
    insert_rows(
        session,
        table_of(CaseEntry),
        [
            {"id": new_id(), "case_id": case_id, "what": what, "detail": detail, "at": at}
            for case_id, what, detail in rows
        ],
    )


def calls_of(
    session: Session, *, enrolment_ids: Collection[str], step: str
) -> dict[str, RowMapping]:
    """Give the webhook calls of these enrolments at this step, by enrolment."""
    rows = session.execute(
        select(_call).where(_call.c.enrolment_id.in_(enrolment_ids), _call.c.step == step)
    ).mappings()
    return {row["enrolment_id"]: row for row in rows}


def begin_call(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the intent to call another system, before it is called."""
    insert_new(session, _call, rows, conflict=("enrolment_id", "step"))


def settle_call(
    session: Session, *, call_id: str, status: str, detail: str | None, now: datetime
) -> None:
    """Write how a call ended."""
    session.execute(
        update(_call)
        .where(_call.c.id == call_id)
        .values(status=status, detail=detail, settled_at=now, attempts=_call.c.attempts + 1)
    )
