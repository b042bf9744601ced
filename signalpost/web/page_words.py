"""How the pages put things: days, groups, and JSON that a person can read."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from markupsafe import Markup

from signalpost.services.reading.sheet import Sheet
from signalpost.services.reading.timeline import Entry
from signalpost.services.reading.why import Explained

UTC_ZONE = ZoneInfo("UTC")

_SHOWN: Mapping[str, frozenset[str]] = {
    "messages": frozenset(
        {"message", "delivery", "receipt", "inbox", "question", "reply", "answer"}
    ),
    "events": frozenset({"event", "merge", "conflict", "consent", "suppression"}),
    "decisions": frozenset({"decision", "journey", "campaign"}),
    "cases": frozenset({"case", "hook_call"}),
}


def shown(entry: Entry, show: str) -> bool:
    """Tell whether an entry belongs to what the page was asked to show."""
    return show == "all" or entry.kind in _SHOWN[show]


@dataclass(frozen=True)
class Day:
    """The entries of one day, at the customer's place."""

    day: date
    entries: Sequence[Entry]


def by_day(entries: Sequence[Entry], tz: tzinfo) -> list[Day]:
    """Put entries under their days, in the order in which they come."""
    grouped = groupby(entries, key=lambda entry: entry.at.astimezone(tz).date())
    return [Day(day, list(some)) for day, some in grouped]


@dataclass(frozen=True)
class About:
    """The decisions about one passage through a journey or a run, or one message outside of any."""

    title: str
    decisions: Sequence[Explained]
    started: datetime
    run_id: str | None = None  #: of the campaign's run that it is


def by_subject(found: Sheet) -> list[About]:
    """Group decisions by enrolment or run, the latest first; others by what they are about."""
    journeys = {one.id: one for one in [*found.past, *(r.enrolment for r in found.running)]}
    groups: dict[str, list[Explained]] = {}
    for one in found.decisions:
        key = one.enrolment_id or one.campaign_run_id or one.subject
        groups.setdefault(key, []).append(one)
    made = []
    for key, decisions in groups.items():
        enrolment = journeys.get(key)
        title = enrolment.journey if enrolment else decisions[0].subject
        if enrolment and enrolment.key:
            title = f"{title} · {enrolment.key}"
        made.append(About(title, decisions, decisions[-1].at, decisions[0].campaign_run_id))
    return sorted(made, key=lambda group: group.started, reverse=True)


def words(code: str) -> str:
    """A code as words."""
    return code.replace("_", " ")


def sentence(text: str) -> str:
    """The same with a capital at its start; the rest stays as it is."""
    return text[:1].upper() + text[1:]


def curve(hours: Sequence[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Messages by hour, also the hours without any; more than two days of them by the day."""
    sums: Counter[datetime] = Counter()
    for one in hours:
        sums[datetime.fromisoformat(one["hour"])] += sum(one["channels"].values())
    if not sums:
        return []
    first, last = min(sums), max(sums)
    step = timedelta(hours=1) if last - first <= timedelta(hours=48) else timedelta(days=1)
    count = (last - first) // step + 1
    bars = [0] * count
    for at, messages in sums.items():
        bars[(at - first) // step] += messages
    return [
        (f"{first + step * n:%-d %b %Y, %H:%M} UTC", messages) for n, messages in enumerate(bars)
    ]


def ticked(text: str) -> Markup:
    """A sentence as HTML, with what stands between two ` as code."""
    pieces = enumerate(text.split("`"))
    return Markup().join(
        Markup("<code>{}</code>").format(one) if n % 2 else one for n, one in pieces
    )


def pretty(value: Any) -> str:
    """JSON with a line for each value."""
    return orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2).decode()
