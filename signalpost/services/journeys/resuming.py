"""Resuming people who were set aside, once an operator says that what stopped them is repaired."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.vocabulary import MessageStatus, Purpose
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import audit, decisions, enrolments, messages
from signalpost.record.database import Database
from signalpost.services.journeys import planning

_TOGETHER = 500  #: people in one transaction


@dataclass(frozen=True, kw_only=True)
class Resumed:
    """Somebody who goes on: where, and how many messages that had failed are taken up again."""

    customer_id: str
    journey: str
    step: str
    messages: int


def resume(
    session: Session,
    *,
    enrolment_id: str,
    now: datetime,
    facts: Mapping[str, Any] | None = None,
) -> Resumed:
    """Have somebody who was set aside go on at the step they stand at; ``facts`` are put right first.

    What went out stays out: only a message of this step that failed before any provider had it is
    taken up again, as the same message, and the gate is asked about it anew.

    Raises:
        NotFoundError: there is no such enrolment.
        ConflictError: it is not set aside.
    """
    rows = enrolments.lock_set_aside(session, ids=[enrolment_id])
    if not rows:
        status = enrolments.status_of(session, enrolment_id=enrolment_id)
        if status is None:
            raise NotFoundError(f"There is no enrolment {enrolment_id}.")
        raise ConflictError(f"Enrolment {enrolment_id} is {status}, not set aside.")
    [row] = rows
    if facts:
        known = {**row["context"].get("facts", {}), **facts}
        context = {**row["context"], "facts": known}
        enrolments.set_context(session, enrolment_id=enrolment_id, context=context)
    taken_up = _resume(session, rows, now, corrected=sorted(facts or ()))
    return Resumed(
        customer_id=row["customer_id"],
        journey=row["journey"],
        step=row["step"],
        messages=taken_up,
    )


def resume_all(
    database: Database, *, journey: str, now: datetime, actor: str, reason: str | None = None
) -> int:
    """Resume everybody who is set aside in a journey, some at a time; gives how many.

    ``reason``: only those of this one. ``actor``: who asks for it, for the audit log.

    Raises:
        NotFoundError: nobody ever entered a journey of this name.
    """
    with database.reading() as session:
        if not enrolments.journey_known(session, journey=journey):
            raise NotFoundError(f"Nobody ever entered a journey called {journey!r}.")
        aside = enrolments.set_aside(session, journey=journey)
        ids = [row["id"] for row in aside if is_of_reason(row["reason"], reason)]
    resumed = 0
    for start in range(0, len(ids), _TOGETHER):
        with database.writing() as session:
            rows = enrolments.lock_set_aside(session, ids=ids[start : start + _TOGETHER])
            _resume(session, rows, now)
            audit.add(
                session,
                actor=actor,
                action="redrive",
                subject=f"journey:{journey}",
                detail={"people": len(rows)} | ({"reason": reason} if reason else {}),
                now=now,
            )
            resumed += len(rows)
    return resumed


def is_of_reason(found: str | None, wanted: str | None) -> bool:
    """Whether a reason is the wanted one: ``missing_fact`` also means ``missing_fact:store``."""
    return not wanted or (found or "") == wanted or (found or "").startswith(f"{wanted}:")


def _resume(
    session: Session, rows: Sequence[RowMapping], now: datetime, corrected: Sequence[str] = ()
) -> int:
    named = {"corrected": list(corrected)} if corrected else {}
    again = _to_take_up(session, rows)
    messages.requeue(session, message_ids=again, now=now)
    enrolments.resume(session, ids=[row["id"] for row in rows], now=now)
    decisions.write(
        session,
        rows=[
            decisions.decision(
                customer_id=row["customer_id"],
                enrolment_id=row["id"],
                kind="step",
                subject=f"{row['journey']}:{row['step']}",
                outcome="resumed",
                reason="by_operator",
                detail={"was": row["reason"], **named},
                at=now,
            )
            for row in rows
        ],
    )
    return len(again)


def _to_take_up(session: Session, rows: Sequence[RowMapping]) -> list[str]:
    """Choose, of each chain of the present step that reached nobody, the first that failed with us."""
    steps = {row["id"]: row["step"] for row in rows}
    chains = planning.by_chain(messages.of_enrolments(session, enrolment_ids=list(steps)))
    undone = [
        chain
        for (enrolment_id, step, _), chain in chains.items()
        if step == steps[enrolment_id] and all(map(_went_wrong, chain))
    ]
    failed = [
        [row["id"] for row in chain if row["status"] == MessageStatus.FAILED] for chain in undone
    ]
    ours = messages.never_handed_over(session, message_ids=[one for some in failed for one in some])
    return [min(mine) for some in failed if (mine := ours.intersection(some))]


def _went_wrong(row: RowMapping) -> bool:
    return planning.went_wrong(MessageStatus(row["status"]), Purpose(row["purpose"]))
