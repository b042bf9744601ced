"""What is wrong with a campaign at a moment: too late, in a gap of summer time, a rare day."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from signalpost.content.campaigns.page import Place
from signalpost.content.campaigns.recurrence import (
    Occurrence,
    at_wall,
    occurrence_at,
    occurrences,
)
from signalpost.domain.campaign import Campaign, Schedule
from signalpost.domain.local_time import at_local

LATE = timedelta(hours=1)  #: a launch that comes this much late is not in the past yet
_YEAR = timedelta(days=366)
_IS_OVER = "leave it if the campaign is over"  #: its file may stay: it launches nothing by itself
_NIGHT = range(5)  #: hours in which clocks are changed

Found = tuple[Place, str, str, str]


def grace(campaign: Campaign) -> timedelta:
    """Give how late a launch may be: as long as its messages are worth sending, an hour at least."""
    return max(LATE, campaign.expires_after or LATE)


def timely(campaign: Campaign, now: datetime) -> Iterator[Found]:
    """Give what is wrong at ``now``: where, the rule, what is wrong, what to do."""
    now = now.astimezone(UTC)
    if campaign.schedule.at is not None:
        yield from _once(campaign, campaign.schedule.at, now)
    elif campaign.schedule.cron or campaign.schedule.rrule:
        yield from _again(campaign.schedule, now)
    yield from _promotion(campaign, now)


def _promotion(campaign: Campaign, now: datetime) -> Iterator[Found]:
    if campaign.promotion is None:
        return
    ends, place = campaign.promotion.ends_at, ("promotion", "ends")
    over = f"{_IS_OVER}, or give it a later end"
    if ends <= now:
        yield place, "promotion-ended", f"the promotion ended on {_told(ends)}", over
        return
    coming = occurrences(campaign.schedule, after=now, count=1)
    if coming and coming[0].begins_at >= ends:
        says = f"the promotion ends on {_told(ends)}, before the campaign runs next"
        if campaign.schedule.at is not None:  # it never could have been offered
            yield place, "promotion-ends", says, "correct one of the two"
        else:  # it may have come often enough before
            yield place, "promotion-ended", says, over


def _once(campaign: Campaign, at: datetime, now: datetime) -> Iterator[Found]:
    late = grace(campaign)
    place, schedule = ("schedule", "at"), campaign.schedule
    coming = at_wall(schedule, at)
    remedy = f"{_IS_OVER}, or give it a time to come"
    if schedule.is_local:
        if coming.comes_last_at + late <= now:
            yield place, "past", f"{_wall(at)} is past everywhere", remedy
            return
        if coming.begins_at + late <= now:
            yield place, "past", f"{_wall(at)} is past already in the zones furthest east", remedy
        yield from _moved_somewhere(place, at)
        return
    tz = ZoneInfo(schedule.zone)
    if coming.begins_at + late <= now:
        yield place, "past", f"{_wall(at)} in {tz.key} is past", remedy
        return
    told = _moved(at, tz)
    if told:
        yield place, "dst", told, "choose a time outside that night's hour"


def _again(schedule: Schedule, now: datetime) -> Iterator[Found]:
    key = "cron" if schedule.cron else "rrule"
    coming = occurrences(schedule, after=now, count=400)
    if not coming:
        place = ("schedule", "until" if schedule.until else key)
        says = "the schedule does not come again"
        yield place, "past", says, f"{_IS_OVER}, or correct until, or the rule"
        return
    yield from _leap_years(("schedule", key), coming)
    yield from _short_months(("schedule", key), schedule, coming)
    if not schedule.is_local:
        tz = ZoneInfo(schedule.zone)
        year = [one for one in coming if one.local < coming[0].local + _YEAR]
        told = next(filter(None, (_moved(one.local, tz) for one in year)), None)
        if told:
            yield ("schedule", key), "time-moves", told, "leave it, or choose another hour"


def _leap_years(place: Place, coming: list[Occurrence]) -> Iterator[Found]:
    days = [one.local.date() for one in coming]
    rare = all(b - a > _YEAR for a, b in pairwise(days))
    if rare and all((day.month, day.day) == (2, 29) for day in days):
        says = f"29 February comes in leap years only; the next is {days[0].isoformat()}"
        yield place, "leap-day", says, "write 28 February, or 1 March"


def not_on_the_clock(schedule: Schedule, wall: datetime) -> str | None:
    """Say that a time somebody gives is skipped or doubled by a change of clocks; None: it is not.

    Of a time at which the campaign comes by itself its file is asked, and of customers' own clocks the
    plan tells.
    """
    comes = occurrence_at([schedule], wall)
    if schedule.is_local or (comes is not None and comes.local == wall):
        return None
    return _moved(wall, ZoneInfo(schedule.zone))


def skipping(wall: datetime, zones: Iterable[str]) -> list[tuple[str, datetime]]:
    """Give the zones in which a wall-clock time does not exist, with the one that it becomes there."""
    found = []
    for name in sorted(zones):
        tz = ZoneInfo(name)
        becomes = at_local(wall.date(), wall.time(), tz).astimezone(tz).replace(tzinfo=None)
        if becomes != wall:
            found.append((name, becomes))
    return found


def _short_months(place: Place, schedule: Schedule, coming: list[Occurrence]) -> Iterator[Found]:
    """Say that a day which not every month has is left out there, and not moved."""
    rule = schedule.cron or schedule.rrule or ""
    days = sorted({one.local.day for one in coming})
    if days[-1] < 29 or len(days) > _FEW_DAYS or "L" in rule.split() or "BYMONTHDAY=-" in rule:
        return
    for day in days:
        months = [one.local.year * 12 + one.local.month for one in coming if one.local.day == day]
        steps = {b - a for a, b in pairwise(dict.fromkeys(months))}
        if day >= 29 and len(steps) > 1:
            says = f"not every month has a day {day}: in those it does not come"
            yield place, "skips-months", says, "leave it, or write 28; `L` in cron is the last day"
            return


_FEW_DAYS = 5  #: of the month; a rule by weeks or days comes on more of them


def _moved(wall: datetime, tz: ZoneInfo) -> str | None:
    """Say what becomes of a time that a change of clocks skips or doubles; None: nothing does."""
    first, second = wall.replace(tzinfo=tz), wall.replace(tzinfo=tz, fold=1)
    if first.utcoffset() == second.utcoffset():
        return None
    at = at_local(wall.date(), wall.time(), tz)
    if at.astimezone(tz).replace(tzinfo=None) != wall:
        return f"{_wall(wall)} does not exist in {tz.key}; it would become {_told(at, tz)}"
    return f"{_wall(wall)} comes twice in {tz.key}; the first would be taken, {_told(at, tz)}"


def _moved_somewhere(place: Place, wall: datetime) -> Iterator[Found]:
    """Look through all zones, in the hours in which any of them changes its clocks."""
    if wall.hour not in _NIGHT:
        return
    zones = [ZoneInfo(name) for name in sorted(available_timezones()) if "/" in name]
    told = [found for tz in zones if (found := _moved(wall, tz))]
    if told:
        says = f"{told[0]} (and so in {len(told) - 1} other zones)" if told[1:] else told[0]
        yield place, "time-moves", says, "leave it, or choose a time of day"


def _wall(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M")


def _told(at: datetime, tz: ZoneInfo | None = None) -> str:
    return at.astimezone(tz or UTC).strftime("%Y-%m-%d %H:%M %Z")
