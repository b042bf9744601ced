"""Local time done right: gaps, folds, unknown zones and working days."""

from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Where a clock time comes first on earth, and where last; in these names the sign is turned round.
FIRST_ZONE, LAST_ZONE = ZoneInfo("Etc/GMT-14"), ZoneInfo("Etc/GMT+12")


@lru_cache(maxsize=1024)
def zone(name: str) -> ZoneInfo | None:
    """Give the IANA zone of that name, or None when there is none."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


def at_local(day: date, clock: time, tz: ZoneInfo) -> datetime:
    """Give the moment of a local clock time, in UTC.

    A time that a DST gap skips is moved forward by the length of the gap (02:30 becomes 03:30); of a
    time that comes twice, the first is taken (PEP 495, ``fold=0``).
    """
    return datetime.combine(day, clock, tz).astimezone(UTC)


def wait_until(since: datetime, length: timedelta, clock: time | None, tz: ZoneInfo) -> datetime:
    """Give when a wait that began at ``since`` is over.

    With ``clock``: that local time on the day ``length`` later ("the next day at 10:00"); when the
    length is under a day, the first such time after it.
    """
    if clock is None:
        return since + length
    if length >= timedelta(days=1):
        return at_local(since.astimezone(tz).date() + length, clock, tz)
    earliest = since + length
    due = at_local(earliest.astimezone(tz).date(), clock, tz)
    if due < earliest:
        due = at_local(earliest.astimezone(tz).date() + timedelta(days=1), clock, tz)
    return due


class Window(NamedTuple):
    """The local hours in which a message may be sent: ``opens`` included, ``closes`` not."""

    opens: time = time(8)
    closes: time = time(21)


def _opening(moment: datetime, window: Window, tz: ZoneInfo) -> datetime:
    """Give ``moment`` when the window is open there, else the next opening."""
    local = moment.astimezone(tz)
    if window.opens <= local.time() < window.closes:
        return moment
    day = local.date() if local.time() < window.opens else local.date() + timedelta(days=1)
    return at_local(day, window.opens, tz)


@lru_cache(maxsize=1024)  # a batch is decided at one moment, and people share their zones
def next_open(moment: datetime, window: Window, zones: tuple[ZoneInfo, ...]) -> datetime:
    """Give the first moment from ``moment`` on at which the window is open in all ``zones``.

    Where the zone of a person is not known for sure, all the zones it could be must be awake: the
    strictest cross-section. When there is no such moment (zones half a world apart), the first zone
    decides.
    """
    if not zones:
        return moment
    candidate = moment
    for _ in range(8):
        later = max(_opening(candidate, window, tz) for tz in zones)
        if later == candidate:
            return candidate
        candidate = later
    return _opening(moment, window, zones[0])


def add_working_days(start: date, count: int, holidays: Collection[date] = ()) -> date:
    """Give the date ``count`` working days (Monday to Friday, no holiday) after ``start``."""
    day = start
    while count > 0:
        day += timedelta(days=1)
        if day.weekday() < 5 and day not in holidays:
            count -= 1
    return day
