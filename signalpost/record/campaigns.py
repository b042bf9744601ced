"""Campaigns: the versions that ran, their runs, and every person's decision in a run.

A run's people are frozen into ``campaign_people`` when it starts, cut into shards. A shard is claimed
by one sender at a time: its ``claim_id`` is the fencing token, as an enrolment's is.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Index, RowMapping, UniqueConstraint, and_, bindparam, select, update
from sqlmodel import Field, Session

from signalpost.record.base import (
    Id,
    Table,
    document,
    insert_new,
    insert_rows,
    moment,
    partial_index,
    pk,
    table_of,
)


class CampaignVersion(Table, table=True):
    """A campaign file as it was when a run was launched from it."""

    __tablename__ = "campaign_versions"

    version: str = Field(primary_key=True)  #: hash of the definition
    campaign: str = Field(index=True)
    definition: dict = document()
    first_seen_at: datetime = moment()


class CampaignRun(Table, table=True):
    """One launch of a campaign.

    ``status``: awaiting_approval, approved, running, paused, done, cancelled, refused, missed
    (``reason`` says why). ``occurrence`` makes a scheduled launch happen once.
    """

    __tablename__ = "campaign_runs"
    __table_args__ = (
        UniqueConstraint("campaign", "occurrence"),
        Index("ix_campaign_runs_status", "status"),
    )

    id: str = pk()
    campaign: str
    version: str = Field(foreign_key="campaign_versions.version")
    occurrence: str  #: "2026-12-01T10:00" of a schedule, or a unique word for a launch by hand
    stage: str | None = None
    series: str | None = None  #: the incident, or other thing, that several runs are about
    facts: dict = document()  #: given by whoever launched it
    status: str
    reason: str | None = None
    scheduled_at: datetime = moment()  #: the earliest moment at which anybody is due
    local_at: str | None = None  #: wall-clock time in each customer's zone, ISO without a zone
    sample_of: int | None = None  #: a test on so many people only
    people: int | None = None  #: how many were frozen; None: not yet
    plan: dict = document()  #: what was shown before the launch
    created_at: datetime = moment()
    started_at: datetime | None = moment(default=None)
    ended_at: datetime | None = moment(default=None)
    run_id: str | None = None  #: the Prefect flow run that launched it
    claim_id: str | None = Field(default=None, sa_type=Id)  #: who freezes its people, until
    lease_until: datetime | None = moment(default=None)


class CampaignAct(Table, table=True):
    """What somebody did to a run: launched, approved, paused …; append-only."""

    __tablename__ = "campaign_acts"

    id: str = pk()
    campaign_run_id: str = Field(index=True, sa_type=Id, foreign_key="campaign_runs.id")
    act: str  #: launched | missed | approved | refused | paused | resumed | cancelled | froze | ended
    who: str
    detail: dict = document()  #: for an approval: the hash of the plan that was seen
    at: datetime = moment()


class CampaignPerson(Table, table=True):
    """One person of a run's audience, and what was decided.

    ``outcome`` is None while nothing is: at ``due_at`` the gate is asked. Then: sent (handed over, or
    on its way: the messages say), skipped, held_out (a ghost: passed every gate and got nothing on
    purpose), set_aside (a fault of ours), cancelled. ``verdicts``: each channel's, where a channel
    was not simply allowed.
    """

    __tablename__ = "campaign_people"
    __table_args__ = (
        partial_index(
            "ix_campaign_people_due",
            *("campaign_run_id", "shard", "due_at", "customer_id"),
            where="outcome IS NULL",
        ),
        partial_index(
            "ix_campaign_people_set_aside", "campaign_run_id", where="outcome = 'set_aside'"
        ),
        Index("ix_campaign_people_customer", "customer_id", "campaign_run_id"),
        {"sqlite_with_rowid": False},
    )

    campaign_run_id: str = Field(primary_key=True, sa_type=Id)
    customer_id: str = Field(primary_key=True, sa_type=Id)  #: a root customer
    shard: int
    due_at: datetime = moment()
    tries: int = 0  #: rounds with a provider so far: from the second on, earlier messages count
    arm: str | None = None
    outcome: str | None = None
    reason: str | None = None
    verdicts: list = document(default_factory=list)
    decided_at: datetime | None = moment(default=None)


class CampaignShard(Table, table=True):
    """A part of a run's people that one sender works through at a time."""

    __tablename__ = "campaign_shards"
    __table_args__ = (
        partial_index(
            "ix_campaign_shards_in_flight", "campaign_run_id", "number", where="in_flight > ''"
        ),
    )

    campaign_run_id: str = Field(primary_key=True, sa_type=Id)
    number: int = Field(primary_key=True)
    due_at: datetime | None = moment(default=None)  #: when somebody in it is due; None: all decided
    claim_id: str | None = Field(default=None, sa_type=Id)
    lease_until: datetime | None = moment(default=None)
    counts: dict = document()  #: "outcome:channel:reason" → people so far; the truth of progress
    in_flight: str | None = None  #: ids of the messages on their way; empty: none; None: no sender


class MarketingHold(Table, table=True):
    """Marketing to a person is held back meanwhile, for instance while an incident lasts."""

    __tablename__ = "marketing_holds"

    customer_id: str = Field(primary_key=True, sa_type=Id)
    series: str = Field(primary_key=True, index=True)
    campaign_run_id: str = Field(sa_type=Id)
    since: datetime = moment()
    lifted_at: datetime | None = moment(default=None)


class ChannelPace(Table, table=True):
    """When a channel's provider may be given more by campaigns; shared by all senders."""

    __tablename__ = "channel_paces"

    channel: str = Field(primary_key=True)
    next_free_at: datetime = moment()


_v = table_of(CampaignVersion)
_r = table_of(CampaignRun)
_a = table_of(CampaignAct)
_s = table_of(CampaignShard)
#: Runs that can still send something.
LIVE = ("awaiting_approval", "approved", "running", "paused")


#: Says that a row of ``campaign_shards`` is the one that ``shard`` names.
THE_SHARD = and_(_s.c.campaign_run_id == bindparam("of_run"), _s.c.number == bindparam("of_number"))


def shard(campaign_run_id: str, number: int, **more: Any) -> dict[str, Any]:
    """Make the parameters of a statement with ``THE_SHARD``.

    A sender says half a dozen of them about each batch; to write one anew takes longer than to run it.
    """
    return {"of_run": campaign_run_id, "of_number": number, **more}


def keep_version(session: Session, *, row: Mapping[str, Any]) -> None:
    """Keep a campaign's version unless it is kept."""
    insert_new(session, _v, [row], conflict=("version",))


def definition(session: Session, *, version: str) -> dict[str, Any] | None:
    """Give the definition of a version."""
    return session.execute(select(_v.c.definition).where(_v.c.version == version)).scalar()


def lock_campaign(session: Session, *, campaign: str) -> None:
    """Have whoever starts a run of this campaign wait until the transaction ends."""
    versions = select(_v.c.version).where(_v.c.campaign == campaign).order_by(_v.c.version)
    session.execute(versions.with_for_update(key_share=True))


def add_run(session: Session, *, row: Mapping[str, Any]) -> bool:
    """Write a new run; false when this occurrence of the campaign has one."""
    return bool(insert_new(session, _r, [row], conflict=("campaign", "occurrence"), returning="id"))


def run(session: Session, *, campaign_run_id: str, lock: bool = False) -> RowMapping | None:
    """Give a run; with ``lock``, nobody else changes it until the transaction ends."""
    query = select(_r).where(_r.c.id == campaign_run_id)
    return session.execute(query.with_for_update() if lock else query).mappings().first()


def run_of(session: Session, *, campaign: str, occurrence: str) -> RowMapping | None:
    """Give the run of an occurrence."""
    query = select(_r).where(_r.c.campaign == campaign, _r.c.occurrence == occurrence)
    return session.execute(query).mappings().first()


def runs(
    session: Session,
    *,
    campaign: str | None = None,
    series: str | None = None,
    statuses: Collection[str] | None = None,
    limit: int = 100,
) -> list[RowMapping]:
    """Give runs, the newest first."""
    query = select(_r).order_by(_r.c.id.desc()).limit(limit)
    if campaign is not None:
        query = query.where(_r.c.campaign == campaign)
    if series is not None:
        query = query.where(_r.c.series == series)
    if statuses is not None:
        query = query.where(_r.c.status.in_(statuses))
    return list(session.execute(query).mappings())


def run_lease(session: Session, *, campaign_run_id: str) -> datetime | None:
    """Give until when somebody freezes a run's people; None: nobody does."""
    return session.execute(select(_r.c.lease_until).where(_r.c.id == campaign_run_id)).scalar()


def hold_run(
    session: Session, *, campaign_run_id: str, claim_id: str, until: datetime
) -> str | None:
    """Extend the lease of who freezes a run's people, and give its status; None: it was lost."""
    held = session.execute(
        update(_r)
        .where(_r.c.id == campaign_run_id, _r.c.claim_id == claim_id)
        .values(lease_until=until)
    )
    if not held.rowcount:  # type: ignore[attr-defined]
        return None
    return session.execute(select(_r.c.status).where(_r.c.id == campaign_run_id)).scalar()


def set_run(session: Session, *, campaign_run_id: str, **values: Any) -> None:
    """Change a run; whoever calls has it locked."""
    session.execute(update(_r).where(_r.c.id == campaign_run_id).values(**values))


def say_why_it_waits(session: Session, *, campaign_run_id: str, why: str | None) -> None:
    """Say on a running run what keeps it from going on; None: nothing does any more."""
    session.execute(
        update(_r).where(_r.c.id == campaign_run_id, _r.c.status == "running").values(reason=why)
    )


def act(session: Session, *, row: Mapping[str, Any]) -> None:
    """Write down what somebody did to a run."""
    insert_rows(session, _a, [row])


def acts(session: Session, *, campaign_run_id: str) -> list[RowMapping]:
    """Give what was done to a run, in order."""
    query = select(_a).where(_a.c.campaign_run_id == campaign_run_id).order_by(_a.c.at, _a.c.id)
    return list(session.execute(query).mappings())
