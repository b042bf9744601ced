"""One person's data, whole and machine readable (GDPR 15 and 20); docs/privacy.md shows the shape."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import select
from sqlmodel import Session

from signalpost.domain.text import fill, parts_from_json
from signalpost.record import personal
from signalpost.record.base import table_of
from signalpost.record.messages import MessageVariant
from signalpost.services.privacy import finding

FORMAT, VERSION = "signalpost.customer", 1


def export(session: Session, *, customer_id: str, now: datetime) -> dict[str, Any]:
    """Give all data of a person, both ways, with everybody who was merged into them.

    ``tables`` has every table that has rows of theirs, each row with every column. A message also has
    its ``text`` as it was sent.

    Raises:
        NotFoundError: there is no such customer.
    """
    person = finding.person(session, customer_id=customer_id)
    tables = {
        name: [_plain(row) for row in rows]
        for name, holding in sorted(personal.HOLDINGS.items())
        if (rows := holding.read(session, person))
    }
    _add_texts(session, tables.get("messages", []))
    return {
        "format": FORMAT,
        "version": VERSION,
        "exported_at": _written(now),
        "customer_id": person.root,
        "customer_ids": list(person.family),
        "rows": {name: len(rows) for name, rows in tables.items()},
        "tables": tables,
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _written(value) for name, value in row.items()}


def _written(value: Any) -> Any:
    """Moments as ISO 8601 in UTC, amounts as text; the rest is JSON already."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value) if isinstance(value, Decimal) else value


def _add_texts(session: Session, messages: list[dict[str, Any]]) -> None:
    """Add what was read: the static wording with this person's words in it."""
    variants = table_of(MessageVariant)
    wanted = {one["variant_id"] for one in messages if one["variant_id"]}
    query = select(variants.c.id, variants.c.parts).where(variants.c.id.in_(wanted))
    parts = {row.id: row.parts for row in session.execute(query)}
    for message in messages:
        message["text"] = _text(parts.get(message["variant_id"]), message["slots"])


def _text(parts: Mapping[str, Any] | None, slots: Mapping[str, str]) -> dict[str, str] | None:
    """None: it was never rendered, or its words were erased."""
    if parts is None:
        return None
    try:
        return dict(fill(parts_from_json(parts), slots))
    except KeyError:
        return None
