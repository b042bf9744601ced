"""A campaign played on what was recorded: what would have gone, and what that changes."""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table

from signalpost.cli import door, say
from signalpost.domain.reason_words import channel_name
from signalpost.errors import BadInputError
from signalpost.services.desk import Desk
from signalpost.services.reading.campaigns import in_words
from signalpost.settings import Settings
from signalpost.simulation import Cast, Outcome, Played, Sending, played, went

_USUAL = timedelta(days=7)  #: the period, when none is given


@dataclass(frozen=True)
class Difference:
    """How what would have gone differs from what went."""

    added: Sequence[Sending]  #: would go now, and did not
    left_out: Sequence[Sending]  #: went, and would not now
    changed: int  #: the same message to the same person, at another time or in other words

    @property
    def is_there(self) -> bool:
        """Whether anything differs."""
        return bool(self.added or self.left_out or self.changed)

    def to_json(self) -> dict[str, Any]:
        """Give it as JSON values: ids, never an address."""
        return {
            "added": [[*one[:4], one.at.isoformat()] for one in self.added],
            "left_out": [[*one[:4], one.at.isoformat()] for one in self.left_out],
            "changed": self.changed,
        }


def difference(now: Outcome, then: Outcome) -> Difference:
    """Compare what would have gone with what went, message by message."""
    new, old = _by_person(now), _by_person(then)
    return Difference(
        added=[new[key] for key in sorted(new.keys() - old.keys())],
        left_out=[old[key] for key in sorted(old.keys() - new.keys())],
        changed=sum(new[key] != old[key] for key in new.keys() & old.keys()),
    )


def _by_person(outcome: Outcome) -> dict[tuple[Any, ...], Sending]:
    """Sendings by whom and what; somebody's second of the same has a number of its own."""
    seen: Counter[tuple[str, str, str, str]] = Counter()
    found = {}
    for one in outcome.sendings:
        key = (one.customer_id, one.cause, one.message, one.channel)
        found[*key, seen[key]] = one
        seen[key] += 1
    return found


def simulate(
    settings: Settings,
    name: str,
    *,
    since: date | None,
    until: date | None,
    json: bool,
    check: bool,
) -> None:
    """Play a campaign as its file is now, and compare with what went; nothing is sent.

    With ``check`` it ends with 1 when anything differs.
    """
    with door.built(settings) as product:
        desk = product.desk
        first, last = _period(desk, since, until)
        cast = Cast(campaigns={name: desk.campaigns[name]}, launched=[name])
        found = played(desk, cast=cast, since=first, until=last)
        real = went(desk, cast=cast, since=first, until=last)
    differs = difference(found.outcome, real)
    if json:
        what = {"campaign": name, "from": first.isoformat(), "to": last.isoformat()}
        refused = {"refused": list(found.refused), "difference": differs.to_json()}
        say.as_json(what | found.outcome.to_json() | refused)
    else:
        _print(found, differs, f"{first:%-d %b %Y, %H:%M} to {last:%-d %b %Y, %H:%M} UTC")
    if check and differs.is_there:
        sys.exit(say.WRONG)


def _period(desk: Desk, since: date | None, until: date | None) -> tuple[datetime, datetime]:
    """The days asked for, in UTC; both are played whole, as far as they are recorded."""
    now = desk.clock()
    last = now if until is None else _midnight(until + timedelta(days=1))
    last = min(last, now)
    first = _midnight((last - _USUAL).date()) if since is None else _midnight(since)
    if first >= last:
        raise BadInputError(
            f"There is nothing recorded from {first:%-d %b %Y} to {last:%-d %b %Y}; give --from a day "
            "before --to and before today."
        )
    return first, last


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _print(found: Played, differs: Difference, period: str) -> None:
    say.out.print(f"[bold]Simulated[/bold] {period}; nothing was sent.")
    for sentence in found.refused:
        say.out.print(f"[yellow]{escape(sentence)}[/yellow]", soft_wrap=True)
    say.out.print(_sendings(found.outcome))
    say.out.print(_reasons(found.outcome))
    if not differs.is_there:
        say.out.print("[green]Exactly this went.[/green]")
        return
    say.out.print(
        f"Against what went: {len(differs.added):,} more, {len(differs.left_out):,} fewer, "
        f"{differs.changed:,} at another time or in other words."
    )
    for sign, some in (("+", differs.added), ("-", differs.left_out)):
        for one in some[:5]:
            line = f"  {sign} {one.message} by {channel_name(one.channel)} to {one.customer_id}"
            say.out.print(f"[dim]{escape(line)}, {one.at:%-d %b, %H:%M} UTC[/dim]", soft_wrap=True)


def _sendings(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("Would go", "By", "Day, UTC"):
        table.add_column(name)
    table.add_column("Messages", justify="right")
    days = Counter((one.message, one.channel, one.at.date()) for one in outcome.sendings)
    for (message, channel, day), number in sorted(days.items(), key=lambda row: row[0][2]):
        table.add_row(escape(message), channel_name(channel), f"{day:%-d %b %Y}", f"{number:,}")
    return table


def _reasons(outcome: Outcome) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    for (_, outcome_, reason), people in outcome.reasons().most_common():
        said = outcome_.replace("_", " ")
        table.add_row(f"{people:,}", said, escape(in_words(outcome_, reason)))
    return table
