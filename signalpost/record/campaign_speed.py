"""What tells how fast a campaign's run goes, in queries that stay cheap on a big one."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session

from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignPerson, CampaignShard
from signalpost.record.messages import Message

_p, _s, _m = table_of(CampaignPerson), table_of(CampaignShard), table_of(Message)

#: Messages that are looked at, the newest of all; ids are sorted by the time of making.
NEWEST = 5_000


@dataclass(frozen=True)
class Written:
    """Whom a run made messages for since a moment: how many, the first of them, and how far we saw."""

    people: int
    first: datetime | None
    seen_since: datetime


def written_to(session: Session, *, campaign_run_id: str, since: datetime) -> Written:
    """Count whom a run made messages for since a moment, among the ``NEWEST`` of all runs."""
    newest = (
        select(_m.c.customer_id, _m.c.campaign_run_id, _m.c.created_at)
        .order_by(_m.c.id.desc())
        .limit(NEWEST)
        .subquery()
    )
    people, first = session.execute(
        select(func.count(newest.c.customer_id.distinct()), func.min(newest.c.created_at)).where(
            newest.c.campaign_run_id == campaign_run_id, newest.c.created_at >= since
        )
    ).one()
    rows, oldest = session.execute(
        select(func.count(), func.min(newest.c.created_at)).select_from(newest)
    ).one()
    return Written(people, first, max(since, oldest) if rows == NEWEST else since)


def last_due(session: Session, *, campaign_run_id: str) -> datetime | None:
    """Give when the last of those is due who are not decided yet: one look into each shard."""
    latest = (
        select(func.max(_p.c.due_at))
        .where(
            _p.c.campaign_run_id == _s.c.campaign_run_id,
            _p.c.shard == _s.c.number,
            _p.c.outcome.is_(None),
        )
        .scalar_subquery()
    )
    waits = select(latest.label("due_at")).where(
        _s.c.campaign_run_id == campaign_run_id, _s.c.due_at.is_not(None)
    )
    return session.execute(select(func.max(waits.subquery().c.due_at))).scalar()
