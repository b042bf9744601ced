"""Settling a batch: what the answers mean for its people, and for the run's counts."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlmodel import Session

from signalpost.domain import retrying
from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import DeliveryStatus, FaultClass
from signalpost.record import campaign_people, campaigns, in_flight, messages
from signalpost.record.campaign_people import Later
from signalpost.services import protocol
from signalpost.services.campaigns import launching
from signalpost.services.campaigns.people import Batch, Draft, Job, Recipient, ShardClaim
from signalpost.services.desk import Desk


def settle(desk: Desk, job: Job, claim: ShardClaim, batch: Batch, *, now: datetime) -> None:
    """Commit how the hand-overs of a batch ended, and who needs another round."""
    if not batch.drafts:
        return
    with protocol.transaction(
        desk, writing="send.settling", written="send.settled", courteous=True
    ) as session:
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
        in_flight.landed(
            session,
            campaign_run_id=claim.campaign_run_id,
            number=claim.shard,
            batch=batch.in_flight,
        )
        protocol.settle(session, batch.drafts, now=now)
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
    ours = FaultClass.OURS
    for draft in drafts:
        if draft.handover is not None and draft.handover.fault is ours:
            return draft.handover.detail or "the provider refuses our request"
    return None


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
            wait = max(_wait(person, one) for one in drafts)
            # The first round counts in any case: there is a message of theirs on the record now.
            counts = person.tries == 0 or any(one.tried for one in _answers(drafts))
            later.append(
                Later(person.root_id, now + wait, _notes(drafts), person.side.arm, tried=counts)
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
    if not left and not person.reached:
        return True
    person.drafts = left
    batch.count(person, "sent", "allowed")
    return False


def _failed(batch: Batch) -> dict[Recipient, list[Draft]]:
    failed: dict[Recipient, list[Draft]] = defaultdict(list)
    for draft in batch.drafts:
        if draft.handover is not None and draft.handover.status in _NOT_TAKEN:
            failed[draft.person].append(draft)
    return failed


def _answers(drafts: Sequence[Draft]) -> list[Handover]:
    return [draft.handover for draft in drafts if draft.handover is not None]


_NOT_TAKEN = frozenset({DeliveryStatus.REJECTED, DeliveryStatus.RETRY})


def _given_up(job: Job, person: Recipient, took: Handover) -> str | None:
    """Say why a person gets no other round; None: they do."""
    if took.fault is FaultClass.OURS or not took.tried:
        return None  # nothing is wrong with this person
    if took.status is DeliveryStatus.RETRY:
        too_often = person.tries + 1 >= retrying.MOST_TRIES
        return f"provider_refuses:{took.code or took.status.value}" if too_often else None
    others = any(len(chain) > 1 for chain in job.campaign.via)
    if others and person.tries + 1 < retrying.MOST_TRIES:
        return None  # another channel of a chain; the gate says which, or why there is none
    return f"refused:{took.code or 'rejected'}"


def _wait(person: Recipient, draft: Draft) -> timedelta:
    """A channel that put it off is asked again after a while; another channel is tried at once."""
    took = draft.handover
    if took is None or took.status is not DeliveryStatus.RETRY:
        return timedelta()
    if not took.tried:
        return took.retry_after or timedelta()
    return retrying.wait(tries=person.tries + 1, seed=draft.message_id, asked=took.retry_after)


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
