"""Keys: making, listing, rotating and revoking them."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.markup import escape
from rich.table import Table

from signalpost.cli import door, say
from signalpost.domain.access import Scope
from signalpost.errors import BadInputError
from signalpost.record import api_keys
from signalpost.record.api_keys import ApiKey
from signalpost.services.access import keys
from signalpost.settings import Settings

_UNITS = {"d": "days", "h": "hours", "m": "minutes"}
_STYLE = {"active": "green", "expired": "yellow", "revoked": "red"}


def make(
    settings: Settings, name: str, *, scopes: Sequence[Scope], expires: str | None, json: bool
) -> None:
    """Make a key, and print it."""
    now = _now(settings)
    expires_at = _until(expires, now) if expires is not None else None
    with door.opened(settings) as database, database.writing() as session:
        made = keys.make(
            session, name=name, scopes=scopes, actor=door.actor(), now=now, expires_at=expires_at
        )
    _show(made, now=now, json=json)


def rotate(settings: Settings, which: str, *, keep: str, json: bool) -> None:
    """Give a key a new secret, and print it."""
    now = _now(settings)
    kept = timedelta(0) if keep.strip() == "0" else _until(keep, now) - now
    with door.opened(settings) as database, database.writing() as session:
        made = keys.rotate(session, which=which, keep=kept, actor=door.actor(), now=now)
    _show(made, now=now, json=json)
    if not json and made.key.old_until:
        say.out.print(f"The old secret is good until {made.key.old_until:%Y-%m-%d %H:%M} UTC.")


def revoke(settings: Settings, which: str, *, json: bool) -> None:
    """End a key, and say so."""
    now = _now(settings)
    with door.opened(settings) as database, database.writing() as session:
        key = keys.revoke(session, which=which, actor=door.actor(), now=now)
    if json:
        say.as_json(_plain(key, now))
    else:
        say.out.print(f"The key {escape(key.name)} ({key.id}) opens nothing any more.")


def list_keys(settings: Settings, *, json: bool) -> None:
    """Print every key; no secret is known here."""
    now = _now(settings)
    with door.reading(settings) as session:
        found = list(api_keys.listed(session))
    if json:
        say.as_json({"keys": [_plain(key, now) for key in found]})
    elif not found:
        say.out.print(
            "There is no key yet but the installation's own two. "
            "[dim]signalpost key make NAME --scope ingest makes one.[/dim]",
            soft_wrap=True,
        )
    else:
        say.out.print(_table(found, now))


def _table(found: Sequence[ApiKey], now: datetime) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("Key", "Id", "Scopes", "Status", "Made by", "Made", "Expires", "Last used"):
        table.add_column(name, overflow="fold")
    for key in found:
        status = keys.status_of(key, now=now)
        table.add_row(
            f"[bold]{escape(key.name)}[/bold]",
            key.id,
            escape(", ".join(key.scopes)),
            f"[{_STYLE[status]}]{status}[/]",
            escape(key.made_by),
            *(f"{at:%Y-%m-%d %H:%M}" if at else "never" for at in (
                key.created_at, key.expires_at, key.last_used_at
            )),
        )  # fmt: skip
    return table


def _show(made: keys.Made, *, now: datetime, json: bool) -> None:
    if json:
        say.as_json({"token": made.token, **_plain(made.key, now)})
        return
    key = made.key
    say.out.print(f"[bold]{made.token}[/bold]", soft_wrap=True)
    says = f"The key of {escape(key.name)}, for {', '.join(key.scopes)}. It is not shown again."
    say.out.print(says, soft_wrap=True)


def _plain(key: ApiKey, now: datetime) -> dict[str, Any]:
    """What may be told of a key: everything but the hashes."""
    told = key.model_dump(exclude={"secret_hash", "old_secret_hash"})
    return {"status": keys.status_of(key, now=now), **told}


def _until(text: str, now: datetime) -> datetime:
    """Read "90d", "12h", or a moment; without a zone it is UTC.

    Raises:
        BadInputError: it is neither.
    """
    text = text.strip()
    if found := re.fullmatch(r"(\d{1,5})([dhm])", text):
        return now + timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadInputError(
            f"{text!r} is no time; write 90d, 12h, 30m, or a moment such as 2027-01-31."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _now(settings: Settings) -> datetime:
    from signalpost.bootstrap import clock_of

    return clock_of(settings)()
