"""When what will have gone: releases against the pace of each provider, through everybody's nights.

A release is so many people of one place who become due at one moment on one channel. A channel takes
them first come, first served, at its pace; who is not served before the night of their place comes
waits for the morning, and what expires meanwhile is not sent.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from signalpost.domain.local_time import Window, at_local, next_open, zone

_HOUR = timedelta(hours=1)
_SHOWN = 24 * 14  #: hours that are shown
_ROUNDS = 100_000  #: a backlog of years: the forecast stops, and says that the rest is not sent


@dataclass(frozen=True, slots=True)
class Release:
    """People who are due together. ``zones``: those in which they may be; empty: no quiet hours."""

    channel: str
    at: datetime
    zones: tuple[str, ...]
    expires_at: datetime | None
    place: str = ""  #: the zone that they are told to be in


@dataclass
class Forecast:
    """What goes when. People are numbers with fractions while a sample stands for all."""

    hours: dict[datetime, dict[str, float]] = field(default_factory=dict)
    """The hour's beginning in UTC → channel → messages."""
    last_at: datetime | None = None  #: when the last message goes
    expired: dict[str, float] = field(default_factory=dict)  #: channel → too late before its turn
    delayed: dict[str, float] = field(default_factory=dict)  #: channel → had to wait for a morning

    def rows(self) -> list[dict[str, Any]]:
        """Give the hours as JSON, in whole messages; those beyond two weeks are left out."""
        return [
            {"hour": hour.isoformat(), "channels": {c: round(n) for c, n in sorted(sent.items())}}
            for hour, sent in sorted(self.hours.items())
        ][:_SHOWN]

    def sent(self, channel: str) -> float:
        """Give how many messages go on a channel."""
        return sum(hour.get(channel, 0) for hour in self.hours.values())


@dataclass(order=True, slots=True)
class _Waiting:
    ready: datetime
    number: int  #: first come, first served among those ready at one moment
    release: Release = field(compare=False)
    people: float = field(compare=False)
    zones: tuple[ZoneInfo, ...] = field(compare=False)
    delayed: bool = field(default=False, compare=False)


def forecast(
    releases: Mapping[Release, float], *, pace: Mapping[str, float], window: Window
) -> Forecast:
    """Reckon when messages go. ``pace``: channel → messages a second; without one there is no limit.

    A pace of zero or less sends nothing: who makes the plan refuses it.
    """
    found = Forecast()
    by_channel: dict[str, list[tuple[Release, float]]] = defaultdict(list)
    for release, people in releases.items():
        by_channel[release.channel].append((release, people))
    for channel, some in by_channel.items():
        _Channel(found, pace.get(channel), window).run(some)
    return found


class _Channel:
    """One provider's queue."""

    def __init__(self, found: Forecast, pace: float | None, window: Window) -> None:
        self.found, self.pace, self.window = found, pace, window
        self.queue: list[_Waiting] = []
        self.free_at = datetime.min.replace(tzinfo=UTC)
        self.number = 0

    def run(self, releases: Iterable[tuple[Release, float]]) -> None:
        """Serve everybody, or until the rounds are used up."""
        if self.pace is not None and self.pace <= 0:
            return
        for release, people in sorted(releases, key=lambda pair: (pair[0].at, pair[0].zones)):
            zones = tuple(found for name in release.zones if (found := zone(name)))
            self.wait(_Waiting(release.at, 0, release, people, zones))
        for _ in range(_ROUNDS):
            if not self.queue:
                return
            self.serve(heapq.heappop(self.queue))

    def wait(self, one: _Waiting) -> None:
        """Put people into the queue."""
        self.number += 1
        one.number = self.number
        heapq.heappush(self.queue, one)

    def serve(self, one: _Waiting) -> None:
        """Send to as many as can be before their night or their expiry; the others wait on."""
        start = max(self.free_at, one.ready)
        channel, expires = one.release.channel, one.release.expires_at
        if expires is not None and start >= expires:
            _add(self.found.expired, channel, one.people)
            return
        opens = next_open(start, self.window, one.zones)
        if opens > start:
            self.delay(one, opens)
            return
        ends = [moment for moment in (self.closes(start, one.zones), expires) if moment]
        going = one.people
        if self.pace is not None and ends:
            going = min(one.people, (min(ends) - start).total_seconds() * self.pace)
        self.send(channel, start, going)
        if one.people - going > 1e-6:
            one.people -= going
            one.ready = min(ends)
            self.wait(one)

    def delay(self, one: _Waiting, opens: datetime) -> None:
        """Have people wait for the morning of their place."""
        if not one.delayed:
            _add(self.found.delayed, one.release.channel, one.people)
        one.ready, one.delayed = opens, True
        self.wait(one)

    def closes(self, start: datetime, zones: Iterable[ZoneInfo]) -> datetime | None:
        """Give when the first of the zones closes, at a moment at which all are open."""
        ends = (at_local(start.astimezone(tz).date(), self.window.closes, tz) for tz in zones)
        return min((end for end in ends if end > start), default=None)

    def send(self, channel: str, start: datetime, people: float) -> None:
        """Spread people over the hours from ``start`` on, at the pace."""
        end = start if self.pace is None else start + timedelta(seconds=people / self.pace)
        self.free_at = end
        hour = start.replace(minute=0, second=0, microsecond=0)
        if end == start:
            _add(self.found.hours.setdefault(hour, {}), channel, people)
        while hour < end:
            seconds = (min(end, hour + _HOUR) - max(start, hour)).total_seconds()
            _add(self.found.hours.setdefault(hour, {}), channel, seconds * (self.pace or 0))
            hour += _HOUR
        self.found.last_at = max(self.found.last_at or end, end)


def _add(sums: dict[str, float], key: str, number: float) -> None:
    sums[key] = sums.get(key, 0) + number


def waves(releases: Mapping[Release, float]) -> list[dict[str, Any]]:
    """Put together who becomes due at one moment."""
    found: dict[datetime, dict[str, float]] = {}
    for release, people in releases.items():
        zones = found.setdefault(release.at, {})
        _add(zones, release.place, people)
    return [
        {
            "at": at.isoformat(),
            "messages": round(sum(zones.values())),
            "zones": sorted(zones, key=lambda name: (-zones[name], name)),
        }
        for at, zones in sorted(found.items())
    ]
