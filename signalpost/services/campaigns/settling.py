"""Settling a batch: how its hand-overs ended, those that ended alike in one statement."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, MessageStatus
from signalpost.record import campaign_people, campaigns, consents, messages
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
        # Without the claim the run is locked, as by whoever ends it, and before anything else is.
        run = (
            None
            if held
            else campaigns.run(session, campaign_run_id=claim.campaign_run_id, lock=True)
        )
        for ending, drafts in _alike(batch.drafts).items():
            _settle_alike(session, ending, drafts, now)
        _fill_inboxes(session, batch.drafts, now)
        _suppress(session, batch.drafts, now)
        if held:
            _another_round(session, claim, batch, _failed(batch), job, now)
        elif run is not None:
            _settle_late(session, job, claim, batch, run["status"], now)
    if (why := _our_fault(batch.drafts)) is not None:
        with desk.database.writing(courteous=True) as session:
            launching.pause_for_fault(
                session, campaign_run_id=claim.campaign_run_id, why=why, now=now
            )


def _settle_late(
    session: Session, job: Job, claim: ShardClaim, batch: Batch, status: str, now: datetime
) -> None:
    """Settle without the claim: the run was cancelled meanwhile, or another sender goes on with it.

    That one has marked this batch as unknown; of those to whom nothing was sent we know better.
    """
    if status == "cancelled":
        messages.close_campaign(session, campaign_run_id=claim.campaign_run_id, now=now)
        messages.withdraw_campaign(session, campaign_run_id=claim.campaign_run_id, now=now)
        return
    campaign_people.lock_shards(session, campaign_run_id=claim.campaign_run_id, number=claim.shard)
    failed = {p: drafts for p, drafts in _failed(batch).items() if p.root_id in batch.counted}
    later = _another_round(session, claim, batch, failed, job, now)
    if later:
        campaign_people.due_again(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            at=min(one.due_at for one in later),
        )
        launching.go_on_after_all(session, campaign_run_id=claim.campaign_run_id, now=now)


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
    session: Session,
    claim: ShardClaim,
    batch: Batch,
    failed: Mapping[Recipient, list[Draft]],
    job: Job,
    now: datetime,
) -> list[Later]:
    """Have those come back whom nothing was sent to after all, or set them aside."""
    before = Counter(batch.counts)
    later: list[Later] = []
    aside: dict[str, list[Recipient]] = defaultdict(list)
    for person, drafts in failed.items():
        given_up = [_given_up(job, person, one) for one in _answers(drafts)]
        if None in given_up:
            batch.uncount(person)
            wait = max(_wait(person, one) for one in _answers(drafts))
            later.append(
                Later(person.root_id, now + wait, _notes(drafts), person.side.arm, tried=True)
            )
            continue
        why = str(given_up[0])
        messages.close_unsent(session, rows=[(d.message_id, why) for d in drafts], now=now)
        if person.hold_until is None and _nothing_else(batch, person, drafts):
            batch.count(person, "set_aside", why)
            aside[why].append(person)
    campaign_people.come_back(session, campaign_run_id=claim.campaign_run_id, people=later)
    for why, people in aside.items():
        _set_aside(session, claim, people, why, now)
    campaign_people.add_counts(
        session,
        campaign_run_id=claim.campaign_run_id,
        number=claim.shard,
        counts={key: n - before[key] for key, n in batch.counts.items() if n != before[key]},
    )
    return later


def _nothing_else(batch: Batch, person: Recipient, failed: Sequence[Draft]) -> bool:
    """Say whether nothing reached them by another channel either; else they count by that one."""
    batch.uncount(person)
    left = [draft for draft in person.drafts if draft not in failed]
    if not left and not person.done:
        return True
    person.drafts = left
    batch.count(person, "sent", "allowed")
    return False


def _failed(batch: Batch) -> dict[Recipient, list[Draft]]:
    failed: dict[Recipient, list[Draft]] = defaultdict(list)
    for draft in batch.drafts:
        if draft.handover is not None and _not_taken(draft.handover):
            failed[draft.person].append(draft)
    return failed


def _answers(drafts: Sequence[Draft]) -> list[Handover]:
    return [draft.handover for draft in drafts if draft.handover is not None]


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


def _notes(drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    return [
        {"channel": d.channel, "outcome": "again", "reason": d.handover.code or d.handover.status}
        for d in drafts
        if d.handover is not None
    ]


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
