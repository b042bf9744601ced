"""Erasures: the job of forgetting one person, its steps, and the fingerprints that remain."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, select, update
from sqlmodel import Field, Session

from signalpost.record.base import (
    Id,
    Table,
    document,
    insert_new,
    insert_rows,
    moment,
    pk,
    table_of,
)
from signalpost.record.bulk import among, given


class Erasure(Table, table=True):
    """One person who was erased, and how far the providers are with it.

    ``outstanding`` holds the addresses that a provider has yet to be told, and is emptied with the
    last of them; nothing else of the person is here.
    """

    __tablename__ = "erasures"

    id: str = pk()
    customer_id: str = Field(index=True, sa_type=Id)  #: the root
    customer_ids: list = document(default_factory=list)  #: with everybody merged into it
    who: str
    reason: str
    counts: dict = document()  #: table → rows emptied or deleted
    outstanding: dict = document()
    receipt: dict = document()  #: signed; empty until the last step is done
    requested_at: datetime = moment()
    done_at: datetime | None = moment(default=None)


class ErasureStep(Table, table=True):
    """One step of an erasure: a provider, the disk, the receipt."""

    __tablename__ = "erasure_steps"

    erasure_id: str = Field(primary_key=True, sa_type=Id, foreign_key="erasures.id")
    step: str = Field(primary_key=True)
    number: int  #: its place in the order
    attempts: int = 0
    detail: dict = document()  #: job ids and counts, or why it has to wait
    next_at: datetime = moment()
    done_at: datetime | None = moment(default=None)


class ForgottenAddress(Table, table=True):
    """A block on an address that nobody knows any more, by its fingerprint."""

    __tablename__ = "forgotten_addresses"

    fingerprint: str = Field(primary_key=True)
    channel: str = Field(primary_key=True)  #: * for every channel
    scope: str = Field(primary_key=True)
    reason: str = Field(primary_key=True)
    at: datetime = moment()


_e, _s, _f = table_of(Erasure), table_of(ErasureStep), table_of(ForgottenAddress)


def add(session: Session, *, erasure: Mapping[str, Any], steps: Sequence[str]) -> None:
    """Write an erasure down with the steps that are left."""
    insert_rows(session, _e, [erasure])
    at = erasure["requested_at"]
    insert_rows(
        session,
        _s,
        [
            {
                "erasure_id": erasure["id"],
                "step": step,
                "number": number,
                "attempts": 0,
                "detail": {},
                "next_at": at,
                "done_at": None,
            }
            for number, step in enumerate(steps)
        ],
    )


def one(session: Session, *, erasure_id: str) -> RowMapping | None:
    """Give an erasure."""
    return session.execute(select(_e).where(_e.c.id == erasure_id)).mappings().first()


def steps(session: Session, *, erasure_id: str) -> list[RowMapping]:
    """Give the steps of an erasure, in order."""
    query = select(_s).where(_s.c.erasure_id == erasure_id).order_by(_s.c.number)
    return list(session.execute(query).mappings())


def unfinished(session: Session, *, now: datetime | None = None) -> list[str]:
    """Give the erasures that are not done, the oldest first; with ``now``: whose next step is due."""
    query = select(_e.c.id).where(_e.c.done_at.is_(None)).order_by(_e.c.requested_at)
    if now is not None:
        due = select(_s.c.erasure_id).where(_s.c.done_at.is_(None), _s.c.next_at <= now)
        query = query.where(_e.c.id.in_(due))
    return list(session.execute(query).scalars())


def note_step(
    session: Session,
    *,
    erasure_id: str,
    step: str,
    detail: Mapping[str, Any],
    next_at: datetime,
    done_at: datetime | None,
) -> None:
    """Write how a step went."""
    session.execute(
        update(_s)
        .where(_s.c.erasure_id == erasure_id, _s.c.step == step)
        .values(attempts=_s.c.attempts + 1, detail=dict(detail), next_at=next_at, done_at=done_at)
    )


def finish(session: Session, *, erasure_id: str, receipt: Mapping[str, Any], now: datetime) -> None:
    """Keep the receipt, and forget what was kept for the providers."""
    session.execute(
        update(_e)
        .where(_e.c.id == erasure_id)
        .values(receipt=dict(receipt), outstanding={}, done_at=now)
    )


def of_customers(session: Session, *, customer_ids: Collection[str]) -> list[RowMapping]:
    """Give the erasures of these root customers, oldest first."""
    query = select(_e).where(_e.c.customer_id.in_(customer_ids)).order_by(_e.c.requested_at)
    return list(session.execute(query).mappings())


def keep_fingerprints(session: Session, *, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep blocks on addresses by their fingerprints."""
    insert_new(session, _f, rows, conflict=("fingerprint", "channel", "scope", "reason"))


_BLOCKS = select(_f).where(among(_f.c.fingerprint))


def blocks(session: Session, *, fingerprints: Collection[str]) -> list[RowMapping]:
    """Give the blocks that are kept under these fingerprints."""
    if not fingerprints:
        return []
    return list(session.execute(_BLOCKS, given(list(fingerprints))).mappings())


def lift(session: Session, *, fingerprint: str, reason: str) -> None:
    """Take back a block that is kept under a fingerprint."""
    session.execute(_f.delete().where(_f.c.fingerprint == fingerprint, _f.c.reason == reason))


def standing(session: Session) -> dict[str, int]:
    """Count erasures that are done and those that are not."""
    query = select(
        func.count().filter(_e.c.done_at.is_not(None)), func.count().filter(_e.c.done_at.is_(None))
    )
    done, left = session.execute(query).one()
    return {"done": done, "unfinished": left}
