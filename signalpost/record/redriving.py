"""What gave up and waits for an operator, beside people of journeys and parked events."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, func, literal_column, or_, select, update
from sqlmodel import Session

from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignPerson, CampaignRun
from signalpost.record.cases import HookCall
from signalpost.record.enrolments import Enrolment

_p = table_of(CampaignPerson)
_r = table_of(CampaignRun)
_h = table_of(HookCall)
_e = table_of(Enrolment)

#: A run whose people can be taken up again; what was cancelled or refused stays so.
_ALIVE = ("running", "paused", "done")


def failed_hooks(
    session: Session, *, call_id: str | None = None, limit: int = 1
) -> list[RowMapping]:
    """Give the calls of other systems that nobody makes any more though they are not done.

    They failed for good, or their customer has gone on without them. The longest first.
    """
    gone_on = or_(_e.c.step.is_(None), _e.c.step != _h.c.step)
    query = (
        select(_h)
        .join(_e, _e.c.id == _h.c.enrolment_id)
        .where(
            literal_column("hook_calls.status IN ('failed', 'retry', 'unknown')"),  # the index's
            or_(_h.c.status == "failed", gone_on),
        )
        .order_by(_h.c.id)
        .limit(limit)
    )
    if call_id is not None:
        query = query.where(_h.c.id == call_id)
    return list(session.execute(query).mappings())


def set_aside_in_campaigns(
    session: Session, *, campaign: str | None = None, limit: int
) -> list[RowMapping]:
    """Give the people of campaigns' runs that were set aside, in runs that can still reach them."""
    query = (
        select(
            _p.c.campaign_run_id, _p.c.customer_id, _p.c.reason, _p.c.decided_at, _r.c.campaign
        )
        .join(_r, _r.c.id == _p.c.campaign_run_id)
        .where(_p.c.outcome == "set_aside", _r.c.status.in_(_ALIVE))
        .order_by(_p.c.campaign_run_id, _p.c.customer_id)
        .limit(limit)
    )  # fmt: skip
    if campaign is not None:
        query = query.where(_r.c.campaign == campaign)
    return list(session.execute(query).mappings())


def set_aside_by_campaign(session: Session, *, limit: int) -> list[RowMapping]:
    """Count who was set aside in campaigns that can still reach them, by reason, the longest first."""
    since = func.min(_p.c.decided_at)
    query = (
        select(_r.c.campaign, _p.c.reason, func.count().label("people"), since.label("since"))
        .join(_r, _r.c.id == _p.c.campaign_run_id)
        .where(_p.c.outcome == "set_aside", _r.c.status.in_(_ALIVE))
        .group_by(_r.c.campaign, _p.c.reason)
        .order_by(since)
        .limit(limit)
    )
    return list(session.execute(query).mappings())


def campaign_known(session: Session, *, campaign: str) -> bool:
    """Say whether a campaign of this name was ever launched."""
    query = select(_r.c.id).where(_r.c.campaign == campaign)
    return session.execute(query.limit(1)).first() is not None


def lock_set_aside(
    session: Session, *, campaign_run_id: str, people: Collection[str]
) -> list[RowMapping]:
    """Lock those of a run's people who are set aside, and give them."""
    query = (
        select(_p.c.customer_id, _p.c.shard, _p.c.reason)
        .where(
            _p.c.campaign_run_id == campaign_run_id,
            _p.c.customer_id.in_(people),
            _p.c.outcome == "set_aside",
        )
        .order_by(_p.c.customer_id)
        .with_for_update()
    )
    return list(session.execute(query).mappings())


def ask_again(
    session: Session, *, campaign_run_id: str, people: Sequence[str], tries: int, now: datetime
) -> None:
    """Let people of a run be undecided again; ``tries``: 1 when a message of theirs is on record."""
    values: dict[str, Any] = {
        "outcome": None, "reason": None, "decided_at": None, "verdicts": [], "due_at": now,
        "tries": tries,
    }  # fmt: skip
    session.execute(
        update(_p)
        .where(_p.c.campaign_run_id == campaign_run_id, _p.c.customer_id.in_(people))
        .values(values)
    )
