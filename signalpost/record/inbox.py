"""The queries of the in-app inbox: what one person sees, and who has news."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, Select, and_, func, or_, select, update
from sqlmodel import Session

from signalpost.record.base import table_of
from signalpost.record.customers import Customer
from signalpost.record.messages import InAppItem, Message, MessageVariant

_i = table_of(InAppItem)
_m = table_of(Message)
_v = table_of(MessageVariant)
_c = table_of(Customer)

_MOMENTS = ("seen_at", "read_at", "archived_at", "withdrawn_at")


def _shown(now: datetime) -> ColumnElement[bool]:
    """Neither withdrawn nor too late."""
    return and_(_i.c.withdrawn_at.is_(None), or_(_m.c.expires_at.is_(None), _m.c.expires_at > now))


def _items() -> Select[Any]:
    return (
        select(
            _i, _c.c.root_id, _m.c.message, _m.c.enrolment_id, _m.c.slots, _v.c.parts
        )
        .join(_m, _m.c.id == _i.c.message_id)
        .join(_v, _v.c.id == _m.c.variant_id)
        .join(_c, _c.c.id == _i.c.customer_id)
    )  # fmt: skip


def page(
    session: Session,
    *,
    root: str,
    limit: int,
    before: str | None,
    archived: bool,
    now: datetime,
) -> list[RowMapping]:
    """Give what a person sees, newest first; ``before``: older than that item."""
    query = (
        _items()
        .where(_c.c.root_id == root, _shown(now), _i.c.archived_at.is_not(None) == archived)
        .order_by(_i.c.created_at.desc(), _i.c.message_id.desc())
        .limit(limit)
    )
    if before is not None:
        edge = session.execute(
            select(_i.c.created_at).where(_i.c.message_id == before)
        ).scalar_one_or_none()
        if edge is None:
            return []
        older = and_(_i.c.created_at == edge, _i.c.message_id < before)
        query = query.where(or_(_i.c.created_at < edge, older))
    return list(session.execute(query).mappings())


def item(session: Session, *, root: str, message_id: str, now: datetime) -> RowMapping | None:
    """Give one item of this person, archived or not; None when they have no such item."""
    query = _items().where(_c.c.root_id == root, _i.c.message_id == message_id, _shown(now))
    return session.execute(query).mappings().first()


def unread(session: Session, *, roots: Collection[str], now: datetime) -> dict[str, int]:
    """Count by root what is neither read nor archived."""
    rows = session.execute(
        select(_c.c.root_id, func.count())
        .select_from(_i)
        .join(_m, _m.c.id == _i.c.message_id)
        .join(_c, _c.c.id == _i.c.customer_id)
        .where(
            _c.c.root_id.in_(roots),
            _shown(now),
            _i.c.read_at.is_(None),
            _i.c.archived_at.is_(None),
        )
        .group_by(_c.c.root_id)
    )
    return {root: count for root, count in rows}  # noqa: C416 - Row is not a tuple pair


def shown_of_run(session: Session, *, campaign_run_id: str, now: datetime) -> int:
    """Count the items of a campaign's run that somebody still sees."""
    query = (
        select(func.count())
        .select_from(_i)
        .join(_m, _m.c.id == _i.c.message_id)
        .where(_m.c.campaign_run_id == campaign_run_id, _shown(now))
    )
    return session.execute(query).scalar_one()


def mark(session: Session, *, message_id: str, moments: Collection[str], now: datetime) -> None:
    """Write ``now`` where nothing is written yet."""
    for name in moments:
        session.execute(
            update(_i)
            .where(_i.c.message_id == message_id, _i.c[name].is_(None))
            .values({name: now})
        )


def unarchive(session: Session, *, message_id: str) -> None:
    """Take an item back out of the archive."""
    session.execute(update(_i).where(_i.c.message_id == message_id).values(archived_at=None))


def unseen(session: Session, *, root: str) -> list[str]:
    """Give the items of this person that they have not seen."""
    query = (
        select(_i.c.message_id)
        .join(_c, _c.c.id == _i.c.customer_id)
        .where(_c.c.root_id == root, _i.c.seen_at.is_(None))
    )
    return list(session.execute(query).scalars())


def mark_seen(session: Session, *, message_ids: Collection[str], now: datetime) -> None:
    """Write that these were seen."""
    session.execute(
        update(_i)
        .where(_i.c.message_id.in_(message_ids), _i.c.seen_at.is_(None))
        .values(seen_at=now)
    )


def fingerprints(session: Session, *, roots: Collection[str]) -> dict[str, tuple[Any, ...]]:
    """Give for each person a value that changes when anything in their inbox does."""
    columns = [
        column for name in _MOMENTS for column in (func.count(_i.c[name]), func.max(_i.c[name]))
    ]
    rows = session.execute(
        select(_c.c.root_id, func.count(), *columns)
        .select_from(_i)
        .join(_c, _c.c.id == _i.c.customer_id)
        .where(_c.c.root_id.in_(roots))
        .group_by(_c.c.root_id)
    )
    return {row[0]: tuple(row[1:]) for row in rows}


def states(session: Session, *, root: str, limit: int) -> dict[str, RowMapping]:
    """Give where the newest items of a person stand, by id, oldest first."""
    rows = session.execute(
        select(_i.c.message_id, *(_i.c[name] for name in _MOMENTS))
        .join(_c, _c.c.id == _i.c.customer_id)
        .where(_c.c.root_id == root)
        .order_by(_i.c.created_at.desc(), _i.c.message_id.desc())
        .limit(limit)
    ).mappings()
    return {row["message_id"]: row for row in reversed(list(rows))}


def people(session: Session, *, limit: int) -> list[str]:
    """Give the root ids of people who have items, the newest item first."""
    query = (
        select(_c.c.root_id)
        .join(_i, _i.c.customer_id == _c.c.id)
        .group_by(_c.c.root_id)
        .order_by(func.max(_i.c.created_at).desc(), _c.c.root_id)
        .limit(limit)
    )
    return list(session.execute(query).scalars())
