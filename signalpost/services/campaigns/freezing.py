"""Freezing the people of a run: who is meant, and when each of them is due."""

from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.audience import filled
from signalpost.domain.campaign import Campaign, release_moment
from signalpost.domain.local_time import zone
from signalpost.errors import ConflictError
from signalpost.record import audiences, campaign_people, campaign_series, campaigns, freezing
from signalpost.record.campaign_people import SHARD, Due
from signalpost.services.campaigns import series
from signalpost.services.campaigns.runs import Run
from signalpost.services.desk import Desk


def freeze(desk: Desk, *, run: Run, campaign: Campaign, claim_id: str, now: datetime) -> int:
    """Write down who is meant, a shard at a time, while the claim holds; gives how many they are.

    Raises:
        ConflictError: somebody cancelled the run meanwhile, or took its claim.
    """
    with desk.database.one_connection() as transaction:
        left = True
        while left:  # what an earlier freezing left half-way
            with transaction(writes=True) as session:
                _hold(desk, session, run, claim_id)
                left = freezing.undo_shard(session, campaign_run_id=run.id)
        with transaction(writes=False) as session, audiences.for_many(session):
            members = members_of(session, run, campaign, now)
            people = freezing.choose(
                session, members=members, due=_due(session, run, members), limit=run.sample_of
            )
        try:
            for number in range(-(-people // SHARD)):
                with transaction(writes=True) as session:
                    _hold(desk, session, run, claim_id)
                    freezing.add_shard(session, campaign_run_id=run.id, number=number)
        finally:
            with transaction(writes=False) as session:
                freezing.forget(session)
    return people


def _hold(desk: Desk, session: Session, run: Run, claim_id: str) -> None:
    until = desk.clock() + desk.lease
    status = campaigns.hold_run(session, campaign_run_id=run.id, claim_id=claim_id, until=until)
    if status != "approved":
        raise ConflictError(
            f"{run.title} was taken out of hand while its people were being chosen."
        )


def members_of(session: Session, run: Run, campaign: Campaign, now: datetime) -> Any:
    """Who is meant: the audience; of a later stage of a series, whoever was sent its opening."""
    if series.follows(campaign, run.stage):
        return campaign_series.sent_to(
            campaign=run.campaign, series=run.series, stages=series.opening(campaign)
        )
    rule = filled(campaign.audience, run.facts)
    return audiences.members(rule, now=now, dialect=session.get_bind().dialect.name)


def _due(session: Session, run: Run, members: Any) -> Due:
    if run.local_at is None:
        return Due(run.scheduled_at)
    wall = datetime.fromisoformat(run.local_at)
    known = campaign_people.zones_of(session, members=members)
    found = {name: tz for name in known if (tz := zone(name)) is not None}
    return Due(run.scheduled_at, {name: release_moment(wall, tz) for name, tz in found.items()})
