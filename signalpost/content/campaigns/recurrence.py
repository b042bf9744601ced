"""When a campaign comes again: cron and RRULE, by the clock on the wall.

Times are found on the wall first and only then placed in a zone. So a time that a DST gap skips becomes
later by the length of the gap, one that comes twice is the first of the two, and nothing that is
scheduled for one day ever runs twice on it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from dateutil.rrule import rrule, rrulestr

from signalpost.content.campaigns.values import text, wrong
from signalpost.domain.campaign import Schedule, release_moment
from signalpost.domain.local_time import FIRST_ZONE, LAST_ZONE, at_local

_AHEAD = timedelta(days=30 * 366)  #: 29 February on a Monday comes within 28 years
_ANCHOR = datetime(2000, 1, 1)  # noqa: DTZ001  a wall-clock time
_RRULE = re.compile(r"(?:DTSTART:(\d{8}T\d{6})\s+)?(?:RRULE:)?([A-Z0-9=;,+\-]+)")
_LIKE = "write it like FREQ=WEEKLY;BYDAY=MO;BYHOUR=10;BYMINUTE=0"
_OFTEN = timedelta(hours=1)
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, order=True)
class Occurrence:
    """One time that a schedule comes: on the wall, and the moment where the zone is one for all."""

    local: datetime  #: wall-clock time, without a zone
    at: datetime | None = None  #: in UTC; None: each customer's own

    @property
    def key(self) -> str:
        """The word by which a run of this occurrence is known: it runs once."""
        return self.local.isoformat(timespec="minutes")

    @property
    def begins_at(self) -> datetime:
        """When somebody is due for the first time: on customers' own clocks, in the first zone."""
        return self.at or release_moment(self.local, FIRST_ZONE)

    @property
    def comes_last_at(self) -> datetime:
        """When the last on earth reach it."""
        return self.at or release_moment(self.local, LAST_ZONE)


def check_cron(value: Any) -> str:
    """Read a cron line of five fields; raises when it is none, never comes, or comes too often."""
    told = text(value)
    if len(told.split()) != 5:
        says = f"{told[:60]!r} has not the five parts of a cron line"
        raise wrong(says, "write minute, hour, day, month, weekday, such as 0 10 * * MON")
    try:
        comes = list(islice(_cron(told, _ANCHOR), 3))
    except (CronSimError, ValueError, OverflowError) as error:
        says = f"{told[:60]!r} is no cron line ({error})"
        raise wrong(says, "write minute, hour, day, month, weekday, such as 0 10 * * MON") from None
    _check_often(told, comes)
    return told


def check_rrule(value: Any) -> str:
    """Read an RRULE (RFC 5545); raises when it is none, never comes, or comes too often."""
    told = text(value).upper()
    found = _RRULE.fullmatch(told)
    if not found or len(told) > 500:
        raise wrong(f"{told[:60]!r} is no RRULE", _LIKE)
    for says, remedy in _unusable(found[1], _parts(found[2])):
        raise wrong(says, remedy)
    try:
        comes = list(islice(_rrule(told, _start(told) or _ANCHOR), 3))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise wrong(f"{told[:60]!r} is no RRULE ({error})", _LIKE) from None
    _check_often(told, comes)
    return told


def _parts(rule: str) -> dict[str, str]:
    return {part.partition("=")[0]: part.partition("=")[2] for part in rule.split(";")}


def _unusable(start: str | None, parts: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    if parts.get("FREQ") not in ("YEARLY", "MONTHLY", "WEEKLY", "DAILY"):
        yield "an RRULE here comes YEARLY, MONTHLY, WEEKLY or DAILY", _LIKE
    if parts.keys() & {"UNTIL", "BYSECOND"}:
        yield "an RRULE here holds no UNTIL or BYSECOND", "say `until: 2026-12-31` beside it"
    if not parts.get("INTERVAL", "1").strip("0"):
        yield "INTERVAL=0 never goes on", _LIKE
    if start is None and ("COUNT" in parts or parts.get("INTERVAL", "1") != "1"):
        says = "every second time, or so many times, has to be counted from a first one"
        yield says, "put DTSTART:20260301T100000 before it"
    if start is None and not {"BYHOUR", "BYMINUTE"} <= parts.keys():
        yield "the RRULE says no time of day", "add BYHOUR=10;BYMINUTE=0"
    if start is not None and not "2000" <= start[:4] <= "2200":
        yield "DTSTART is centuries away", "write it like DTSTART:20260301T100000"


def _check_often(told: str, comes: list[datetime]) -> None:
    if not comes:
        raise wrong(f"{told[:60]!r} never comes", "write a day that there is")
    if any(after - before < _OFTEN for before, after in pairwise(comes)):
        raise wrong(f"{told[:60]!r} comes more often than once an hour", "choose fewer times")


def occurrences(schedule: Schedule, *, after: datetime, count: int) -> list[Occurrence]:
    """Give the next ``count`` times after a moment; none for a campaign that is launched by hand.

    Where each customer has their own zone, a time is still to come as long as it is nowhere on earth
    past: whoever launches has to do so before its first zone (UTC+14) is reached.
    """
    return list(islice(_coming(schedule, after.astimezone(UTC)), count))


def occurred(schedule: Schedule, *, since: datetime, until: datetime) -> Iterator[Occurrence]:
    """Give the times that began after ``since`` and not after ``until``, each moment once.

    Where a change of clocks puts two of them on one moment, the first is taken.
    """
    last = since
    for one in _coming(schedule, since.astimezone(UTC)):
        if one.begins_at > until:
            return
        if one.begins_at > last:
            last = one.begins_at
            yield one


def at_wall(schedule: Schedule, wall: datetime) -> Occurrence:
    """Give the occurrence of a schedule at a wall-clock time, whether it comes by itself or not."""
    tz = None if schedule.is_local else ZoneInfo(schedule.zone)
    return Occurrence(wall, at_local(wall.date(), wall.time(), tz) if tz else None)


def occurrence_at(schedules: Iterable[Schedule], time: datetime) -> Occurrence | None:
    """Give the occurrence that somebody means who names a time; None: no schedule comes then.

    The time is one on the wall or, with an offset, a moment. Whichever it is, the moments are compared:
    a change of clocks may have moved the occurrence on the wall. On customers' own clocks no moment is
    everybody's, so there it means none.
    """
    for schedule in schedules:
        begins = time if time.tzinfo else at_wall(schedule, time).begins_at
        if not (schedule.is_local and time.tzinfo):
            for one in occurred(schedule, since=begins - _INSTANT, until=begins):
                return one
    return None


def _coming(schedule: Schedule, after: datetime) -> Iterator[Occurrence]:
    tz = None if schedule.is_local else ZoneInfo(schedule.zone)
    wall = after.astimezone(tz or FIRST_ZONE).replace(tzinfo=None)
    for local in _walls(schedule, wall - timedelta(days=1)):
        if schedule.until is not None and local.date() > schedule.until:
            return
        at = at_local(local.date(), local.time(), tz) if tz else None
        if (at > after) if at is not None else (local > wall):
            yield Occurrence(local, at)


def _walls(schedule: Schedule, since: datetime) -> Iterator[datetime]:
    """Give wall-clock times from ``since`` on."""
    if schedule.at is not None:
        yield schedule.at
    elif schedule.cron is not None:
        yield from _cron(schedule.cron, since)
    elif schedule.rrule is not None:
        yield from _rrule(schedule.rrule, since)


def _cron(line: str, since: datetime) -> Iterator[datetime]:
    until = since + _AHEAD
    for found in CronSim(line, since):
        if found > until:
            return
        yield found


def _start(told: str) -> datetime | None:
    """Give the first time that is written before a rule; raises ``ValueError`` when it is none."""
    found = _RRULE.fullmatch(told)
    if not found or not found[1]:
        return None
    return datetime.strptime(found[1], "%Y%m%dT%H%M%S")  # noqa: DTZ007  a wall-clock time


def _rrule(told: str, since: datetime) -> Iterator[datetime]:
    start = _start(told)
    if start is None:  # nothing is counted from it, so it may as well be near
        start = datetime.combine(since.date().replace(month=1, day=1), time())
    rule = told.split()[-1].removeprefix("RRULE:")
    made = rrulestr(f"RRULE:{rule}", dtstart=start)
    if not isinstance(made, rrule):
        raise TypeError("more than one rule")
    for local in made.replace(until=max(since, start) + _AHEAD):
        if local >= since:
            yield local
