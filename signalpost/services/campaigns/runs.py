"""The runs of campaigns, as they stand."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain.campaign import Campaign
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import campaign_people, campaign_speed, campaigns
from signalpost.services.campaigns.speed import per_second

#: The id of a run that is only planned: it comes after every run that there is.
PLANNED = "planned"
WAITS = "awaiting_approval"  #: the status of a run about which somebody is asked
#: What to do when a run has ended and should go all the same.
AGAIN = "launch it again, at once (`--now`) or for another time (`--at`)"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What somebody wants to launch.

    ``occurrence`` makes a launch happen once; None: a launch by hand, always a new run. Without
    ``scheduled_at`` it goes now; ``local_at`` is a wall-clock time in each customer's zone.
    """

    campaign: Campaign
    occurrence: str | None = None
    scheduled_at: datetime | None = None
    local_at: datetime | None = None
    stage: str | None = None
    series: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    sample_of: int | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """One launch of a campaign, as the record has it."""

    id: str
    campaign: str
    version: str
    occurrence: str
    stage: str | None
    series: str | None
    facts: Mapping[str, Any]
    status: str
    reason: str | None
    scheduled_at: datetime
    local_at: str | None
    sample_of: int | None
    people: int | None
    plan: Mapping[str, Any]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    run_id: str | None

    @classmethod
    def of(cls, row: RowMapping) -> "Run":
        """Make it from its row."""
        return cls(**{one.name: row[one.name] for one in fields(cls)})

    @property
    def title(self) -> str:
        """Name it for a reader: ``service-notice · update · INC-7``."""
        return " · ".join(part for part in (self.campaign, self.stage, self.series) if part)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is. ``counts``: (outcome, channels, reason) → people decided so far."""

    people: int
    decided: int
    counts: Counter[tuple[str, str, str]]
    next_due: datetime | None
    per_second: float  #: over the time in which it could go: see ``speed``
    eta: datetime | None  #: at that rate; None: nobody is left, or nobody is due now

    @property
    def share(self) -> float:
        """The part of its people that is decided, 0 to 1."""
        return self.decided / self.people if self.people else 1.0


def find(session: Session, *, which: str) -> Run:
    """Give a run by its id, or the latest run of the campaign of that name.

    Raises:
        NotFoundError: there is neither.
    """
    row = campaigns.run(session, campaign_run_id=which)
    if row is not None:
        return Run.of(row)
    rows = campaigns.runs(session, campaign=which, limit=1)
    if not rows:
        raise NotFoundError(
            f"There is no run {which!r}, and no run of a campaign of that name. "
            "`signalpost campaign status` lists the runs."
        )
    return Run.of(rows[0])


def waiting(session: Session, *, which: str) -> Run:
    """Give a run by its id, or that of a campaign's which waits for approval.

    Raises:
        NotFoundError: there is no such run or campaign.
        ConflictError: the one that is meant does not wait, or several of the campaign do.
    """
    found = find(session, which=which)
    if found.id != which:
        rows = campaigns.runs(session, campaign=which, statuses=(WAITS,))
        if len(rows) > 1:
            listed = "; ".join(_told(Run.of(row)) for row in rows)
            raise ConflictError(
                f"{len(rows)} runs of {which} wait for approval: {listed}. Name one."
            )
        found = Run.of(rows[0]) if rows else found
    if found.status != WAITS:
        raise ConflictError(not_waiting(found))
    return found


def not_waiting(run: Run) -> str:
    """Say that nobody is asked about a run."""
    return (
        f"{run.title} does not wait for approval: it is {run.status.replace('_', ' ')} ({run.id})."
    )


def _told(run: Run) -> str:
    return f"{run.id} ({run.title}, launched {run.created_at:%-d %b %Y, %H:%M} UTC)"


def latest(session: Session, *, campaign: str | None = None, limit: int = 20) -> list[Run]:
    """Give the newest runs, of one campaign or of all."""
    return [Run.of(row) for row in campaigns.runs(session, campaign=campaign, limit=limit)]


def progress(session: Session, *, campaign_run_id: str, now: datetime) -> Progress:
    """Say how far a run is: from the counts that are written with each decision.

    Raises:
        NotFoundError: there is no such run.
    """
    found = find(session, which=campaign_run_id)
    counts: Counter[tuple[str, str, str]] = Counter()
    next_due = None
    for shard in campaign_people.shards(session, campaign_run_id=found.id):
        for key, number in shard["counts"].items():
            outcome, channels, reason = key.split(":", 2)
            counts[outcome, channels, reason] += number
        if shard["due_at"] is not None:
            next_due = min(next_due or shard["due_at"], shard["due_at"])
    people, decided = found.people or 0, sum(counts.values())
    due = next_due if found.status == "running" and next_due and next_due <= now else None
    rate = per_second(
        session,
        campaign_run_id=found.id,
        began=found.started_at or found.scheduled_at,
        until=found.ended_at or now,
        due=due,
        counts=counts,
    )
    eta = None
    if due is not None and people > decided and rate > 0:
        last = campaign_speed.last_due(session, campaign_run_id=found.id)
        eta = max(now + timedelta(seconds=(people - decided) / rate), last or now)
    return Progress(
        people=people,
        decided=decided,
        counts=+counts,
        next_due=next_due,
        per_second=rate,
        eta=eta,
    )
