"""Settling a batch: how its hand-overs ended, those that ended alike in one statement."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, MessageStatus
from signalpost.record import campaign_people, consents, messages
from signalpost.record.base import new_id
from signalpost.record.campaign_people import Later
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.people import Batch, Draft, Job, Recipient, ShardClaim
from signalpost.services.desk import Desk
from signalpost.services.journeys.claims import SET_ASIDE_AFTER, backoff
from signalpost.services.journeys.sending import BECOMES

_Ending = tuple[
    DeliveryStatus, str | None, FaultClass | None, str | None, str | None, MessageStatus, str | None
]


def settle(desk: Desk, job: Job, claim: ShardClaim, batch: Batch, *, now: datetime) -> None:
    """Commit how the hand-overs of a batch ended, and who needs another round."""
    if not batch.drafts:
        return
    with desk.database.writing(courteous=True) as session:
        held = campaign_people.still_held(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            claim_id=claim.id,
            until=now + desk.lease,
        )
        for ending, drafts in _alike(batch.drafts).items():
            _settle_alike(session, ending, drafts, now)
        _fill_inboxes(session, batch.drafts, now)
        _suppress(session, batch.drafts, now)
        if (
            held is not None
        ):  # else whoever holds the shard now has marked them unknown, and goes on
            _another_round(session, job, claim, batch, now)
    if (why := _our_fault(batch.drafts)) is not None:
        with desk.database.writing(courteous=True) as session:
            launching.pause_for_fault(
                session, campaign_run_id=claim.campaign_run_id, why=why, now=now
            )


def _our_fault(drafts: Sequence[Draft]) -> str | None:
    for draft in drafts:
        if draft.handover is not None and draft.handover.fault is FaultClass.OURS:
            return draft.handover.detail or "the provider refuses our request"
    return None


def _alike(drafts: Sequence[Draft]) -> dict[_Ending, list[Draft]]:
    found: dict[_Ending, list[Draft]] = defaultdict(list)
    for draft in drafts:
        took = draft.handover
        if took is None:
            raise RuntimeError("a batch was settled before it was handed over")
        status = _status(draft, took)
        reason = took.code or (took.status.value if status is MessageStatus.UNKNOWN else None)
        ending = (took.status, took.provider_id, took.fault, took.code, took.detail, status, reason)
        found[ending].append(draft)
    return found


def _status(draft: Draft, took: Handover) -> MessageStatus:
    if _again_later(took):
        return MessageStatus.QUEUED
    if took.status is DeliveryStatus.ACCEPTED and draft.channel is Channel.IN_APP:
        return MessageStatus.DELIVERED  # the inbox is ours: it is there
    return BECOMES[took.status]


def _again_later(took: Handover) -> bool:
    """Whether the message surely was not processed, and nothing is wrong with it itself."""
    return took.fault is FaultClass.OURS or took.status is DeliveryStatus.RETRY


def _settle_alike(
    session: Session, ending: _Ending, drafts: Sequence[Draft], now: datetime
) -> None:
    status, provider_id, fault, code, detail, message_status, reason = ending
    messages.settle_alike(
        session,
        delivery_ids=[draft.delivery_id for draft in drafts],
        delivery={
            "status": status.value,
            "provider_id": provider_id,
            "fault": fault,
            "code": code,
            "detail": detail,
        },
        message_ids=[draft.message_id for draft in drafts],
        message={"status": message_status.value, "reason": reason},
        now=now,
    )


def _another_round(
    session: Session, job: Job, claim: ShardClaim, batch: Batch, now: datetime
) -> None:
    """Have those come back whom nothing was sent to after all, or set them aside."""
    failed = [draft for draft in batch.drafts if draft.handover and _not_taken(draft.handover)]
    if not failed:
        return
    counts: Counter[str] = Counter()
    later, aside = [], defaultdict(list)
    for person in {draft.person.root_id: draft.person for draft in failed}.values():
        took = next(d.handover for d in failed if d.person is person)
        counts[batch.counted.pop(person.root_id, "")] -= 1
        if (why := _given_up(job, person, took)) is None:
            wait = _wait(person, took)
            why_again = [_note(person, took)]
            later.append(Later(person.root_id, now + wait, why_again, person.side.arm, tried=True))
        else:
            aside[why].append(person)
            batch.count(person, "set_aside", why)
            counts[batch.counted[person.root_id]] += 1
    campaign_people.come_back(session, campaign_run_id=claim.campaign_run_id, people=later)
    for why, people in aside.items():
        _set_aside(session, claim, people, why, now)
    counts.pop("", None)
    campaign_people.add_counts(
        session, campaign_run_id=claim.campaign_run_id, number=claim.shard, counts=counts
    )
    batch.counts.update(counts)


def _not_taken(took: Handover) -> bool:
    return took.status is DeliveryStatus.REJECTED or _again_later(took)


def _given_up(job: Job, person: Recipient, took: Handover) -> str | None:
    """Say why a person gets no other round; None: they do."""
    if took.fault is FaultClass.OURS:
        return None  # the run is paused; nothing is wrong with this person
    if took.status is DeliveryStatus.RETRY:
        too_often = person.tries + 1 >= SET_ASIDE_AFTER
        return f"provider_refuses:{took.code or took.status.value}" if too_often else None
    others = any(len(chain) > 1 for chain in job.campaign.via)
    if others and person.tries + 1 < SET_ASIDE_AFTER:
        return None  # another channel of a chain; the gate says which, or why there is none
    return f"refused:{took.code or 'rejected'}"


def _wait(person: Recipient, took: Handover) -> timedelta:
    """A channel that put it off is asked again after a while; another channel is tried at once."""
    if took.status is DeliveryStatus.RETRY:
        return took.retry_after or backoff(person.tries + 1)
    return timedelta()


def _note(person: Recipient, took: Handover) -> dict[str, Any]:
    channel = person.drafts[0].channel if person.drafts else None
    return {"channel": channel, "outcome": "again", "reason": took.code or took.status.value}


def _set_aside(
    session: Session, claim: ShardClaim, people: Sequence[Recipient], why: str, now: datetime
) -> None:
    by_arm: dict[str | None, list[str]] = defaultdict(list)
    for person in people:
        by_arm[person.side.arm].append(person.root_id)
    for arm, ids in by_arm.items():
        campaign_people.decide(
            session,
            campaign_run_id=claim.campaign_run_id,
            people=ids,
            outcome="set_aside",
            reason=why,
            arm=arm,
            verdicts=[],
            now=now,
        )


def _fill_inboxes(session: Session, drafts: Sequence[Draft], now: datetime) -> None:
    messages.put_in_inbox(
        session,
        rows=[
            {"message_id": d.message_id, "customer_id": d.person.root_id, "created_at": now}
            for d in drafts
            if d.channel is Channel.IN_APP
            and d.handover
            and d.handover.status is DeliveryStatus.ACCEPTED
        ],
    )


def _suppress(session: Session, drafts: Sequence[Draft], now: datetime) -> None:
    """Keep what a provider told us about an address: opted out there, or no such number."""
    consents.add_suppressions(
        session,
        [
            {
                "id": new_id(),
                "channel": d.channel.value,
                "address": d.address,
                "scope": "all",
                "reason": d.handover.suppress,
                "active": True,
                "source": d.handover.provider,
                "at": now,
            }
            for d in drafts
            if d.handover and d.handover.suppress
        ],
    )
