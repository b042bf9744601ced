"""One person, one customer: whom keys lead to, and merging customers found to be one, reversibly."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlmodel import Session

from signalpost.domain.identity import Book, Claim, Conflict, Key
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import customers as record
from signalpost.record import events
from signalpost.record.base import new_id
from signalpost.record.customers import Merge
from signalpost.services.intake import consent

SOURCE = "signalpost"


def roots(session: Session, *, customer_ids: Iterable[str]) -> dict[str, str]:
    """Return the customer that stands for the whole person, by each id."""
    return record.roots(session, customer_ids)


def family(session: Session, *, root_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return every id a person is on the record under, by root, the root first."""
    return record.family(session, root_ids)


def find(session: Session, *, kind: str, value: str) -> str | None:
    """Return the root customer that a normalised key leads to."""
    return record.led_to(session, [(kind, value)]).get((kind, value))


def look_up(session: Session, *, keys: Iterable[Key]) -> dict[Key, str | None]:
    """Return the root customer (None: a guest's) of each key that is known."""
    return record.led_to(session, keys)


def open_book(session: Session, *, claims: Sequence[Claim]) -> Book:
    """Look up every key of a batch at once."""
    known = record.led_to(session, {key for claim in claims for key in claim.named()})
    asked: set[str] = set()
    for claim in claims:
        owners = {known.get(key) for key in (*claim.person, *claim.previous)}
        if len(owners) > 1:  # new keys beside known ones, or known ones that differ
            asked |= {owner for owner in owners if owner}
    users = record.user_ids(session, asked) if asked else {}
    return Book(known, users, new_id)


def write_keys(session: Session, *, book: Book, sources: Mapping[Key, str], now: datetime) -> None:
    """Insert the new identities of a batch; its customers must be on the record."""
    record.add_identities(
        session,
        [
            {
                "id": new_id(),
                "kind": kind,
                "value": value,
                "customer_id": customer_id,
                "source": sources.get((kind, value), SOURCE),
                "created_at": now,
            }
            for (kind, value), customer_id in book.new_keys.items()
        ],
    )
    record.claim_identities(session, book.claimed)


def write_conflicts(
    session: Session, *, found: Sequence[tuple[str, Conflict]], now: datetime
) -> None:
    """Put conflicts (event id, conflict) on the record, each once while it is open."""
    record.add_conflicts(
        session,
        [
            {
                "id": new_id(),
                "event_id": event_id,
                "customer_id": conflict.customer_id,
                "other_id": conflict.other_id,
                "kind": conflict.key[0],
                "value": conflict.key[1],
                "at": now,
                "resolved_at": None,
            }
            for event_id, conflict in found
        ],
    )


def merge(session: Session, *, kept: str, merged: str, reason: str, now: datetime) -> Merge | None:
    """Make ``kept`` stand for ``merged`` too; None when they are one person already.

    No row is rewritten: histories and running enrolments keep the id they have. The stricter
    consent of the two counts from now on.

    Raises:
        NotFoundError: one of them is not on the record.
    """
    known = record.roots(session, [kept, merged])
    for customer_id in (kept, merged):
        if customer_id not in known:
            raise NotFoundError(f"There is no customer {customer_id}.")
    kept_id, merged_id = known[kept], known[merged]
    if kept_id == merged_id:
        return None
    row = Merge(
        kept_id=kept_id,
        merged_id=merged_id,
        moved=record.family(session, [merged_id])[merged_id],
        reason=reason,
        at=now,
    )
    consent.take_strictest(
        session, kept_id=kept_id, merged_id=merged_id, source=f"merge:{row.id}", now=now
    )
    record.set_root(session, row.moved, kept_id)
    record.resolve_conflicts(session, [*row.moved, kept_id], now=now)
    session.add(row)
    session.flush()
    _tell(session, "customer.merged", row, now, [kept_id])
    return row


def unmerge(session: Session, *, merge_id: str, now: datetime) -> Merge:
    """Undo a merge: both are who they were, with what they did since on the side that did it.

    Raises:
        NotFoundError: there is no such merge.
        ConflictError: it has been undone already.
    """
    row = session.get(Merge, merge_id)
    if row is None:
        raise NotFoundError(f"There is no merge {merge_id}.")
    if row.undone_at is not None:
        raise ConflictError(f"Merge {merge_id} has been undone already.")
    stands = record.roots(session, [row.kept_id, *row.moved])
    together = [moved for moved in row.moved if stands[moved] == stands[row.kept_id]]
    record.set_root(session, together, row.merged_id)
    consent.undo_strictest(
        session,
        kept_id=stands[row.kept_id],
        merge_source=f"merge:{row.id}",
        source=f"unmerge:{row.id}",
        now=now,
    )
    row.undone_at = now
    session.add(row)
    session.flush()
    _tell(session, "customer.unmerged", row, now, [row.kept_id, row.merged_id])
    return row


def _tell(
    session: Session, name: str, row: Merge, now: datetime, customer_ids: Sequence[str]
) -> None:
    """Put the merge, or its end, among the events of these customers."""
    facts: dict[str, Any] = {
        "merge_id": row.id,
        "kept": row.kept_id,
        "merged": row.merged_id,
        "reason": row.reason,
    }
    events.add(
        session,
        [
            {
                "id": new_id(),
                "message_id": f"{SOURCE}:{name}:{row.id}:{customer_id}",
                "body_hash": "",
                "name": name,
                "customer_id": customer_id,
                "source": SOURCE,
                "status": "accepted",
                "reason": row.reason,
                "parked_key": None,
                "facts": facts,
                "payload": {},
                "held": None,
                "occurred_at": now,
                "received_at": now,
            }
            for customer_id in customer_ids
        ],
    )
