"""The list of what waits for an operator, whichever way it gave up."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session

from signalpost.domain.reason_words import reason as in_words
from signalpost.record import enrolments, overview, redriving

MOST = 200  #: of each kind


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """One thing that gave up. ``id`` is what redriving it takes; there is no address in here."""

    id: str
    kind: str  #: person | event | hook | campaign
    name: str  #: the journey, event, hook or campaign
    reason: str
    customer_id: str | None
    since: datetime | None

    @property
    def says(self) -> str:
        """The reason in words."""
        return in_words(self.reason, {})


def waiting(session: Session, *, limit: int = MOST) -> list[Waiting]:
    """Give everything that waits for an operator, at most ``limit`` of each kind."""
    return [*_people(session, limit), *_events(session, limit), *_others(session, limit)]


def _people(session: Session, limit: int) -> Iterator[Waiting]:
    for row in enrolments.set_aside(session, limit=limit):
        yield Waiting(
            id=row["id"],
            kind="person",
            name=row["journey"],
            reason=row["reason"] or "something failed",
            customer_id=row["customer_id"],
            since=row["moved_at"],
        )


def _events(session: Session, limit: int) -> Iterator[Waiting]:
    for event in overview.events(session, status="parked", limit=limit):
        yield Waiting(
            id=event.id,
            kind="event",
            name=event.name,
            reason=event.reason or "it waits",
            customer_id=event.customer_id,
            since=event.received_at,
        )


def _others(session: Session, limit: int) -> Iterator[Waiting]:
    for row in redriving.failed_hooks(session, limit=limit):
        yield Waiting(
            id=row["id"],
            kind="hook",
            name=row["hook"],
            reason=row["detail"] or "it failed",
            customer_id=row["customer_id"],
            since=row["settled_at"] or row["started_at"],
        )
    for row in redriving.set_aside_in_campaigns(session, limit=limit):
        yield Waiting(
            id=person_id(row["campaign_run_id"], row["customer_id"]),
            kind="campaign",
            name=row["campaign"],
            reason=row["reason"] or "something failed",
            customer_id=row["customer_id"],
            since=row["decided_at"],
        )


def person_id(campaign_run_id: str, customer_id: str) -> str:
    """Give the id by which a person of a campaign's run is redriven."""
    return f"{campaign_run_id}:{customer_id}"
