"""By which schedules a campaign comes: its file's, or those that Prefect's pages say."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import RowMapping

from signalpost.domain.campaign import Campaign, Schedule


@dataclass(frozen=True, kw_only=True)
class Told:
    """What Prefect's pages say of a campaign: whether it is paused, and which schedules count there.

    ``changed``: those that somebody made or changed in the pages; None: the file's own counts.
    """

    paused: bool = False
    changed: tuple[Schedule, ...] | None = None


def told_last(row: RowMapping | None) -> Told:
    """Give what Prefect said last, as the record has it; None: it has said nothing yet."""
    if row is None:
        return Told()
    changed = tuple(read(one) for one in row["says"]) if row["from_prefect"] else None
    return Told(paused=row["paused"], changed=changed)


def counted(campaign: Campaign, told: Told) -> tuple[Schedule, ...]:
    """Give the schedules by which a campaign comes: its file's, or what Prefect's pages said."""
    if told.changed is not None:
        return told.changed
    own = campaign.schedule
    return (own,) if own.at or own.cron or own.rrule else ()


def said(schedule: Schedule) -> dict[str, str]:
    """Give a schedule as JSON."""
    return {name: str(value) for name, value in asdict(schedule).items() if value is not None}


def read(told: Mapping[str, str]) -> Schedule:
    """Read a schedule from JSON."""
    values: dict[str, Any] = dict(told)
    if "at" in values:
        values["at"] = datetime.fromisoformat(values["at"])
    if "until" in values:
        values["until"] = date.fromisoformat(values["until"])
    return Schedule(**values)
