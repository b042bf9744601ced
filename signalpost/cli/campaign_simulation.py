"""A campaign played on what was recorded: what would have gone, and what that changes."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from rich.markdown import Markdown

from signalpost.cli import door, say
from signalpost.errors import BadInputError
from signalpost.services.desk import Desk
from signalpost.settings import Settings
from signalpost.simulation import Simulation, check_limits
from signalpost.simulation import simulate as play

_USUAL = timedelta(days=7)  #: the period, when none is given


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody typed about a simulation."""

    since: date | None = None
    until: date | None = None
    against: str = "record"
    everything: bool = False
    as_it_happened: bool = False
    out: Path | None = None
    check: bool = False
    limits: Mapping[str, str] = field(default_factory=dict)  #: kind of difference → "5%" or "20"


def simulate(settings: Settings, name: str, asked: Asked, *, json: bool) -> None:
    """Play a campaign as its file is now, and compare; nothing is sent.

    It is kept in a file: where ``out`` says, else in the home folder. A check ends with 1 when it
    differs by more than the limits; without limits, when it differs at all; and whenever a launch is
    refused that was not.
    """
    check_limits(asked.limits)
    if asked.as_it_happened and asked.against == "record" and (asked.check or asked.limits):
        raise BadInputError(
            "--as-it-happened plays what nobody knew when the record's own messages went, so there is "
            "nothing to check it against; give --against live, or the file of a simulation kept with "
            "--out."
        )
    with door.built(settings) as product:
        desk = product.desk
        first, last = _period(desk, asked.since, asked.until)
        found = play(
            desk,
            campaign=desk.campaigns[name],
            since=first,
            until=last,
            now=desk.clock(),
            against=asked.against,
            everything=asked.everything,
            as_it_happened=asked.as_it_happened,
        )
    path = asked.out or settings.home / "simulations" / _file(found)
    found.write(path)
    if json:
        say.as_json(found.to_json())
    else:
        say.out.print(Markdown(found.markdown()))
        say.out.print(f"[dim]The whole of it is in {path}[/dim]", soft_wrap=True)
    if asked.check or asked.limits:
        _check(found, asked.limits)


def _check(found: Simulation, limits: Mapping[str, str]) -> None:
    wrong = found.exceeds(limits)
    for sentence in wrong:
        say.err.print(f"[red]✗[/red] {sentence}", soft_wrap=True)
    if wrong:
        sys.exit(say.WRONG)


def _file(found: Simulation) -> str:
    days = f"{found.since:%Y-%m-%d}-{found.until:%Y-%m-%d}"
    how = "-as-it-happened" if found.as_it_happened else ""
    return f"{found.campaign}-{found.version}-{days}{how}.json"


def _period(desk: Desk, since: date | None, until: date | None) -> tuple[datetime, datetime]:
    """The days asked for, in UTC; both are played whole, as far as they are recorded."""
    if since is not None and until is not None and until < since:
        raise BadInputError(
            f"--from {since} comes after --to {until}; give the earlier day first: --from {until} --to "
            f"{since}."
        )
    now = desk.clock()
    last = now if until is None else _midnight(until + timedelta(days=1))
    last = min(last, now)
    first = _midnight((last - _USUAL).date()) if since is None else _midnight(since)
    if first >= last:
        raise BadInputError(
            f"There is nothing recorded from {first:%-d %b %Y} on: it is {now:%-d %b %Y, %H:%M} UTC. "
            "Give --from a day that has begun."
        )
    return first, last


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
