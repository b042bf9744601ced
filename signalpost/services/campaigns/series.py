"""The order of a series: it opens once for each person, goes on while there is news, and ends.

Asked when a stage is planned, again when it begins, and again when it is each person's turn: between
any two of these somebody else may have closed the series.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.campaign import Campaign, Stage
from signalpost.domain.vocabulary import MessageStatus
from signalpost.record import campaign_people, campaign_series, customers, restraint
from signalpost.services.campaigns.keeping import HOUSE, note
from signalpost.services.campaigns.people import Job, Recipient
from signalpost.services.campaigns.runs import Launch, Run
from signalpost.services.journeys.planning import went_wrong


def opening(campaign: Campaign) -> list[str]:
    """Name the stage that finds the people."""
    return [one.name for one in campaign.stages if one.opens]


def follows(campaign: Campaign, stage: str | None) -> Stage | None:
    """Give the stage when it goes to those who were sent the opening one; None: it finds its own."""
    named = campaign.stage(stage)
    return named if named is not None and not named.opens else None


def over(session: Session, campaign: Campaign, series: str | None) -> str | None:
    """Say that a series is over, and what to do; None: it is not. A test on a few ends nothing."""
    closing = [one.name for one in campaign.stages if one.closes]
    if series is None or not closing:
        return None
    run = campaign_series.begun(
        session, campaign=campaign.name, series=series, stages=closing, tests=False
    )
    if run is None:
        return None
    first = ", ".join(opening(campaign))
    return (
        f"The series {series!r} is over: its stage {closing[0]!r} began with the run {run}. What is "
        f"new is another series: launch {first!r} with another --series."
    )


def refusals(session: Session, launch: Launch) -> Iterator[str]:
    """Say why a stage may not go now: its series is over, or nobody was sent what it goes on from."""
    campaign, series = launch.campaign, launch.series or ""
    if why := over(session, campaign, launch.series):
        yield why
        return
    stage, first = follows(campaign, launch.stage), opening(campaign)
    known = {"campaign": campaign.name, "series": series, "stages": first}
    if stage is None or not first or campaign_series.anybody_sent(session, **known):
        return
    begun = campaign_series.begun(session, **known)
    remedy = f"`signalpost campaign status {begun}` says why" if begun else "it never began"
    yield (
        f"Nobody was sent the stage {first[0]!r} of {series!r} ({remedy}), so there is nobody to send "
        f"{stage.name!r} to; launch {first[0]!r} first."
    )


def warnings(session: Session, launch: Launch) -> Iterator[str]:
    """Say who is left out of a following stage, since their first notice has not gone yet."""
    stage, first = follows(launch.campaign, launch.stage), opening(launch.campaign)
    if stage is None:
        return
    left = campaign_series.waiting(
        session, campaign=launch.campaign.name, series=launch.series or "", stages=first
    )
    if left:
        also = ", nor the first one any more once this begins" if stage.closes else ""
        yield f"{left:,} still wait for the stage {first[0]!r}; they do not get this one{also}."


def left_out(session: Session, job: Job, people: Sequence[Recipient]) -> dict[str, str]:
    """Give who is sent nothing because of what else was said in the series, with the reason.

    Whoever has a message of this run on its way stays in: it is theirs already.
    """
    stage, series = job.campaign.stage(job.run.stage), job.run.series
    if stage is None or series is None:
        return {}
    ids = [person.root_id for person in people if _is_new(job, person)]
    if not stage.closes and over(session, job.campaign, series) is not None:
        return dict.fromkeys(ids, "series_over")
    if not stage.opens or not ids:
        return {}
    family = customers.families(session, ids)
    told = campaign_series.told(
        session,
        customers=[*family],
        campaign=job.campaign.name,
        series=series,
        stages=opening(job.campaign),
        run_id=job.run.id,
    )
    return {family[customer]: "told_already" for customer in told}


def _is_new(job: Job, person: Recipient) -> bool:
    purpose = job.campaign.purpose
    return all(went_wrong(MessageStatus(row["status"]), purpose) for row in person.earlier)


def refused(session: Session, run: Run, campaign: Campaign, now: datetime) -> dict[str, Any]:
    """Refuse a run that is about to begin in a series that is over; empty when it may begin.

    It is kept with the reason, so that nobody tries it again and again. Whoever was frozen is let go.
    """
    why = over(session, campaign, run.series) if run.stage is not None else None
    if why is None:
        return {}
    campaign_people.close_people(
        session, campaign_run_id=run.id, outcome="cancelled", reason="series_over", now=now
    )
    note(session, run.id, "refused", HOUSE, now, why=why)
    free = {"claim_id": None, "lease_until": None}
    return {"status": "refused", "reason": why, "ended_at": now, **free}


def mark(session: Session, run: Run, campaign: Campaign, now: datetime) -> None:
    """Hold marketing back from those of a stage that opens, and let it go with one that closes."""
    stage = campaign.stage(run.stage)
    if stage is None or run.series is None or not campaign.holds_back_marketing:
        return
    if stage.opens:
        restraint.hold_back(session, campaign_run_id=run.id, series=run.series, now=now)
    if stage.closes and run.sample_of is None:
        restraint.let_go(session, campaign=campaign.name, series=run.series, now=now)
