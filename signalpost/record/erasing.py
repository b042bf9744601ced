"""What an erasure does beyond emptying tables: it stops what runs, and asks what providers had."""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import and_, func, or_, select, update
from sqlmodel import Session

from signalpost.domain.vocabulary import DeliveryStatus, MessageStatus
from signalpost.record import campaign_people
from signalpost.record import enrolments as journeys
from signalpost.record.base import table_of
from signalpost.record.campaigns import CampaignPerson
from signalpost.record.enrolments import Enrolment
from signalpost.record.events import Event
from signalpost.record.messages import Delivery, Message
from signalpost.record.personal import Person
from signalpost.record.receipts import Reply

_p, _e, _m, _d = (table_of(one) for one in (CampaignPerson, Enrolment, Message, Delivery))
_events, _replies = table_of(Event), table_of(Reply)

REASON = "erased"
#: A name that a sender made up may hold an address; names are replaced when they hold one of theirs.
_SHORTEST = 5


@dataclass
class AtProvider:
    """What a provider had of a person. ``unknown``: nobody knows whether it had them."""

    ids: list[str] = field(default_factory=list)
    in_flight: int = 0
    unknown: int = 0


def leave_journeys(session: Session, *, person: Person, now: datetime) -> None:
    """End the journeys that still run; whoever holds one is fenced off."""
    query = select(_e.c.id).where(
        _e.c.customer_id.in_(person.family), _e.c.status.in_(journeys.OPEN)
    )
    ids = list(session.execute(query.order_by(_e.c.id).with_for_update()).scalars())
    journeys.leave(session, enrolment_ids=ids, reason=REASON, now=now)


def lock_shards(session: Session, *, person: Person) -> None:
    """Hold the shards in which this person waits: their sender locks a shard before its people."""
    for run, number in sorted(_places(session, person)):
        campaign_people.lock_shards(session, campaign_run_id=run, number=number)


def _places(session: Session, person: Person) -> Counter[tuple[str, int]]:
    query = select(_p.c.campaign_run_id, _p.c.shard).where(
        _p.c.customer_id.in_(person.family), _p.c.outcome.is_(None)
    )
    return Counter((row.campaign_run_id, row.shard) for row in session.execute(query))


def leave_campaigns(session: Session, *, person: Person, now: datetime) -> None:
    """Cancel their place in runs that have not come to them; a run's counts still add up."""
    places = _places(session, person)
    session.execute(
        update(_p)
        .where(_p.c.customer_id.in_(person.family), _p.c.outcome.is_(None))
        .values(outcome="cancelled", reason=REASON, decided_at=now)
    )
    for (run, number), people in places.items():
        campaign_people.add_counts(
            session,
            campaign_run_id=run,
            number=number,
            counts={f"cancelled::{REASON}": people},
        )


def close_messages(session: Session, *, person: Person, now: datetime) -> None:
    """Close messages that were decided on and never handed over."""
    session.execute(
        update(_m)
        .where(_m.c.customer_id.in_(person.family), _m.c.status == MessageStatus.QUEUED)
        .values(status=MessageStatus.EXPIRED.value, reason=REASON, updated_at=now)
    )


def release_strays(session: Session, *, person: Person) -> None:
    """Let parked events of theirs wait for nothing more: there is nobody to write to."""
    session.execute(
        update(_events)
        .where(
            or_(
                _events.c.customer_id.in_(person.family),
                _events.c.id.in_(person.strays.get("events", ())),
            ),
            _events.c.status == "parked",
        )
        .values(status="guest")
    )


def blank_names(session: Session, *, person: Person) -> None:
    """Replace senders' ids of events that hold a key of theirs, such as an address."""
    words = {value.lower() for _, value in person.keys if len(value) >= _SHORTEST}
    words |= {address.lower() for address in person.addresses}
    mine = or_(
        _events.c.customer_id.in_(person.family),
        _events.c.id.in_(person.strays.get("events", ())),
    )
    for word in words:
        holds = func.lower(_events.c.message_id).contains(word, autoescape=True)
        session.execute(
            update(_events).where(mine, holds).values(message_id="erased:" + _events.c.id)
        )


def at_provider(
    session: Session, *, customer_ids: Collection[str], provider: str, since: datetime
) -> AtProvider:
    """Say what a provider was given of these customers, and what it took from them.

    A hand-over that began after ``since`` and is not settled may still be on its way.
    """
    sent = (
        select(_d.c.provider_id, _d.c.status, _d.c.started_at)
        .join(_m, _m.c.id == _d.c.message_id)
        .where(_m.c.customer_id.in_(customer_ids), _d.c.provider == provider)
    )
    found = AtProvider()
    for row in session.execute(sent):
        if row.provider_id:
            found.ids.append(row.provider_id)
        elif row.status == DeliveryStatus.SENDING and row.started_at > since:
            found.in_flight += 1
        elif row.status in (DeliveryStatus.SENDING, DeliveryStatus.UNKNOWN):
            found.unknown += 1
    wrote = select(_replies.c.provider_id).where(
        and_(_replies.c.customer_id.in_(customer_ids), _replies.c.provider == provider)
    )
    found.ids += session.execute(wrote).scalars()
    return found
