"""The schedules of campaigns in Prefect, and back: which occurrence a flow run is."""

import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from signalpost.content.campaigns import Occurrence, at_wall, check_cron, check_rrule, occurrences
from signalpost.domain.campaign import Schedule
from signalpost.domain.local_time import FIRST_ZONE

_UNTIL = re.compile(r";UNTIL=(\d{8})[0-9TZ]*", re.IGNORECASE)

#: In an hour that summer time skips, Prefect and we may start up to so far apart.
_APART = timedelta(hours=2)


def zone_of(schedule: Schedule) -> ZoneInfo:
    """Give the zone by whose clock the runs of a schedule begin: of customers' own, the first."""
    return FIRST_ZONE if schedule.is_local else ZoneInfo(schedule.zone)


def prefect_schedule(schedule: Schedule) -> dict[str, Any] | None:
    """Say a schedule as Prefect wants it; None for a campaign that is launched by hand."""
    zone = zone_of(schedule).key
    if schedule.at is not None:
        return {"rrule": _once(schedule.at), "timezone": zone}
    if schedule.cron is not None:
        return {"cron": schedule.cron, "timezone": zone}
    if schedule.rrule is not None:
        return {"rrule": _until(schedule.rrule, schedule.until), "timezone": zone}
    return None


def schedule_from(words: Mapping[str, Any], own: Schedule) -> Schedule | None:
    """Read a schedule that somebody made in Prefect's pages; None: it cannot be followed.

    ``own``: the schedule in the campaign's file, whose last day counts, and whether its times are each
    customer's own.
    """
    zone, until = words.get("timezone") or "UTC", own.until
    try:
        if cron := words.get("cron"):
            words = {"cron": check_cron(cron)}
        elif rrule := words.get("rrule"):
            words = {"rrule": check_rrule(_UNTIL.sub("", rrule))}
            if last := _UNTIL.search(rrule):
                until = date.fromisoformat(last[1])
        else:
            return None
    except ValueError:
        return None
    local = own.is_local and zone == FIRST_ZONE.key
    return Schedule(**words, zone="customer" if local else zone, until=until)


def _once(at: datetime) -> str:
    return f"DTSTART:{at:%Y%m%dT%H%M%S}\nRRULE:FREQ=DAILY;COUNT=1"


def _until(rrule: str, until: date | None) -> str:
    """Add the last day to a rule. A cron cannot hold one: there the flow sees that it is over."""
    rule = rrule.strip().upper()
    if until is None or "COUNT=" in rule:
        return rule
    return f"{rule.rstrip(';')};UNTIL={until:%Y%m%d}T235959"


def begun_at(counted: Iterable[Schedule], own: Schedule, moment: datetime) -> Occurrence:
    """Give the occurrence that Prefect began at ``moment``.

    It is one of the schedules that count where one is near: in the hour that summer time skips the two
    differ. Otherwise somebody changed them in Prefect just now, and the clock on the wall of the file's
    ``own`` is asked.
    """
    near: list[Occurrence] = []
    for schedule in counted:
        wall = _wall(schedule, moment)
        coming = occurrences(schedule, after=moment - timedelta(hours=28), count=60)
        near += [one for one in coming if abs(one.local - wall) <= _APART]
    exact = [one for one in near if one.begins_at == moment]
    return next(iter(exact + near), None) or at_wall(own, _wall(own, moment))


def _wall(schedule: Schedule, moment: datetime) -> datetime:
    return moment.astimezone(zone_of(schedule)).replace(tzinfo=None)


def is_over(schedule: Schedule, wall: datetime) -> bool:
    """Whether an occurrence comes after the schedule's last day."""
    return schedule.until is not None and wall.date() > schedule.until
