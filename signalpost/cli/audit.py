"""The audit log on the terminal: who did what, whether anybody changed it, and its head to keep."""

import sys
from datetime import UTC, date, datetime
from typing import Any

import orjson
from rich.markup import escape
from sqlalchemy import Row
from sqlalchemy.exc import DBAPIError

from signalpost.cli import door, say
from signalpost.errors import BadInputError, NotFoundError
from signalpost.record import audit
from signalpost.settings import Settings

MOST = 1_000  #: entries that are shown at once


def note(settings: Settings, action: str, subject: str, **detail: Any) -> None:
    """Write down an act that changes no row of the record; say so when it cannot be written."""
    from signalpost.bootstrap import clock_of

    now = clock_of(settings)()
    who = door.actor()
    try:
        with door.opened(settings) as database, database.writing() as session:
            audit.add(session, actor=who, action=action, subject=subject, detail=detail, now=now)
    except (NotFoundError, DBAPIError):
        says = f"The record is away: {action} by {who} is not in the audit log."
        say.err.print(f"[yellow]![/yellow] {escape(says)}", soft_wrap=True)


def show(settings: Settings, *, since: str | None, subject: str | None, json: bool) -> None:
    """Print entries, the newest last."""
    moment = _moment(since)
    with door.reading(settings) as session:
        rows = audit.entries(session, since=moment, subject=subject, limit=MOST)
    rows.reverse()
    if json:
        say.as_json([as_json(row) for row in rows])
        return
    if not rows:
        say.out.print("Nobody did anything of the kind.")
    for row in rows:
        detail = ", ".join(f"{key} {_plain(value)}" for key, value in _detail(row).items())
        line = (
            f"[dim]{row.number}  {row.at:%Y-%m-%d %H:%M:%S}[/dim]  {escape(row.actor)}  "
            f"[bold]{escape(row.action)}[/bold]  {escape(row.subject)}  [dim]{escape(detail)}[/dim]"
        )
        say.out.print(line, soft_wrap=True)


def head(settings: Settings) -> None:
    """Print the number and hash of the newest entry alone, to be kept somewhere else."""
    with door.reading(settings) as session:
        sys.stdout.write(f"{audit.head(session)}\n")


def verify(settings: Settings, *, against: str | None, json: bool) -> None:
    """Look through the whole log, and end with 1 where it is not what was written."""
    with door.reading(settings) as session:
        broken = audit.verify(session, head=against)
        newest = audit.head(session)
    if json:
        found = {"number": broken.number, "says": broken.says} if broken else None
        say.as_json({"entries": newest.number, "head": str(newest), "broken": found})
        if broken:
            raise SystemExit(say.WRONG)
    elif broken:
        say.fail(f"The audit log is broken at entry {broken.number}: {broken.says}.")
    else:
        entries = "1 entry is" if newest.number == 1 else f"{newest.number} entries are"
        unproven = (
            ""
            if against
            else (
                " Whether its end was cut off only a head tells that you keep elsewhere: "
                "signalpost audit --verify --head …"
            )
        )
        say.out.print(f"{entries} as written.[dim]{unproven}[/dim]", soft_wrap=True)


def as_json(row: Row[Any]) -> dict[str, Any]:
    """Give an entry for other programs."""
    return {**row._asdict(), "at": row.at.isoformat(), "detail": _detail(row)}


def _detail(row: Row[Any]) -> dict[str, Any]:
    return orjson.loads(row.detail)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    try:
        if len(since) == len("2026-03-02"):
            day = date.fromisoformat(since)
            return datetime(day.year, day.month, day.day, tzinfo=UTC)
        moment = datetime.fromisoformat(since)
    except ValueError:
        raise BadInputError(
            f"{since!r} is no moment; write 2026-03-02 or 2026-03-02T09:30."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
