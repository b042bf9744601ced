"""One more attempt for what a provider took and could not deliver: the handset was off, for one.

Only once, only while it is timely, never for marketing, and only if the gate still allows it. It goes by
the send protocol like any other attempt: its own row, its intent first.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.content import Variant
from signalpost.domain.delivery import Handover
from signalpost.domain.gate import Proposal, judge
from signalpost.domain.retrying import may_once_more
from signalpost.domain.vocabulary import Channel, Decision, Purpose
from signalpost.errors import NotFoundError
from signalpost.record import decisions, once_more
from signalpost.services import protocol
from signalpost.services.desk import Desk
from signalpost.services.journeys import gate
from signalpost.services.protocol import Fence

log = structlog.get_logger(__name__)

#: A handset that was off is given a moment.
AFTER = timedelta(minutes=1)
#: How far back a worker looks that has just begun.
_LOOK_BACK = timedelta(minutes=10)
_MOST = 200


@dataclass(eq=False)
class _Draft:
    """A message as it was sent the first time; what ``protocol.Draft`` asks for."""

    message_id: str
    customer_id: str
    channel: Channel
    purpose: Purpose
    topic: str
    address: str
    variant: Variant | None
    slots: Mapping[str, str]
    facts: Mapping[str, Any]
    delivery_id: str = ""
    unsubscribe_url: str | None = None
    handover: Handover | None = None
    maybe_sent: bool = False  #: it was surely sent, and surely did not arrive


@dataclass
class OnceMore:
    """Looks for them, and remembers up to when it has looked."""

    codes: Collection[str]
    purposes: Collection[Purpose]
    looked_to: datetime | None = None

    async def look(self, desk: Desk, *, now: datetime) -> int:
        """Look once; gives how many went out again."""
        since, until = self.looked_to or now - AFTER - _LOOK_BACK, now - AFTER
        fence = Fence(clock=desk.clock, lease=desk.lease, now=now)
        drafts = await asyncio.to_thread(self._intend, desk, since, until, now)
        if drafts:
            await protocol.hand_over(desk, drafts, fence=fence, still_held=lambda all_: all_)
            await asyncio.to_thread(_settle, desk, drafts)
            log.info("delivery.once_more", messages=len(drafts))
        if len(drafts) < _MOST:
            self.looked_to = until
        return len(drafts)

    def _intend(self, desk: Desk, since: datetime, until: datetime, now: datetime) -> list[_Draft]:
        found = {"codes": self.codes, "purposes": self.purposes, "since": since, "until": until}
        with desk.database.reading() as session:
            if not once_more.undelivered(session, **found, limit=1):
                return []  # the common case takes no write lock
        with desk.database.writing() as session:
            rows = once_more.undelivered(session, **found, limit=_MOST)
            drafts = [draft for row in rows if (draft := _allowed(session, desk, row, now))]
            ids = [draft.message_id for draft in drafts]
            taken = once_more.take_up(session, message_ids=ids, now=now)
            going = [draft for draft in drafts if draft.message_id in taken]
            going = protocol.intend(session, desk, going, run_id=None, now=now)
            _note(session, [row for row in rows if row["id"] in taken], now)
            return going


def _allowed(session: Session, desk: Desk, row: RowMapping, now: datetime) -> _Draft | None:
    """Give the message as it was, if it is timely, has the same words, and the gate allows it now."""
    purpose, channel = Purpose(row["purpose"]), Channel(row["channel"])
    timely = may_once_more(
        purpose=purpose, created_at=row["created_at"], expires_at=row["expires_at"], now=now
    )
    variant = _variant(desk, row, channel)
    if not timely or variant is None:
        return None
    spec = desk.catalogue[row["message"]]
    proposal = Proposal(
        message=row["message"],
        purpose=purpose,
        topic=row["topic"],
        channel=channel,
        quiet_hours=spec.quiet_hours,
        expires_at=row["expires_at"],
        cause=row["enrolment_id"],
    )
    who = _Person(row["root_id"], row["zone"])
    standing = gate.standings(
        session,
        people=[who],
        spec=spec,
        policy=desk.policy,
        default_zone=desk.default_zone,
        now=now,
    )[who.root_id]
    verdict = judge(proposal, standing, desk.policy, now)
    if verdict.decision is not Decision.SEND or verdict.address != row["address"]:
        return None
    return _Draft(
        message_id=row["id"],
        customer_id=row["root_id"],
        channel=channel,
        purpose=purpose,
        topic=row["topic"],
        address=row["address"],
        variant=variant,
        slots=row["slots"],
        facts=row["facts"],
    )


@dataclass
class _Person:
    root_id: str
    zone: str | None


def _variant(desk: Desk, row: RowMapping, channel: Channel) -> Variant | None:
    try:
        found = desk.catalogue.variant(row["message"], channel, row["locale"])
    except NotFoundError:
        return None
    return found if found.id == row["variant_id"] else None


def _note(session: Session, rows: Sequence[RowMapping], now: datetime) -> None:
    decisions.write(
        session,
        rows=[
            decisions.decision(
                customer_id=row["customer_id"],
                enrolment_id=row["enrolment_id"],
                message_id=row["id"],
                kind="gate",
                subject=row["message"],
                channel=row["channel"],
                outcome=Decision.SEND,
                reason="once_more",
                at=now,
            )
            for row in rows
        ],
    )


def _settle(desk: Desk, drafts: Sequence[_Draft]) -> None:
    """Commit how it ended; what was not taken this time is given up."""
    with protocol.transaction(desk, writing="send.settling", written="send.settled") as session:
        given_up = {draft.message_id for draft in drafts}
        protocol.settle(session, drafts, now=desk.clock(), given_up=given_up)
