"""What holds marketing back: an incident that lasts, and the pace of a provider."""

from collections.abc import Collection
from datetime import datetime, timedelta

from sqlalchemy import literal, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import Session

from signalpost.record.base import UtcDateTime, insert_new, table_of
from signalpost.record.bulk import among, given
from signalpost.record.campaigns import CampaignPerson, ChannelPace, MarketingHold

_p = table_of(CampaignPerson)
_h = table_of(MarketingHold)
_pace = table_of(ChannelPace)


_HELD = select(_h.c.customer_id, _h.c.series).where(
    among(_h.c.customer_id), _h.c.lifted_at.is_(None)
)


def held_back(session: Session, *, roots: Collection[str]) -> dict[str, str]:
    """Give for whom marketing is held back meanwhile, and because of what."""
    rows = session.execute(_HELD, given(roots))
    return {customer: series for customer, series in rows}  # noqa: C416


def hold_back(session: Session, *, campaign_run_id: str, series: str, now: datetime) -> None:
    """Hold marketing back from everybody in a run's audience until the series is over."""
    dialect = session.get_bind().dialect.name
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    people = select(
        _p.c.customer_id,
        literal(series),
        literal(campaign_run_id),
        literal(now, UtcDateTime),
    ).where(_p.c.campaign_run_id == campaign_run_id)
    session.execute(
        make(_h)
        .from_select(["customer_id", "series", "campaign_run_id", "since"], people)
        .on_conflict_do_nothing()
    )


def let_go(session: Session, *, series: str, now: datetime) -> None:
    """Let marketing go again to the people of a series."""
    session.execute(
        update(_h).where(_h.c.series == series, _h.c.lifted_at.is_(None)).values(lifted_at=now)
    )


def free_at(session: Session, *, channel: str, now: datetime) -> datetime:
    """Give when a channel's provider may be given more, and hold it until the transaction ends."""
    insert_new(session, _pace, [{"channel": channel, "next_free_at": now}], conflict=("channel",))
    query = select(_pace.c.next_free_at).where(_pace.c.channel == channel).with_for_update()
    return session.execute(query).scalar_one()


def charge(
    session: Session, *, channel: str, messages: int, per_second: float, now: datetime
) -> None:
    """Say that so many messages go to a channel's provider now; whoever calls asked ``free_at``."""
    until = now + timedelta(seconds=messages / per_second)
    session.execute(update(_pace).where(_pace.c.channel == channel).values(next_free_at=until))
