"""Following the schedules of campaigns: each time that comes is launched once, or kept as missed.

The run of a campaign's occurrence is unique on the record. So several workers, a worker that was killed
between two steps, and Prefect's own scheduler where it works, all come to the same run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content.campaigns import Occurrence, grace, occurred
from signalpost.domain.campaign import Campaign, Schedule
from signalpost.errors import BadInputError, ConfigurationError, ConflictError, NotFoundError
from signalpost.record import campaign_schedules, campaigns
from signalpost.services.campaigns import again, launching, schedules
from signalpost.services.campaigns.keeping import SCHEDULE, keep
from signalpost.services.campaigns.runs import Launch, Run
from signalpost.services.campaigns.schedules import Told
from signalpost.services.desk import Desk

#: Times that passed longer ago than this are not written down one by one.
LOOK_BACK = timedelta(days=7)
#: How often the record is told how far a schedule has been followed, when nothing is due.
_NOTED_EVERY = timedelta(minutes=1)
#: A changed schedule counts from where the old one ended, when that is no longer ago than this.
_FRESH = timedelta(minutes=5)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class _Standing:
    schedules: Sequence[Schedule]
    paused: bool
    since: datetime  #: what comes again counts from here
    noted: datetime | None  #: how far the record says that it was followed


def follow(desk: Desk, *, campaign: Campaign, told: Told | None, now: datetime) -> list[Run]:
    """Launch what came due since the last look; gives its runs, those that were missed among them.

    ``told`` None: Prefect has not been seen yet, and what it said last counts.
    """
    stands = _stands(desk, campaign, told, now)
    due = _due(desk, campaign, stands, now)
    runs, until = [], now
    for number, one in enumerate(due):
        hindered = "it was paused in Prefect" if stands.paused else None
        if number + 1 < len(due) and hindered is None:
            hindered = f"the next time, {due[number + 1].key}, had come before anybody was there"
        run = occur(desk, campaign=campaign, at=one, hindered=hindered, now=now)
        if run is None:
            until = one.begins_at - _INSTANT
        else:
            runs.append(run)
    if runs or (stands.noted is not None and now - stands.noted >= _NOTED_EVERY):
        with desk.database.writing() as session:
            campaign_schedules.followed(session, campaign=campaign.name, until=until)
    return runs


def counted(desk: Desk, *, campaign: Campaign) -> Sequence[Schedule]:
    """Give the schedules by which a campaign comes: its file's, or what Prefect's pages said last."""
    with desk.database.reading() as session:
        row = campaign_schedules.schedule_of(session, campaign=campaign.name)
    return schedules.counted(campaign, schedules.told_last(row))


def occur(
    desk: Desk,
    *,
    campaign: Campaign,
    at: Occurrence,
    now: datetime,
    hindered: str | None = None,
    run_id: str | None = None,
) -> Run | None:
    """Launch one time of a schedule, or keep it as ``missed`` or ``refused``, with why.

    None: another run of the campaign is in the way, or somebody launches this one at the same moment;
    it is worth asking again as long as this one is not too late. Done again it gives the run that there
    is. ``hindered``: why it may not be launched. ``run_id``: of the Prefect flow run that asks for it.
    """
    launch = Launch(
        campaign=campaign,
        occurrence=at.key,
        scheduled_at=at.begins_at,
        local_at=at.local if at.at is None else None,
    )
    with desk.database.reading() as session:
        known = again.run_of(session, launch=launch)
        first = _in_the_way(session, campaign, now)
    if known is not None:
        return known
    if why := hindered or _too_late(campaign, at, first, now):
        return _over(desk, launch, "missed", why, now, run_id)
    if first is not None:
        return None
    try:
        return launching.launch(desk, launch=launch, by=SCHEDULE, now=now, run_id=run_id)
    except ConflictError:  # somebody was first, this very moment and with another version
        return None
    except (BadInputError, ConfigurationError, NotFoundError) as error:
        return _over(desk, launch, "refused", str(error), now, run_id)


def _over(
    desk: Desk, launch: Launch, status: str, why: str, now: datetime, run_id: str | None
) -> Run:
    return keep(desk, launch=launch, status=status, reason=why, by=SCHEDULE, run_id=run_id, now=now)


def forget(desk: Desk, *, except_for: Sequence[str]) -> None:
    """Forget the schedules of campaigns whose file is gone: back again, they are new."""
    with desk.database.reading() as session:
        gone = campaign_schedules.names(session) - set(except_for)
    if gone:
        with desk.database.writing() as session:
            campaign_schedules.forget(session, campaigns=gone)


# -- what counts -----------------------------------------------------------------------------------


def _stands(desk: Desk, campaign: Campaign, told: Told | None, now: datetime) -> _Standing:
    """Say by which schedules a campaign comes, and since when; written down where that is news."""
    with desk.database.reading() as session:
        row = campaign_schedules.schedule_of(session, campaign=campaign.name)
    told = told or schedules.told_last(row)
    counted = schedules.counted(campaign, told)
    now_said = {
        "says": [schedules.said(one) for one in counted],
        "from_prefect": told.changed is not None,
        "paused": told.paused,
    }
    if row is None and not counted:
        return _Standing((), paused=told.paused, since=now, noted=None)
    noted = row["followed_until"] if row is not None else None
    same = row is not None and row["says"] == now_said["says"]
    fresh = noted is not None and now - noted <= _FRESH
    since = noted if noted is not None and (same or fresh) else now
    if row is None or any(row[name] != value for name, value in now_said.items()):
        with desk.database.writing() as session:
            name = campaign.name
            campaign_schedules.keep(session, campaign=name, followed_until=since, **now_said)
            if row is not None:
                campaign_schedules.followed(session, campaign=name, until=since)
    return _Standing(counted, paused=told.paused, since=since, noted=noted)


# -- what is due -----------------------------------------------------------------------------------


def _due(desk: Desk, campaign: Campaign, stands: _Standing, now: datetime) -> list[Occurrence]:
    """Give the times that came since, each once, the earliest first.

    What is scheduled for one day only is owed until it has its run, however new its schedule is and
    whoever saw it before: somebody wrote it and wants it. What comes again begins with its next time.
    """
    back = now - max(LOOK_BACK, grace(campaign))
    found: dict[str, Occurrence] = {}
    for schedule in stands.schedules:
        once = schedule.at is not None
        for one in occurred(schedule, since=back if once else max(stands.since, back), until=now):
            if not once or _run_of(desk, campaign, one) is None:
                found.setdefault(one.key, one)
    return sorted(found.values(), key=lambda one: one.begins_at)


def _run_of(desk: Desk, campaign: Campaign, at: Occurrence) -> RowMapping | None:
    with desk.database.reading() as session:
        return campaigns.run_of(session, campaign=campaign.name, occurrence=at.key)


def _in_the_way(session: Session, campaign: Campaign, now: datetime) -> str | None:
    """Say which run of the campaign has to end first: two of them never overlap, nor queue."""
    for row in campaigns.runs(session, campaign=campaign.name, statuses=campaigns.LIVE):
        begun = row["status"] in ("running", "paused")
        if row["stage"] is None and (begun or row["scheduled_at"] <= now):
            waits = "was not over" if begun else "had not begun"
            return f"the run of {row['scheduled_at']:%d %b %H:%M} UTC {waits}"
    return None


def _too_late(campaign: Campaign, at: Occurrence, first: str | None, now: datetime) -> str | None:
    allowed = grace(campaign)
    if now <= at.comes_last_at + allowed:
        return None
    hours = allowed / timedelta(hours=1)
    within = f"within {hours:g} hour{'' if hours == 1 else 's'}"
    return f"{first} {within}" if first else f"nobody was there to launch it {within}"
