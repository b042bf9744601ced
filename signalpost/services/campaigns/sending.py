"""Sending a run, shard by shard: decide and intend in one transaction, hand over, settle.

A shard belongs to whoever holds its claim; every transaction asks for the claim first. A sender that
dies leaves its lease to run out: the next one marks what was on its way as unknown, and goes on with
exactly the people who are left.
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog
from sqlmodel import Session

from signalpost.domain.delivery import Handover, Outgoing, Provider
from signalpost.domain.vocabulary import Channel, DeliveryStatus
from signalpost.record import campaign_people, messages
from signalpost.record.base import new_id
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.deciding import Ended, decide
from signalpost.services.campaigns.people import Batch, Draft, Job, ShardClaim
from signalpost.services.campaigns.settling import settle
from signalpost.services.desk import Desk
from signalpost.services.journeys.claims import renewed
from signalpost.services.journeys.sending import SMS_VALID

log = structlog.get_logger(__name__)

__all__ = ["ShardClaim", "ShardReport", "claim_shards", "next_due", "send_shard"]


@dataclass
class ShardReport:
    """What a sender did with a shard until it let go. ``ended``: nobody due, paused, lost, stopped."""

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
        if not find(session, limit=1):
            return []  # the common case takes no write lock
    with desk.database.writing(courteous=True) as session:
        claims = []
        for row in find(session, limit=limit):
            claim = ShardClaim(new_id(), row["campaign_run_id"], row["campaign"], row["number"])
            campaign_people.lease(
                session,
                campaign_run_id=claim.campaign_run_id,
                number=claim.shard,
                claim_id=claim.id,
                until=now + desk.lease,
            )
            claims.append(claim)
        return claims


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
    report = ShardReport(claim)
    job = await asyncio.to_thread(_open, desk, claim)
    async with renewed(desk.lease, partial(_hold, desk, claim)):
        while not report.ended:
            if stop():
                report.ended = "stopped"
                break
            batch = await asyncio.to_thread(
                decide, desk, job, claim, now=desk.clock(), flow_run=run_id
            )
            if isinstance(batch, Ended):
                report.ended = batch.why
            elif batch.wait_until is not None:
                await _pause(desk, batch.wait_until)
            else:
                await _send(desk, job, claim, batch)
                report.batches += 1
                report.counts.update(_named(batch.counts))
    report.next_due = await asyncio.to_thread(_release, desk, claim)
    return report


def _open(desk: Desk, claim: ShardClaim) -> Job:
    """Read the run; what its last sender left half-way becomes unknown, never a second try."""
    with desk.database.writing(courteous=True) as session:
        if _still_held(session, desk, claim):
            lost = campaign_people.lost_messages(
                session, campaign_run_id=claim.campaign_run_id, number=claim.shard
            )
            messages.give_up_lost(session, message_ids=lost, now=desk.clock())
        return Job.load(desk, session, campaign_run_id=claim.campaign_run_id)


def _hold(desk: Desk, claim: ShardClaim) -> None:
    with desk.database.writing(courteous=True) as session:
        _still_held(session, desk, claim)


def _still_held(session: Session, desk: Desk, claim: ShardClaim) -> bool:
    status = campaign_people.still_held(
        session,
        campaign_run_id=claim.campaign_run_id,
        number=claim.shard,
        claim_id=claim.id,
        until=desk.clock() + desk.lease,
    )
    return status is not None


#: Seconds between looks at the clock while a pace is waited for: a virtual clock may jump.
_LOOK = 0.2


async def _pause(desk: Desk, until: datetime) -> None:
    left = (until - desk.clock()).total_seconds()
    await asyncio.sleep(min(max(left, 0.0), _LOOK))


async def _send(desk: Desk, job: Job, claim: ShardClaim, batch: Batch) -> None:
    job.kept_variants |= batch.kept  # committed now
    await asyncio.gather(
        *(_hand_over(desk.providers[channel], drafts) for channel, drafts in _loads(desk, batch))
    )
    await asyncio.to_thread(settle, desk, job, claim, batch, now=desk.clock())
    for person in batch.people:
        person.drafts = []  # a draft knows its person: left as a circle they would stay for long


def _loads(desk: Desk, batch: Batch) -> Iterator[tuple[Channel, list[Draft]]]:
    """Cut the messages into loads of one channel and wording that a provider takes in one call."""
    alike: dict[tuple[Channel, str], list[Draft]] = defaultdict(list)
    for draft in batch.drafts:
        alike[draft.channel, draft.variant.id].append(draft)
    for (channel, _), same in alike.items():
        size = desk.providers[channel].max_batch
        for start in range(0, len(same), size):
            yield channel, same[start : start + size]


async def _hand_over(provider: Provider, drafts: list[Draft]) -> None:
    try:
        handovers = await provider.hand_over([_outgoing(draft) for draft in drafts])
    except Exception as error:
        log.exception("delivery.provider_raised", provider=provider.name)
        detail = f"the adapter raised {type(error).__name__}"
        handovers = [_unknown(draft, provider.name, detail) for draft in drafts]
    by_delivery = {handover.delivery_id: handover for handover in handovers}
    for draft in drafts:
        draft.handover = by_delivery.get(draft.delivery_id) or _unknown(
            draft, provider.name, "the provider gave no answer for this one"
        )


def _unknown(draft: Draft, provider: str, detail: str) -> Handover:
    return Handover(
        delivery_id=draft.delivery_id,
        status=DeliveryStatus.UNKNOWN,
        provider=provider,
        detail=detail,
    )


def _outgoing(draft: Draft) -> Outgoing:
    return Outgoing(
        delivery_id=draft.delivery_id,
        message_id=draft.message_id,
        customer_id=draft.person.root_id,
        channel=draft.channel,
        address=draft.address,
        variant_id=draft.variant.id,
        parts=draft.variant.parts,
        slots=draft.slots,
        message=draft.variant.message,
        purpose=draft.purpose,
        sender=draft.purpose.value,
        valid_for=SMS_VALID.get(draft.purpose),
        unsubscribe_url=draft.unsubscribe_url,
    )


def _release(desk: Desk, claim: ShardClaim) -> datetime | None:
    with desk.database.writing(courteous=True) as session:
        due = campaign_people.release(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            claim_id=claim.id,
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
