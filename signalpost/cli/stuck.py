"""`signalpost stuck` and `signalpost resolve`: what does not go on by itself, and what helps."""

import asyncio
from datetime import datetime, timedelta

from rich.markup import escape

from signalpost.cli import door, say
from signalpost.record import audit
from signalpost.record.database import Database
from signalpost.services.desk import Desk
from signalpost.services.reconciling import sweeping
from signalpost.services.reconciling.resolving import Resolution, resolve
from signalpost.services.reconciling.rounds import Reconciler
from signalpost.services.reconciling.stuck import Stuck, find
from signalpost.settings import Settings

_MOST_ROUNDS = 100


def stuck(settings: Settings, *, fix: bool, dry_run: bool, json: bool) -> None:
    """List what is stuck; with ``fix``, do what is safe first."""
    with door.built(settings) as app:
        now = app.desk.clock()
        if fix and not dry_run:
            _fix(app.desk, now)
        found = _found(app.desk.database, now, app.desk.lease)
    if json:
        say.as_json([_plain(one) for one in found])
        return
    for one in found:
        _say(one, now, would_fix=dry_run and one.is_fixed)
    if not found:
        say.out.print("Nothing is stuck.")


def _found(database: Database, now: datetime, lease: timedelta) -> list[Stuck]:
    with database.reading() as session:
        return find(session, now=now, lease=lease)


def _fix(desk: Desk, now: datetime) -> None:
    """Sweep until nothing is left, and ask providers about whatever is due."""
    claims = unknown = moved = 0
    for _ in range(_MOST_ROUNDS):
        swept = sweeping.sweep(desk, now=now)
        if not swept:
            break
        claims, unknown = claims + swept.claims, unknown + swept.unknown
        moved += swept.taken_back + swept.closed

    async def settle() -> tuple[int, dict[str, int]]:
        reconciler = Reconciler()
        settled = await reconciler.note(desk, now=now)
        return settled, dict(await reconciler.ask(desk, now=now))

    settled, asked = asyncio.run(settle())
    did = {"claims": claims, "unknown": unknown, "moved": moved, "settled": settled, **asked}
    with desk.database.writing() as session:
        audit.add(
            session,
            actor=door.actor(),
            action="stuck.fixed",
            subject="record",
            detail=did,
            now=now,
        )
    words = [
        f"{claims} claims taken away",
        f"{unknown} messages called unknown",
        f"{settled} settled by receipts",
        *(f"{number} {outcome.replace('_', ' ')}" for outcome, number in sorted(asked.items())),
    ]
    say.out.print(escape("Done: " + ", ".join(words) + "."), soft_wrap=True)


def _say(one: Stuck, now: datetime, *, would_fix: bool) -> None:
    since = f" [dim]for {_long(now - one.since)}[/dim]" if one.since else ""
    many = "" if one.kind in ("unresolved", "run", "paused") else f"{one.number} "
    if many and one.kind in ("lane", "set_aside"):
        many += "person " if one.number == 1 else "people "
    helps = f"  [dim]{escape(one.helps)}[/dim]" if one.helps else "  [dim]passes by itself[/dim]"
    fixes = "  [green]--fix would see to it[/green]" if would_fix else ""
    text = escape(one.says)
    text = f"{many}{text}" if many else text[:1].upper() + text[1:]
    say.out.print(f"{text}{since}{helps}{fixes}", soft_wrap=True)


def _long(length: timedelta) -> str:
    minutes = int(length.total_seconds() // 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // 1440} days"


def _plain(one: Stuck) -> dict[str, object]:
    return {
        "kind": one.kind,
        "says": one.says,
        "number": one.number,
        "since": one.since.isoformat() if one.since else None,
        "helps": one.helps,
        "fixable": one.is_fixed,
    }


def take_word(settings: Settings, message_id: str, *, resolution: Resolution) -> None:
    """Close an unknown message on an operator's word."""
    from signalpost.bootstrap import clock_of

    with door.opened(settings) as database, database.writing() as session:
        resolve(
            session,
            message_id=message_id,
            resolution=resolution,
            actor=door.actor(),
            now=clock_of(settings)(),
        )
    word = "was not sent" if resolution is Resolution.NOT_SENT else "is given up"
    say.out.print(f"Message {escape(message_id)} {word}; nothing is sent again.")
