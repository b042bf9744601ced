"""What the plan of a campaign asks of the record: who is meant, and which other runs mean them too."""

from collections.abc import Collection, Iterator
from typing import Any

from sqlalchemy import RowMapping, Select, exists, func, select
from sqlmodel import Session

from signalpost.record.audiences import for_many
from signalpost.record.base import table_of
from signalpost.record.campaigns import LIVE, CampaignPerson, CampaignRun, CampaignVersion
from signalpost.record.customers import Customer

_r = table_of(CampaignRun)
_p = table_of(CampaignPerson)
_v = table_of(CampaignVersion)
_c = table_of(Customer)


def stream(session: Session, members: Select[Any], *, size: int) -> Iterator[list[str]]:
    """Give the ids of an audience, ``size`` at a time, without ever holding all of them."""
    with for_many(session):
        rows = session.execute(members, execution_options={"yield_per": size})
    for part in rows.scalars().partitions(size):
        yield list(part)


def open_among(session: Session, *, campaign_run_id: str, ids: Collection[str]) -> set[str]:
    """Give those of these people on whom a run that has begun has yet to decide."""
    query = select(_p.c.customer_id).where(
        _p.c.campaign_run_id == campaign_run_id,
        _p.c.customer_id.in_(ids),
        _p.c.outcome.is_(None),
    )
    return set(session.execute(query).scalars())


def live_runs(session: Session) -> list[RowMapping]:
    """Give the runs of all campaigns that can still send something, with their definitions.

    ``frozen``: its people are written down.
    """
    frozen = exists(select(_p.c.customer_id).where(_p.c.campaign_run_id == _r.c.id))
    query = (
        select(
            _r.c.id,
            _r.c.campaign,
            _r.c.stage,
            _r.c.series,
            _r.c.status,
            _r.c.scheduled_at,
            _r.c.local_at,
            _r.c.facts,
            _v.c.definition,
            frozen.label("frozen"),
        )
        .join(_v, _v.c.version == _r.c.version)
        .where(_r.c.status.in_(LIVE))
        .order_by(_r.c.scheduled_at, _r.c.id)
    )
    return list(session.execute(query).mappings())


def last_started(session: Session, *, campaign: str) -> RowMapping | None:
    """Give the latest run of a campaign that began: its plan and its definition."""
    query = (
        select(_r.c.id, _r.c.plan, _v.c.definition)
        .join(_v, _v.c.version == _r.c.version)
        .where(_r.c.campaign == campaign, _r.c.started_at.is_not(None))
        .order_by(_r.c.started_at.desc(), _r.c.id.desc())
        .limit(1)
    )
    return session.execute(query).mappings().first()


def everybody(session: Session) -> int:
    """Count all people on the record."""
    query = select(func.count()).select_from(_c).where(_c.c.id == _c.c.root_id)
    return session.execute(query).scalar_one()
