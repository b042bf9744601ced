"""A customer's timeline: everything over all channels, in the order in which it happened."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from signalpost.record import timeline as record
from signalpost.services.reading import affairs, correspondence
from signalpost.services.reading.entries import Entry

__all__ = ["Entry", "Timeline", "assemble", "timeline"]


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """What happened, oldest first; ``earlier`` says that there is more before the first entry."""

    entries: Sequence[Entry]
    earlier: bool = False


def timeline(
    session: Session, *, customer_id: str, limit: int = 500, before: datetime | None = None
) -> Timeline:
    """Read the newest ``limit`` entries of a person's timeline, or those ``before`` a moment.

    Raises:
        NotFoundError: there is no such customer.
    """
    ids = record.family(session, customer_id)
    return assemble(record.history(session, ids, limit=limit, before=before), limit=limit)


def assemble(found: record.History, *, limit: int) -> Timeline:
    """Put a history in order."""
    entries = sorted(_entries(found), key=lambda entry: (entry.at, entry.rank))
    return Timeline(entries=entries[-limit:], earlier=len(entries) > limit)


def _entries(found: record.History) -> Iterator[Entry]:
    yield from affairs.entries(found)
    yield from correspondence.entries(found)
