"""Copies of the record: taking one, and going on from an old one without sending anything twice."""

import asyncio
import json
import os
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.markup import escape

from signalpost.cli import door, say
from signalpost.errors import BadInputError, ConflictError
from signalpost.record import audit, lost_windows
from signalpost.services.privacy import erasing
from signalpost.settings import Settings

BACKED_UP, RESTORED = "record.backed_up", "record.restored"
#: The backup may have begun a little before the time that is given.
_MARGIN = timedelta(minutes=1)


def backup(settings: Settings, file: Path) -> None:
    """Copy SQLite's record while everything runs; the copy is whole, as of one moment."""
    with door.opened(settings) as database:
        if not database.is_sqlite:
            raise BadInputError(
                "The record is on PostgreSQL: use its own tools, such as `pg_dump --format=custom "
                "--file=FILE ADDRESS`; docs/privacy.md says what else belongs to a backup."
            )
        try:
            os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            raise ConflictError(f"There is a file {file} already; name another one.") from None
        except OSError as error:
            raise BadInputError(f"{file} cannot be written: {error.strerror}.") from None
        database.copy_to(file)
    from signalpost.bootstrap import clock_of
    from signalpost.cli.audit import note

    at = clock_of(settings)()
    note(settings, BACKED_UP, "project:record")  # everybody's data leaves the record in one file
    say.out.print(
        f"The record as of {at:%Y-%m-%dT%H:%M:%SZ} is in {escape(str(file))}. Keep "
        f"{escape(str(settings.home / 'keys.json'))} and the folder erasures beside it, elsewhere.",
        soft_wrap=True,
    )


def restored(settings: Settings, since: str) -> None:
    """Go on from an old copy: what may have been sent since then is asked about, not sent again."""
    from signalpost.bootstrap import build

    began = _moment(since)
    product = build(settings)
    try:
        desk = product.desk
        now = desk.clock()
        if began >= now:
            raise BadInputError("--since lies ahead; give the time at which the backup was taken.")
        with desk.database.writing() as session:
            lost_windows.add(session, since=began - _MARGIN, until=now, who=door.actor())
            begun = erasing.erase_again(
                session, receipts=_receipts(settings), forgetting=desk.forgetting, now=now
            )
            audit.add(
                session,
                actor=door.actor(),
                action=RESTORED,
                subject="project:record",
                detail={"since": began.isoformat(), "erased_again": len(begun)},
                now=now,
            )
        asyncio.run(erasing.proceed_all(desk.database, forgetting=desk.forgetting, now=now))
    finally:
        product.close()
    say.out.print(
        f"Noted. Whatever was due between {began:%Y-%m-%dT%H:%M:%SZ} and now counts as unknown "
        "instead of being sent: the provider's list is asked first, from two minutes after it. "
        "Start the workers now, and have senders send their signals since then again; repeats do no "
        "harm.",
        soft_wrap=True,
    )
    if begun:
        say.out.print(f"Erased again, whom the copy brought back: {len(begun)}.")


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise BadInputError("--since needs a time with a zone, such as 2026-03-02T09:30:00Z.")
    return found


def _receipts(settings: Settings) -> list[dict[str, Any]]:
    """Read the receipts of erasures that are kept beside the record; a damaged one is left out."""
    found = []
    for path in sorted((settings.home / "erasures").glob("*.json")):
        try:
            one = json.loads(path.read_text())
        except (OSError, ValueError):
            say.err.print(f"The receipt {escape(path.name)} cannot be read; it is left out.")
            continue
        if isinstance(one, dict):
            found.append(one)
    return found
