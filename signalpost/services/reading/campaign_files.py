"""The campaigns as their files are now, each with its latest run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.content.campaigns import Occurrence, occurrences
from signalpost.domain.campaign import Campaign, Schedule
from signalpost.services.campaigns import runs
from signalpost.services.campaigns.runs import Run


@dataclass(frozen=True, kw_only=True)
class Filed:
    """A campaign's file, and the latest run that was launched from it."""

    campaign: Campaign
    latest: Run | None
    coming: Occurrence | None  #: when it comes next by its schedule

    @property
    def when(self) -> str:
        """When it runs, in a few words."""
        return when(self.campaign.schedule)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        one, last = self.campaign, self.latest
        return {
            "campaign": one.name,
            "description": one.description,
            "owner": one.owner,
            "purpose": str(one.purpose),
            "messages": one.messages(),
            "stages": [stage.name for stage in one.stages],
            "asks": list(one.asks),
            "schedule": self.when,
            "next": self.coming and self.coming.key,
            "version": one.version,
            "latest_run": last and {"id": last.id, "status": last.status},
        }


def filed(session: Session, *, campaigns: Mapping[str, Campaign], now: datetime) -> list[Filed]:
    """Give every campaign with its latest run, by name."""
    return [
        Filed(
            campaign=one,
            latest=next(iter(runs.latest(session, campaign=name, limit=1)), None),
            coming=next(iter(occurrences(one.schedule, after=now, count=1)), None),
        )
        for name, one in sorted(campaigns.items())
    ]


def when(schedule: Schedule) -> str:
    """Say in a few words when a campaign runs."""
    zone = "each customer's time" if schedule.is_local else schedule.zone
    until = f", until {schedule.until:%-d %b %Y}" if schedule.until else ""
    if schedule.at is not None:
        return f"{schedule.at:%-d %b %Y, %H:%M}, {zone}"
    if schedule.cron is not None:
        return f"cron {schedule.cron}, {zone}{until}"
    if schedule.rrule is not None:
        return f"{schedule.rrule}, {zone}{until}"
    return "by hand"
