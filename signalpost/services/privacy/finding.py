"""Finding everything about one person, also where no customer id says so."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Text, cast, func, or_, select
from sqlmodel import Session

from signalpost.domain.identity import REFERENCE_KINDS
from signalpost.errors import NotFoundError
from signalpost.record import customers, personal
from signalpost.record.base import table_of
from signalpost.record.customers import ContactPoint
from signalpost.record.events import Event, chunks
from signalpost.record.personal import Person
from signalpost.record.receipts import ReceiptRow, Reply
from signalpost.services.intake.drafts import SignalPolicy, again, prepare

_events, _receipts, _replies = table_of(Event), table_of(ReceiptRow), table_of(Reply)
#: Shorter keys would be found inside of other words.
_SHORTEST = 5
_CONFLICT = re.compile(r"message id already used by event (\S+) with another body")


def person(session: Session, *, customer_id: str) -> Person:
    """Find a person with everybody merged into them, and the rows that name them without an id.

    Raises:
        NotFoundError: there is no such customer.
    """
    root = customers.roots(session, [customer_id]).get(customer_id)
    if root is None:
        raise NotFoundError(f"There is no customer {customer_id}.")
    family = tuple(customers.family(session, [root])[root])
    keys = tuple((row.kind, row.value) for row in customers.identities(session, family))
    addresses = _addresses(session, family, keys)
    strays = {
        "events": tuple(sorted(_stray_events(session, family, keys))),
        "receipts": tuple(_stray_receipts(session, addresses)),
        "replies": tuple(_stray_replies(session, addresses)),
    }
    return Person(root=root, family=family, addresses=addresses, keys=keys, strays=strays)


def _addresses(
    session: Session, family: tuple[str, ...], keys: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    """The addresses that lead to this person and to nobody else."""
    points = table_of(ContactPoint)
    query = select(points.c.address).where(
        points.c.customer_id.in_(family), points.c.channel != "in_app"
    )
    found = {*session.execute(query).scalars()}
    found |= {value for kind, value in keys if kind in ("email", "phone")}
    return tuple(sorted(found - personal.held(session, addresses=sorted(found), outside=family)))


def _stray_events(
    session: Session, family: tuple[str, ...], keys: Sequence[tuple[str, str]]
) -> set[str]:
    """Events of nobody that name one of these keys: parked, refused, or a guest's."""
    loose = select(_events.c.id).where(_events.c.customer_id.is_(None))
    texts = [value for kind, value in keys if kind not in REFERENCE_KINDS]
    found = _naming(session, loose, (_events.c.payload, _events.c.held), texts)
    for kind in REFERENCE_KINDS:
        values = [value for key, value in keys if key == kind]
        for some in chunks(values):
            named = _events.c.facts[kind].as_string().in_(some)
            parked = _events.c.parked_key.in_([f"{kind}:{value}" for value in some])
            found |= set(session.execute(loose.where(or_(named, parked))).scalars())
    return found | _parked(session, set(keys)) | _refused(session, family)


def _parked(session: Session, keys: set[tuple[str, str]]) -> set[str]:
    """Parked events whose keys, in our spelling, are among these: a phone may be written in many."""
    query = select(_events).where(_events.c.customer_id.is_(None), _events.c.status == "parked")
    policy, found = SignalPolicy(fingerprints=None), set()
    for row in session.execute(query).all():
        when = max(
            row.received_at, row.occurred_at
        )  # one from the future is read only when it comes
        draft = prepare(again(row), event_id=row.id, now=when, policy=policy)
        if keys & {*draft.claim.named(), *draft.profile.keys.items()}:
            found.add(row.id)
    return found


def _refused(session: Session, family: tuple[str, ...]) -> set[str]:
    """Second bodies that came under the id of one of this person's events."""
    query = select(_events.c.id, _events.c.reason).where(
        _events.c.customer_id.is_(None), _events.c.status == "conflict"
    )
    led = {
        row.id: match[1]
        for row in session.execute(query)
        if (match := _CONFLICT.search(row.reason or ""))
    }
    first = select(_events.c.id).where(
        _events.c.id.in_(list(led.values())), _events.c.customer_id.in_(family)
    )
    theirs = set(session.execute(first).scalars()) if led else set()
    return {id_ for id_, event in led.items() if event in theirs}


def _stray_receipts(session: Session, addresses: Sequence[str]) -> set[str]:
    """Receipts that name no message of ours, and one of these addresses."""
    loose = select(_receipts.c.id).where(_receipts.c.message_id.is_(None))
    return _naming(session, loose, (_receipts.c.raw,), addresses)


def _stray_replies(session: Session, addresses: Sequence[str]) -> set[str]:
    """Replies of which nobody knew who wrote them, from an address that is theirs alone."""
    query = select(_replies.c.id).where(
        _replies.c.customer_id.is_(None), _replies.c.sender.in_(addresses)
    )
    return set(session.execute(query).scalars())


def _naming(session: Session, loose: Any, columns: Sequence[Any], texts: Iterable[str]) -> set[str]:
    """Rows of which a document holds one of the texts, whatever its capitals."""
    found: set[str] = set()
    for text in {text.lower() for text in texts if len(text) >= _SHORTEST}:
        written = [func.lower(cast(column, Text)) for column in columns]
        holds = or_(*(one.contains(text, autoescape=True) for one in written))
        found |= set(session.execute(loose.where(holds)).scalars())
    return found
