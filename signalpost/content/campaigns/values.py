"""The small words of a campaign file: ``2d``, ``10%``, ``2 per 1d``, ``100/s``, ``above 1000``.

Each type reads what a marketer writes and writes what it read, so that a definition says the same again.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from typing import Annotated, Any
from zoneinfo import ZoneInfo, available_timezones

from pydantic import BeforeValidator, PlainSerializer
from pydantic_core import PydanticCustomError

from signalpost.content.campaigns.page import Plain
from signalpost.domain.audience_values import moment
from signalpost.domain.campaign import Approval
from signalpost.domain.gate import Cap
from signalpost.domain.local_time import zone as zone_of

_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "y": timedelta(days=365),
}
_LENGTH = re.compile(r"(\d{1,6})\s?([smhdwy])")
_LONGEST = timedelta(days=36_500)
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,14})")
_FRACTION = re.compile(r"-?(0|[1-9]\d{0,14})\.\d{0,8}[1-9]|-?(0|[1-9]\d{0,14})\.0")
_NUMBER = re.compile(r"-?\d{1,15}(\.\d{1,8})?")
_PERCENT = re.compile(r"(\d{1,3}(\.\d{1,6})?)\s?%")
_CAP = re.compile(r"(\d{1,4})\s?(?:per|in)\s?(.+)")
_PACE = re.compile(r"(\d{1,7}(?:\.\d{1,4})?)\s?(?:/|per)\s?([smh])")
_ABOVE = re.compile(r"above\s+([\d,]{1,12})")


def wrong(says: str, remedy: str, *, at: str | None = None) -> PydanticCustomError:
    """Make the error of a value: what is wrong, what to do, and at which key of it."""
    return PydanticCustomError("wrong", "{says}", {"says": says, "remedy": remedy, "at": at})


def plain(value: Any) -> Any:
    """Give a value as JSON has it: unquoted numbers, true and false are what they look like.

    Only what would be written the same again is a number: ``007`` and ``1.10`` stay text.
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return _scalar(value) if isinstance(value, Plain) else value


def _scalar(value: str) -> Any:
    if value in ("true", "false"):
        return value == "true"
    if _WHOLE.fullmatch(value) and value != "-0":
        return int(value)
    if _FRACTION.fullmatch(value) and str(float(value)) == value:
        return float(value)
    return str(value)


def length(value: Any) -> timedelta:
    """Read a length of time."""
    if isinstance(value, timedelta):
        return value
    found = _LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    told = int(found[1]) * _UNITS[found[2]] if found and int(found[1]) < 10**6 else None
    if not told or told > _LONGEST:
        raise wrong(
            f"{_shown(value)} is no length of time",
            "write a number with s, m, h, d, w or y, such as 2h, 14d or 1y",
        )
    return told


def say_length(value: timedelta) -> str:
    """Write a length of time in its largest whole unit, up to days."""
    seconds = int(value.total_seconds())
    unit = next(u for u in ("d", "h", "m", "s") if seconds % _seconds(u) == 0)
    return f"{seconds // _seconds(unit)}{unit}"


def _seconds(unit: str) -> int:
    return int(_UNITS[unit].total_seconds())


def number(value: Any) -> int | float:
    """Read a number; a whole one is an int, so that every database gives it back alike."""
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not _usable(value):
        raise wrong(f"{_shown(value)} is no number", "write digits, such as 100 or 12.5")
    return int(value) if value == int(value) else float(value)


def _usable(value: float) -> bool:
    return math.isfinite(value) and abs(value) < 1e15


def whole(value: Any) -> int:
    """Read a count: a whole number from 1."""
    text = value.replace(",", "").replace("_", "") if isinstance(value, str) else value
    try:
        told = number(text)
    except PydanticCustomError:
        told = 0
    if not isinstance(told, int) or told < 1:
        raise wrong(f"{_shown(value)} is no count", "write a whole number from 1")
    return told


def share(value: Any) -> float:
    """Read a share: ``10%`` or ``0.1``."""
    found = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    try:
        told = float(found[1]) / 100 if found else number(value)
    except PydanticCustomError:
        told = -1
    if not 0 <= told <= 1:
        raise wrong(f"{_shown(value)} is no share", "write a percentage, such as 10%")
    return float(told)


def yes(value: Any) -> bool:
    """Read true or false."""
    told = {"true": True, "yes": True, "false": False, "no": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in told:
        return told[value.lower()]
    raise wrong(f"{_shown(value)} is neither true nor false", "write true or false")


def text(value: Any) -> str:
    """Read text, as it was written, with its spaces made single."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise wrong("a text is expected here", "write it after the colon, on one line")
    told = " ".join(str(value).split())
    if not told or len(told) > 1_000:
        raise wrong(
            "the text is empty or longer than 1,000 characters", "give one or two sentences"
        )
    return told


def matching(pattern: str, what: str, remedy: str) -> Callable[[Any], str]:
    """Make a reader of text that has to match."""
    shape = re.compile(pattern)

    def read(value: Any) -> str:
        told = text(value)
        if not shape.fullmatch(told):
            raise wrong(f"{_shown(value)} is no {what}", remedy)
        return told

    return read


def cap(value: Any) -> Cap:
    """Read ``2 per 1d``."""
    if isinstance(value, Cap):
        return value
    found = _CAP.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found or int(found[1]) == 0:
        raise wrong(
            f"{_shown(value)} is no cap", "write so many per so long, such as 2 per 1d or 6 per 7d"
        )
    return Cap(int(found[1]), length(found[2]))


def pace(value: Any) -> float:
    """Read ``100/s``, ``600/m`` or ``5000/h`` as messages a second."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        told = float(value)
    else:
        found = _PACE.fullmatch(value.strip()) if isinstance(value, str) else None
        if not found:
            raise wrong(
                f"{_shown(value)} is no pace", "write messages a second or minute: 100/s or 600/m"
            )
        told = float(found[1]) / _seconds(found[2])
    if not told > 0 or not _usable(told):
        raise wrong(
            "at a pace of 0 nobody would ever get anything",
            "write messages a second, such as 100/s, or pause the run instead",
        )
    return told


def say_pace(value: float) -> int | float:
    """Write a pace as a number, messages a second."""
    return int(value) if value == int(value) else value


def approval(value: Any) -> Approval:
    """Read ``always``, ``never`` or ``above 1000``."""
    if isinstance(value, Approval):
        return value
    told = value.strip().lower() if isinstance(value, str) else ""
    if told in ("always", "never"):
        return Approval(above=0 if told == "always" else None)
    found = _ABOVE.fullmatch(told)
    count = found[1].replace(",", "") if found else ""
    if not count:
        raise wrong(f"{_shown(value)} is no rule of approval", "write always, never or above 1000")
    return Approval(above=int(count))


def say_approval(value: Approval) -> str:
    """Write a rule of approval."""
    if value.above is None:
        return "never"
    return f"above {value.above}" if value.above else "always"


def wall_clock(value: Any) -> datetime:
    """Read a wall-clock time: a day and a time of day, without a zone."""
    if isinstance(value, datetime):
        return value
    remedy = "write the day and the time on the clock, such as 2026-12-01 10:00"
    told = _moment(value, remedy)
    if told.tzinfo is not None:
        says = f"{_shown(value)} holds an offset, and this is the time on the clock"
        raise wrong(says, "leave the offset out and name the place in `zone`")
    return told


def ending(value: Any) -> datetime:
    """Read a moment, with its offset or, when a zone is given beside it, without."""
    if isinstance(value, datetime):
        return value
    told = _moment(value, "write the day and the time, such as 2026-12-31 23:59")
    return told.astimezone(UTC) if told.tzinfo else told


def _moment(value: Any, remedy: str) -> datetime:
    told = str(value).strip()
    if not re.match(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d", told):
        _leap(told)
        raise wrong(f"{_shown(value)} is no day with a time of day", remedy)
    try:
        return datetime.fromisoformat(told).replace(microsecond=0)
    except ValueError:
        _leap(told)
        raise wrong(f"there is no such day or time as {_shown(value)}", remedy) from None


def _leap(told: str) -> None:
    found = re.match(r"(\d{4})-02-29", told)
    if not found:
        return
    year = int(found[1])
    following = next((y for y in range(year, year + 9) if _has_leap_day(y)), year)
    if following != year:
        raise wrong(
            f"{year} has no 29 February; the next is {following}-02-29", "write another day"
        )


def _has_leap_day(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


def day(value: Any) -> date:
    """Read a day."""
    if isinstance(value, date):
        return value
    told = str(value).strip()
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", told):
            return date.fromisoformat(told)
    except ValueError:
        _leap(told)
    raise wrong(f"{_shown(value)} is no day", "write year, month and day, such as 2026-12-31")


def moment_text(value: Any) -> str:
    """Read a day or a moment to compare with, kept as ISO text."""
    told = str(value).strip()
    if moment(told) is None:
        raise wrong(f"{_shown(value)} is no day or time", "write it as 2026-12-31")
    return told


def zone(value: Any) -> str:
    """Read an IANA time zone."""
    told = text(value)
    if zone_of(told) is None or ("/" not in told and told != "UTC"):
        remedy = f"{like_zone(told)} In a schedule, customer means each customer's own"
        raise wrong(f"{_shown(value)} is no time zone", remedy)
    return ZoneInfo(told).key


def zone_or_customer(value: Any) -> str:
    """Read an IANA time zone, or ``customer``."""
    if value == "customer":
        return "customer"
    return zone(value)


#: Short names that stand for an offset: a place says when its clocks change.
_OFFSETS = {
    "EST": "America/New_York", "EDT": "America/New_York", "CST": "America/Chicago",
    "MST": "America/Denver", "PST": "America/Los_Angeles", "PDT": "America/Los_Angeles",
    "GMT": "Europe/London", "BST": "Europe/London", "WET": "Europe/Lisbon",
    "CET": "Europe/Paris", "MET": "Europe/Paris", "CEST": "Europe/Paris", "EET": "Europe/Athens",
    "JST": "Asia/Tokyo", "IST": "Asia/Kolkata",
}  # fmt: skip


def like_zone(told: str) -> str:
    """Say in a sentence how to write the zone of a place that was probably meant."""
    if place := _OFFSETS.get(told.upper()):
        return f"it is a short name, and no place: write {place}, or another place of yours."
    names = sorted(name for name in available_timezones() if "/" in name)
    places = {name.rpartition("/")[2].lower(): name for name in names}
    word = told.rpartition("/")[2].lower().replace(" ", "_")
    near = get_close_matches(word, places, n=1, cutoff=0.7)
    if near:
        return f"did you mean {places[near[0]]}?"
    return "write an IANA name such as Europe/Paris."


def _shown(value: Any) -> str:
    return repr(str(value)[:60]) if isinstance(value, str | int | float) else "this"


def _iso(value: datetime) -> str:
    if value.tzinfo is not None:
        return value.isoformat().replace("+00:00", "Z")
    return value.isoformat(timespec="seconds" if value.second else "minutes")


Length = Annotated[timedelta, BeforeValidator(length), PlainSerializer(say_length)]
Share = Annotated[float, BeforeValidator(share)]
Count = Annotated[int, BeforeValidator(whole)]
Number = Annotated[int | float, BeforeValidator(number)]
Yes = Annotated[bool, BeforeValidator(yes)]
Text = Annotated[str, BeforeValidator(text)]
OneCap = Annotated[
    Cap, BeforeValidator(cap), PlainSerializer(lambda c: f"{c.count} per {say_length(c.period)}")
]
Pace = Annotated[float, BeforeValidator(pace), PlainSerializer(say_pace)]
ApprovalRule = Annotated[Approval, BeforeValidator(approval), PlainSerializer(say_approval)]
WallClock = Annotated[datetime, BeforeValidator(wall_clock), PlainSerializer(_iso)]
Ending = Annotated[datetime, BeforeValidator(ending), PlainSerializer(_iso)]
Day = Annotated[date, BeforeValidator(day)]
MomentText = Annotated[str, BeforeValidator(moment_text)]
Zone = Annotated[str, BeforeValidator(zone)]
ZoneOrCustomer = Annotated[str, BeforeValidator(zone_or_customer)]
Json = Annotated[Any, BeforeValidator(plain)]
Name = Annotated[
    str,
    BeforeValidator(
        matching(
            r"[a-z0-9]+(-[a-z0-9]+)*", "name", "use small letters, digits and -, such as win-back"
        )
    ),
]
Word = Annotated[
    str,
    BeforeValidator(
        matching(r"[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}", "name", "use letters, digits, _ and -")
    ),
]
FactName = Annotated[
    str,
    BeforeValidator(
        matching(r"[a-z][a-z0-9_]{0,39}", "fact's name", "use small letters, digits and _")
    ),
]
PropertyPath = Annotated[
    str,
    BeforeValidator(
        matching(
            r"\w{1,64}(\.\w{1,64}){0,4}",
            "property of an event",
            "write it like total or items.name",
        )
    ),
]
AttributeName = Annotated[
    str,
    BeforeValidator(
        matching(r"[^\W\d]\w{0,63}", "attribute's name", "use letters, digits and _, such as tier")
    ),
]
EventName = Annotated[
    str,
    BeforeValidator(
        matching(
            r"(?=.{1,100}\Z)\w+(\.\w+)*", "event's name", "write dotted words such as order.placed"
        )
    ),
]
