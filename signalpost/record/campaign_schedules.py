"""How far the schedules of campaigns have been followed, and what Prefect last said of them."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, select, update
from sqlmodel import Field, Session

from signalpost.record.base import Table, document, insert_new, moment, table_of


class CampaignSchedule(Table, table=True):
    """The schedule of a campaign, as it is followed by whichever worker is there."""

    __tablename__ = "campaign_schedules"

    campaign: str = Field(primary_key=True)
    says: list = document(default_factory=list)  #: when it comes; more than one only from Prefect
    from_prefect: bool = (
        False  #: somebody changed it in Prefect's pages, so its file does not count
    )
    paused: bool = False  #: in Prefect, when it was last seen there
    followed_until: datetime = moment()  #: what comes again has its runs up to here


_s = table_of(CampaignSchedule)


def schedule_of(session: Session, *, campaign: str) -> RowMapping | None:
    """Give how far a campaign's schedule has been followed; None: it is new."""
    return session.execute(select(_s).where(_s.c.campaign == campaign)).mappings().first()


def every(session: Session) -> dict[str, RowMapping]:
    """Give how far each campaign's schedule has been followed, by the campaign's name."""
    return {row["campaign"]: row for row in session.execute(select(_s)).mappings()}


def keep(session: Session, *, campaign: str, followed_until: datetime, **values: Any) -> None:
    """Write down a campaign's schedule; a new one is followed from ``followed_until`` on."""
    row = {"campaign": campaign, "followed_until": followed_until, **values}
    insert_new(session, _s, [row], conflict=("campaign",))
    session.execute(update(_s).where(_s.c.campaign == campaign).values(**values))


def followed(session: Session, *, campaign: str, until: datetime) -> None:
    """Say that what comes again by a campaign's schedule has its runs up to this moment."""
    earlier = _s.c.followed_until < until
    query = update(_s).where(_s.c.campaign == campaign, earlier)
    session.execute(query.values(followed_until=until))


def names(session: Session) -> set[str]:
    """Name the campaigns whose schedules are followed."""
    return set(session.execute(select(_s.c.campaign)).scalars())


def forget(session: Session, *, campaigns: Collection[str]) -> None:
    """Forget the schedules of these campaigns."""
    session.execute(delete(_s).where(_s.c.campaign.in_(campaigns)))
