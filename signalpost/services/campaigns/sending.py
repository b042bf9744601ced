"""Sending a run, shard by shard, by the send protocol (``services.protocol``).

What is a campaign's own: a thousand people are decided and intended in one transaction (``deciding``),
and the claim is on a shard. A sender that dies leaves its lease to run out: the next one marks what was
on its way as unknown, and goes on with exactly the people who are left.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlmodel import Session
from structlog.contextvars import bound_contextvars

from signalpost.domain.delivery import CIRCUIT_OPEN
from signalpost.domain.vocabulary import FaultClass
from signalpost.record import campaign_people, in_flight, messages
from signalpost.record.base import new_id
from signalpost.services import protocol
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.deciding import Ended, decide
from signalpost.services.campaigns.people import Batch, Draft, Job, ShardClaim
from signalpost.services.campaigns.settling import settle
from signalpost.services.desk import Desk
from signalpost.services.protocol import Fence
from signalpost.telemetry import traces

__all__ = ["ShardClaim", "ShardReport", "claim_shards", "next_due", "send_shard"]


@dataclass
class ShardReport:
    """What a sender did with a shard until it let go.

    ``ended``: nobody due, paused, lost, stopped, or provider: it takes nothing for a while.
    """

    claim: ShardClaim
    ended: str = ""
    batches: int = 0
    counts: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(outcome, channels, reason) → people."""
    next_due: datetime | None = None  #: when somebody in the shard is due again


def claim_shards(
    desk: Desk,
    *,
    now: datetime,
    limit: int,
    except_campaigns: Collection[str] = (),
    campaign_run_id: str | None = None,
    shard: int | None = None,
) -> list[ShardClaim]:
    """Claim shards in which somebody is due and on which nobody works, the longest due first."""
    find = partial(
        campaign_people.due_shards,
        now=now,
        except_campaigns=except_campaigns,
        campaign_run_id=campaign_run_id,
        number=shard,
    )
    with desk.database.reading() as session:
        if not find(session, limit=1, lock=False):
            return []  # the common case takes no write lock
    with protocol.transaction(
        desk, writing="campaign.claiming", written="campaign.claimed", courteous=True
    ) as session:
        claims = []
        for row in find(session, limit=limit):
            claim = ShardClaim(new_id(), row["campaign_run_id"], row["campaign"], row["number"])
            if row["claim_id"] is not None:
                _give_up(session, claim, now)
            campaign_people.lease(
                session,
                campaign_run_id=claim.campaign_run_id,
                number=claim.shard,
                claim_id=claim.id,
                until=now + desk.lease,
            )
            claims.append(claim)
        return claims


def _give_up(session: Session, claim: ShardClaim, now: datetime) -> None:
    """What a shard's last sender left half-way becomes unknown, never a second try."""
    lost = in_flight.take(session, campaign_run_id=claim.campaign_run_id, number=claim.shard)
    messages.give_up_lost(session, message_ids=lost, now=now)


def next_due(session: Session) -> datetime | None:
    """Give when there is next a shard to claim, None: no run waits for anything."""
    return campaign_people.next_due(session)


async def send_shard(
    desk: Desk,
    *,
    claim: ShardClaim,
    run_id: str | None,
    stop: Callable[[], bool] = lambda: False,
) -> ShardReport:
    """Work through a shard until nobody in it is due, the run is paused, or the claim is lost.

    ``run_id``: the Prefect flow run's, kept with each message. ``stop`` is asked between batches.
    """
    with bound_contextvars(  # in every log line
        claim=claim.id,
        run=run_id,
        campaign=claim.campaign,
        campaign_run=claim.campaign_run_id,
        shard=claim.shard,
    ):
        return await _work_through(desk, claim, run_id, stop)


async def _work_through(
    desk: Desk, claim: ShardClaim, run_id: str | None, stop: Callable[[], bool]
) -> ShardReport:
    report = ShardReport(claim)
    fence = Fence(clock=desk.clock, lease=desk.lease)
    extend = partial(_extend, desk, claim)
    job = await desk.database.in_bulk(_open, desk, claim, fence)
    not_before = None
    async with protocol.kept_alive(fence, extend):
        while not report.ended:
            if stop():
                report.ended = "stopped"
                break
            now, began = desk.clock(), time.monotonic()
            with _traced("decision", claim):
                batch = await desk.database.in_bulk(
                    decide, desk, job, claim, now=now, flow_run=run_id
                )
            if isinstance(batch, Ended):
                report.ended = batch.why
            elif batch.wait_until is not None:
                await _pause(desk, batch.wait_until)
            else:
                fence.renewed(now=now, began=began)  # deciding has extended the lease as it began
                with _traced("campaign.batch", claim):
                    held_for = await _send(desk, job, claim, batch, fence)
                report.batches += 1
                report.counts.update(_named(batch.counts))
                if held_for is not None:  # else all who are left would be asked about for nothing
                    report.ended, not_before = "provider", desk.clock() + held_for
    report.next_due = await desk.database.in_bulk(_release, desk, claim, not_before)
    return report


def _traced(what: str, claim: ShardClaim) -> AbstractContextManager[None]:
    """Put a part of a run's work into the run's trace."""
    return traces.span(what, causes=(claim.campaign_run_id,), claim=claim.id, shard=claim.shard)


def _open(desk: Desk, claim: ShardClaim, fence: Fence) -> Job:
    """Read the run, if its shard is still ours."""
    with protocol.transaction(
        desk, writing=None, written="campaign.taken_over", courteous=True
    ) as session:
        if not _still_held(session, claim, until=desk.clock() + desk.lease):
            fence.lose()
        return Job.load(desk, session, campaign_run_id=claim.campaign_run_id)


def _extend(desk: Desk, claim: ShardClaim, until: datetime) -> bool:
    with desk.database.writing(courteous=True) as session:
        return _still_held(session, claim, until=until)


def _still_held(session: Session, claim: ShardClaim, *, until: datetime) -> bool:
    status = campaign_people.still_held(
        session,
        campaign_run_id=claim.campaign_run_id,
        number=claim.shard,
        claim_id=claim.id,
        until=until,
    )
    return status is not None


#: Seconds between looks at the clock while a pace is waited for: a virtual clock may jump.
_LOOK = 0.2


async def _pause(desk: Desk, until: datetime) -> None:
    left = (until - desk.clock()).total_seconds()
    await asyncio.sleep(min(max(left, 0.0), _LOOK))


async def _send(
    desk: Desk, job: Job, claim: ShardClaim, batch: Batch, fence: Fence
) -> timedelta | None:
    """Send a batch; gives how long a provider takes nothing, when everything was held back."""
    job.kept_variants |= batch.kept  # committed now
    await protocol.hand_over(
        desk,
        batch.drafts,
        fence=fence,
        still_held=partial(_held_now, desk, claim),
        beside=desk.database.in_bulk,
    )
    await protocol.record_is_back(desk, beside=desk.database.in_bulk)
    await desk.database.in_bulk(settle, desk, job, claim, batch, now=desk.clock())
    held_for = _held_for(batch.drafts)
    for person in batch.people:
        person.drafts = []  # a draft knows its person: left as a circle they would stay for long
    return held_for


def _held_for(drafts: Sequence[Draft]) -> timedelta | None:
    waits = [
        took.retry_after
        for one in drafts
        if (took := one.handover)
        and took.code == CIRCUIT_OPEN
        and took.fault is FaultClass.TRANSIENT
        and took.retry_after
    ]
    return min(waits) if waits and len(waits) == len(drafts) else None


def _held_now(desk: Desk, claim: ShardClaim, drafts: Sequence[Draft]) -> Sequence[Draft]:
    """Ask once more, since the run may have been cancelled, or taken over, after the intent."""
    with desk.database.reading() as session:
        held = campaign_people.held(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            claim_id=claim.id,
            now=desk.clock(),
        )
    return drafts if held else ()


def _release(desk: Desk, claim: ShardClaim, not_before: datetime | None = None) -> datetime | None:
    with protocol.transaction(
        desk, writing="campaign.releasing", written="campaign.released", courteous=True
    ) as session:
        due = campaign_people.release(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            claim_id=claim.id,
            not_before=not_before,
        )
        if due is None:
            launching.end_when_over(
                session, campaign_run_id=claim.campaign_run_id, now=desk.clock()
            )
        return due


def _named(counts: Counter[str]) -> Counter[tuple[str, str, str]]:
    named: Counter[tuple[str, str, str]] = Counter()
    for key, number in counts.items():
        outcome, channels, reason = key.split(":", 2)
        named[outcome, channels, reason] += number
    return named
