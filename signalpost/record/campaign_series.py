"""What the runs of a series have said to whom: which stages began, who was sent them, who waits."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select
from sqlmodel import Session

from signalpost.record.base import table_of
from signalpost.record.bulk import among, given
from signalpost.record.campaigns import CampaignPerson, CampaignRun

_r = table_of(CampaignRun)
_p = table_of(CampaignPerson)
_GOING = ("running", "paused")


def _of(campaign: str, series: str, stages: Sequence[str]) -> ColumnElement[bool]:
    return and_(_r.c.campaign == campaign, _r.c.series == series, _r.c.stage.in_(stages))


def begun(
    session: Session, *, campaign: str, series: str, stages: Sequence[str], tests: bool = True
) -> str | None:
    """Give the latest run of these stages that has begun and was not cancelled.

    ``tests``: also one on a few people only.
    """
    query = select(_r.c.id).where(
        _of(campaign, series, stages),
        _r.c.started_at.is_not(None),
        _r.c.status.not_in(("refused", "cancelled")),
    )
    if not tests:
        query = query.where(_r.c.sample_of.is_(None))
    return session.execute(query.order_by(_r.c.id.desc()).limit(1)).scalar()


def sent_to(*, campaign: str, series: str | None, stages: Sequence[str]) -> Select[Any]:
    """Select everybody to whom one of these stages of a series was really sent.

    Also by a run that was cancelled half-way: whoever heard of it hears how it goes on.
    """
    return (
        select(_p.c.customer_id)
        .join(_r, _r.c.id == _p.c.campaign_run_id)
        .where(_of(campaign, series or "", stages), _p.c.outcome == "sent")
        .distinct()
    )


def anybody_sent(session: Session, *, campaign: str, series: str, stages: Sequence[str]) -> bool:
    """Say whether one of these stages was sent to anybody."""
    query = sent_to(campaign=campaign, series=series, stages=stages).limit(1)
    return session.execute(query).first() is not None


def waiting(session: Session, *, campaign: str, series: str, stages: Sequence[str]) -> int:
    """Count the people on whom runs of these stages have yet to decide."""
    query = (
        select(func.count())
        .select_from(_p.join(_r, _r.c.id == _p.c.campaign_run_id))
        .where(_of(campaign, series, stages), _r.c.status.in_(_GOING), _p.c.outcome.is_(None))
    )
    return session.execute(query).scalar_one()


def told(
    session: Session,
    *,
    customers: Collection[str],
    campaign: str,
    series: str,
    stages: Sequence[str],
    run_id: str,
) -> set[str]:
    """Give which of these customers another run of these stages has told, or is going to.

    Of two runs that both mean somebody, the one that was launched first tells them.
    """
    before = and_(_p.c.outcome.is_(None), _r.c.status.in_(_GOING), _r.c.id < run_id)
    query = (
        select(_p.c.customer_id)
        .join(_r, _r.c.id == _p.c.campaign_run_id)
        .where(
            _of(campaign, series, stages),
            among(_p.c.customer_id),
            or_(_p.c.outcome == "sent", before),
            _r.c.id != run_id,
        )
    )
    return set(session.execute(query, given(customers)).scalars())
