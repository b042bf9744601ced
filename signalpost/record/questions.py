"""The queries of questions and answers."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, select, update
from sqlmodel import Session

from signalpost.record.base import insert_rows, table_of
from signalpost.record.customers import Customer
from signalpost.record.receipts import Answer, Question

_q = table_of(Question)
_a = table_of(Answer)
_c = table_of(Customer)


def open_now(session: Session, *, roots: Collection[str]) -> dict[str, list[RowMapping]]:
    """Give the open questions by root customer, oldest first."""
    rows = session.execute(
        select(_q, _c.c.root_id)
        .join(_c, _c.c.id == _q.c.customer_id)
        .where(_c.c.root_id.in_(roots), _q.c.closed_at.is_(None))
        .order_by(_q.c.asked_at)
    ).mappings()
    found: dict[str, list[RowMapping]] = defaultdict(list)
    for row in rows:
        found[row["root_id"]].append(row)
    return dict(found)


def asked_by(session: Session, *, enrolment_id: str, by: datetime) -> RowMapping | None:
    """Give what a message of this enrolment asked: the latest question that was there ``by`` then."""
    query = (
        select(_q)
        .where(_q.c.enrolment_id == enrolment_id, _q.c.asked_at <= by)
        .order_by(_q.c.asked_at.desc(), _q.c.id.desc())
        .limit(1)
    )
    return session.execute(query).mappings().first()


def add(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Open questions."""
    insert_rows(session, _q, rows)


def close(session: Session, *, ids: Collection[str], outcome: str, now: datetime) -> None:
    """Close questions that are open."""
    if ids:
        session.execute(
            update(_q)
            .where(_q.c.id.in_(ids), _q.c.closed_at.is_(None))
            .values(closed_at=now, outcome=outcome)
        )


def close_of(
    session: Session, *, enrolment_ids: Collection[str], outcome: str, now: datetime
) -> None:
    """Close what these enrolments asked and nobody answered: an answer would change nothing now."""
    if enrolment_ids:
        session.execute(
            update(_q)
            .where(_q.c.enrolment_id.in_(enrolment_ids), _q.c.closed_at.is_(None))
            .values(closed_at=now, outcome=outcome)
        )


def answers(
    session: Session, *, enrolment_ids: Collection[str]
) -> dict[str, dict[str, RowMapping]]:
    """Give the answers by enrolment and question name."""
    rows = session.execute(select(_a).where(_a.c.enrolment_id.in_(enrolment_ids))).mappings()
    found: dict[str, dict[str, RowMapping]] = defaultdict(dict)
    for row in rows:
        found[row["enrolment_id"]][row["name"]] = row
    return dict(found)
