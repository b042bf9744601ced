"""Signals in: each is kept once, leads to a customer, and starts or wakes what it should.

One transaction holds the event, its identities, what it says about the person and what it sets
going. Everything is done a batch at a time: one look-up and one insert per table.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError
from sqlmodel import Session

from signalpost.domain.identity import Book, Claim, Conflict, Key
from signalpost.errors import ConflictError, NotFoundError
from signalpost.record import customers
from signalpost.record import events as record
from signalpost.record.base import new_id
from signalpost.services.intake import consent, identity, profiles
from signalpost.services.intake.drafts import (
    Draft,
    Signal,
    SignalPolicy,
    again,
    held,
    prepare,
    storable,
)
from signalpost.services.intake.profiles import Change

__all__ = ["Accepted", "Arrival", "Signal", "SignalPolicy", "accept", "redrive", "release_parked"]

#: The event that makes an order known, also when it names nobody.
_FOUNDING = "order.placed"
_AWAY = (OperationalError, InterfaceError)


@dataclass(frozen=True, slots=True)
class Accepted:
    """What became of one signal.

    ``status``: accepted | duplicate | parked | guest | historic | conflict. A duplicate carries the
    first one's event, and in ``stands`` how that one stands now.
    """

    message_id: str
    event_id: str
    status: str
    reason: str | None = None
    customer_id: str | None = None
    stands: str | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that leads to a customer and may start, stop or wake enrolments."""

    event_id: str
    name: str
    customer_id: str  #: the root
    facts: dict[str, Any]
    occurred_at: datetime
    fresh: bool  #: false: too old to start anything


React = Callable[[Session, Sequence[Arrival], datetime], None]


def accept(
    session: Session,
    *,
    signals: Sequence[Signal],
    now: datetime,
    react: React,
    policy: SignalPolicy,
) -> list[Accepted]:
    """Put signals on the record, in order; one answer for each.

    ``react`` is called once, in the same transaction, with what the signals (and parked events that
    they release) mean to customers, in order of occurrence. A signal that fails is set aside, parked
    with its reason, and the others go on.

    Raises:
        sqlalchemy.exc.OperationalError: the database is away; nothing was kept.
    """
    signals = [storable(signal) for signal in signals]
    record.hold(session, record.LOCK_MESSAGES, (signal.message_id for signal in signals))
    known = record.seen(session, {signal.message_id for signal in signals})
    answers: list[Accepted | None] = [None] * len(signals)
    first: dict[str, int] = {}
    drafts: dict[str, Draft] = {}
    for place, signal in enumerate(signals):
        row = known.get(signal.message_id)
        if row is not None:
            answers[place] = _repeat(session, signal, row, now)
        elif signal.message_id in first:
            continue
        else:
            draft = prepare(signal, event_id=new_id(), now=now, policy=policy)
            first[signal.message_id] = place
            drafts[signal.message_id] = draft
    _take_or_set_aside(session, list(drafts.values()), now, react, policy)
    for place, signal in enumerate(signals):
        if answers[place] is None:
            draft = drafts[signal.message_id]
            answers[place] = (
                _answer(draft)
                if first[signal.message_id] == place
                else _repeat_in_batch(session, signal, draft)
            )
    return [answer for answer in answers if answer is not None]


def release_parked(
    session: Session, *, now: datetime, react: React, policy: SignalPolicy, limit: int = 500
) -> int:
    """Let events through whose time has come; returns how many."""
    rows = record.parked_until(session, now=now, limit=limit)
    _take_or_set_aside(session, [_again(row, now, policy) for row in rows], now, react, policy)
    return len(rows)


def redrive(
    session: Session, *, event_id: str, now: datetime, react: React, policy: SignalPolicy
) -> Accepted:
    """Try a parked event again, because an operator says that what was in its way is gone.

    Raises:
        NotFoundError: there is no such event.
        ConflictError: it is not parked.
    """
    row = record.one(session, event_id)
    if row is None:
        raise NotFoundError(f"There is no event {event_id}.")
    if row.status != "parked":
        raise ConflictError(f"Event {event_id} is {row.status}, not parked.")
    draft = _again(row, now, policy)
    _take_or_set_aside(session, [draft], now, react, policy)
    return _answer(draft)


def _again(row: Any, now: datetime, policy: SignalPolicy) -> Draft:
    draft = prepare(again(row), event_id=row.id, now=now, policy=policy)
    draft.stored = True
    return draft


def _repeat(session: Session, signal: Signal, row: Any, now: datetime) -> Accepted:
    # An event without a hash was erased: its repeat must not bring anything back.
    if row.body_hash and row.body_hash != signal.body_hash:
        return _conflict(session, signal, row.id, now)
    return Accepted(signal.message_id, row.id, "duplicate", row.reason, row.customer_id, row.status)


def _answer(draft: Draft) -> Accepted:
    return Accepted(
        draft.signal.message_id, draft.event_id, draft.status, _reason(draft), draft.customer_id
    )


def _repeat_in_batch(session: Session, signal: Signal, draft: Draft) -> Accepted:
    if signal.body_hash != draft.signal.body_hash:
        return _conflict(session, signal, draft.event_id, draft.now)
    return replace(_answer(draft), status="duplicate", stands=draft.status)


def _conflict(session: Session, signal: Signal, event_id: str, now: datetime) -> Accepted:
    """Keep the second body where an operator sees it, once; it sets nothing going."""
    row = _row(prepare(signal, event_id=new_id(), now=now, policy=SignalPolicy(fingerprints=None)))
    row |= {
        "message_id": f"{signal.message_id} conflict:{signal.body_hash[:16]}",
        "status": "conflict",
        "reason": f"message id already used by event {event_id} with another body",
        "parked_key": None,
        "held": None,
    }
    if not record.seen(session, [row["message_id"]]):
        record.add(session, [row])
    return Accepted(signal.message_id, event_id, "conflict", row["reason"])


def _take_or_set_aside(
    session: Session, drafts: list[Draft], now: datetime, react: React, policy: SignalPolicy
) -> None:
    """Take all at once; when that fails, one by one, and park the one that fails by itself."""
    if not drafts:
        return
    try:
        with session.begin_nested():
            _Batch(session, drafts, now, policy).take(react)
    except _AWAY:
        raise
    except Exception as error:
        if len(drafts) > 1:
            for draft in drafts:
                _take_or_set_aside(session, [_fresh(draft, policy)], now, react, policy)
            return
        draft = drafts[0]
        draft.customer_id = None
        draft.park(f"set_aside: {type(error).__name__}", "repair")
        _store(session, drafts)


def _fresh(draft: Draft, policy: SignalPolicy) -> Draft:
    """Undo in memory what a failed batch did to a draft; the object stays the same."""
    clean = prepare(draft.signal, event_id=draft.event_id, now=draft.now, policy=policy)
    clean.stored = draft.stored
    for name in Draft.__slots__:
        setattr(draft, name, getattr(clean, name))
    return draft


class _Batch:
    """Some drafts on their way through one transaction."""

    def __init__(
        self, session: Session, drafts: list[Draft], now: datetime, policy: SignalPolicy
    ) -> None:
        self.session = session
        self.drafts = drafts
        self.now = now
        self.policy = policy
        self.conflicts: list[tuple[str, Conflict]] = []
        self.sources: dict[Key, str] = {}

    def take(self, react: React) -> None:
        """Resolve, write, release what waited, and tell what it means."""
        acting = [draft for draft in self.drafts if not draft.waits_untouched]
        claims = [draft.claim for draft in acting]
        keys = (":".join(key) for claim in claims for key in claim.named())
        record.hold(self.session, record.LOCK_KEYS, keys)
        book = identity.open_book(self.session, claims=claims)
        self._resolve_in_order(book, acting)
        released = self._release(book)
        self._write(book, released)
        arrivals = [
            Arrival(
                draft.event_id,
                draft.signal.name,
                book.root(draft.customer_id),
                draft.facts,
                draft.occurred_at,
                draft.fresh,
            )
            for draft in (*self.drafts, *released)
            if draft.customer_id and draft.status in ("accepted", "historic")
        ]
        arrivals.sort(key=lambda arrival: arrival.occurred_at)
        if arrivals:
            react(self.session, arrivals, self.now)

    def _resolve_in_order(self, book: Book, drafts: Iterable[Draft]) -> None:
        """Give each draft its customer; one whose order comes later in the batch waits for it."""
        waiting = [draft for draft in drafts if not self._resolve(book, draft)]
        for draft in waiting:
            if not self._resolve(book, draft):
                kind, value = draft.claim.references[0]
                draft.park(f"unknown_{kind.removesuffix('_id')}", f"{kind}:{value}")

    def _resolve(self, book: Book, draft: Draft) -> bool:
        """Resolve one draft; False when it must wait for what it refers to."""
        claim = draft.claim
        for key in claim.named():
            self.sources.setdefault(key, draft.signal.source)
        before = len(book.conflicts)
        owner = book.resolve(claim)
        self.conflicts += [(draft.event_id, c) for c in book.conflicts[before:]]
        if owner is not None:
            draft.customer_id = owner
            if draft.status == "accepted" and not draft.fresh:
                draft.status = "historic"
            return True
        if draft.status == "parked":
            return True
        known = any(book.knows(key) for key in claim.references)
        if claim.references and not known and draft.signal.name != _FOUNDING:
            return False
        draft.status = "guest"
        for key in claim.references:
            book.keep_for_nobody(key)
        return True

    def _release(self, book: Book) -> list[Draft]:
        """Take along parked events whose order has come, and those that wait for theirs."""
        released: list[Draft] = []
        asked: set[Key] = set()
        while True:
            arrived = {
                key for key in (*book.new_keys, *book.claimed) if key[0].endswith("_id")
            } - asked
            arrived = {key for key in arrived if key[0] in ("order_id", "payment_id", "charge_id")}
            if not arrived:
                return released
            asked |= arrived
            rows = record.parked_for(self.session, [":".join(key) for key in arrived])
            for row in rows:
                draft = _again(row, self.now, self.policy)
                self._look_up(book, draft.claim)
                if self._resolve(book, draft):
                    if draft.status != "parked":
                        draft.reasons.append(f"waited for {row.parked_key}")
                    released.append(draft)

    def _look_up(self, book: Book, claim: Claim) -> None:
        """Tell the book the keys of a released event that this batch did not name."""
        unknown = [key for key in claim.named() if not book.knows(key)]
        if unknown:
            book.learn(identity.look_up(self.session, keys=unknown))

    def _write(self, book: Book, released: list[Draft]) -> None:
        drafts = [*self.drafts, *released]
        changes = [
            Change(draft.customer_id, draft.profile, draft.fresh)
            for draft in drafts
            if draft.customer_id and not draft.profile.is_empty
        ]
        members = {
            book.root(owner)
            for key, owner in book.new_keys.items()
            if key[0] == "user_id" and owner
        }
        session, now = self.session, self.now
        # All at once: of two who hold some and want others, each would wait for the other.
        owners = {draft.customer_id for draft in drafts if draft.customer_id}
        customers.lock_customers(session, owners | {book.root(one) for one in owners})
        profiles.apply(
            session,
            changes=changes,
            new_customers=book.new_customers,
            now=now,
            past=_past(drafts),
        )
        identity.write_keys(session, book=book, sources=self.sources, now=now)
        profiles.apply_addresses(
            session,
            changes=changes,
            members=sorted(members),
            now=now,
            fingerprints=self.policy.fingerprints,
        )
        said = [(d.customer_id, s) for d in drafts if d.customer_id for s in d.profile.statements]
        consent.record_statements(session, said=said, now=now)
        _store(session, drafts)
        identity.write_conflicts(session, found=self.conflicts, now=now)
        for join in book.joins:
            identity.merge(
                session, kept=join.kept_id, merged=join.merged_id, reason=join.reason, now=now
            )


def _past(drafts: Sequence[Draft]) -> dict[str, datetime]:
    """Give by customer when the oldest happened of what is told too late to act on."""
    found: dict[str, datetime] = {}
    for draft in drafts:
        if draft.customer_id and draft.status == "historic":
            found[draft.customer_id] = min(
                draft.occurred_at, found.get(draft.customer_id, draft.occurred_at)
            )
    return found


def _store(session: Session, drafts: Sequence[Draft]) -> None:
    rows = [_row(draft) for draft in drafts]
    record.add(session, [r for r, d in zip(rows, drafts, strict=True) if not d.stored])
    record.settle(session, [r for r, d in zip(rows, drafts, strict=True) if d.stored])


def _reason(draft: Draft) -> str | None:
    return "; ".join(dict.fromkeys(draft.reasons))[:1000] or None


def _row(draft: Draft) -> dict[str, Any]:
    signal = draft.signal
    return {
        "id": draft.event_id,
        "message_id": signal.message_id,
        "body_hash": signal.body_hash,
        "name": signal.name[:100],
        "customer_id": draft.customer_id,
        "source": signal.source,
        "status": draft.status,
        "reason": _reason(draft),
        "parked_key": draft.parked_key,
        "facts": draft.facts,
        "payload": signal.payload,
        "held": held(draft) if draft.status == "parked" else None,
        "occurred_at": draft.occurred_at,
        "received_at": draft.now,
    }
