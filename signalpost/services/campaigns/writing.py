"""Writing a batch down: the intents, everybody's decision, and the counts that progress is read from."""

import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from signalpost.domain.text import parts_to_json
from signalpost.domain.vocabulary import DeliveryStatus, MessageStatus
from signalpost.record import campaign_people, messages
from signalpost.record.base import table_of
from signalpost.record.bulk import insert_columns
from signalpost.record.campaign_people import Later
from signalpost.services.campaigns.people import Batch, Draft, Job, Recipient, ShardClaim

_MESSAGES = table_of(messages.Message)
_DELIVERIES = table_of(messages.Delivery)


def write(
    session: Session,
    job: Job,
    batch: Batch,
    claim: ShardClaim,
    *,
    now: datetime,
    flow_run: str | None,
) -> None:
    """Write what was decided, in the transaction that decided it."""
    _keep_variants(session, job, batch, now)
    _intend_new(session, job, [d for d in batch.drafts if not d.again], now, flow_run)
    _intend_again(session, job, [d for d in batch.drafts if d.again], now, flow_run)
    _decide_people(session, job, batch, now)
    _close_put_off(session, batch, now)
    campaign_people.add_counts(
        session, campaign_run_id=claim.campaign_run_id, number=claim.shard, counts=batch.counts
    )


def _keep_variants(session: Session, job: Job, batch: Batch, now: datetime) -> None:
    new = {d.variant.id: d.variant for d in batch.drafts if d.variant.id not in job.kept_variants}
    messages.keep_variants(
        session,
        rows=[
            {
                "id": variant.id,
                "message": variant.message,
                "channel": variant.channel.value,
                "locale": variant.locale,
                "parts": parts_to_json(variant.parts),
                "first_used_at": now,
            }
            for variant in new.values()
        ],
    )
    # Kept only once this is committed; until then a rolled-back batch writes them again.
    batch.kept = set(new)


def _intend_new(
    session: Session, job: Job, drafts: Sequence[Draft], now: datetime, flow_run: str | None
) -> None:
    if not drafts:
        return
    specs = [job.spec(d.variant.message) for d in drafts]
    insert_columns(
        session,
        _MESSAGES,
        rows=len(drafts),
        columns={
            "id": [d.message_id for d in drafts],
            "idempotency_key": [d.key for d in drafts],
            "customer_id": [d.person.root_id for d in drafts],
            "campaign_run_id": job.run.id,
            "message": [spec.name for spec in specs],
            "version": [spec.version for spec in specs],
            "channel": [d.channel.value for d in drafts],
            "address": [d.address for d in drafts],
            "purpose": [spec.purpose.value for spec in specs],
            "topic": job.campaign.topic,
            "locale": [d.variant.locale for d in drafts],
            "status": MessageStatus.SENDING.value,
            "facts": [d.person.facts for d in drafts] if job.personal else "{}",
            "variant_id": [d.variant.id for d in drafts],
            "slots": [d.slots for d in drafts],
            "run_id": flow_run,
            "created_at": now,
            "updated_at": now,
            "expires_at": [d.expires_at for d in drafts],
        },
    )
    insert_columns(
        session,
        _DELIVERIES,
        rows=len(drafts),
        columns={
            "id": [d.delivery_id for d in drafts],
            "message_id": [d.message_id for d in drafts],
            "attempt": 1,
            "provider": [job.desk.providers[d.channel].name for d in drafts],
            "status": DeliveryStatus.SENDING.value,
            "started_at": now,
        },
    )


def _intend_again(
    session: Session, job: Job, drafts: Sequence[Draft], now: datetime, flow_run: str | None
) -> None:
    """Write the next attempt of messages that no provider has taken yet."""
    if not drafts:
        return
    made = messages.attempts(session, message_ids=[d.message_id for d in drafts])
    messages.intend(
        session,
        messages=[
            {
                "row_id": d.message_id,
                "new_version": job.spec(d.variant.message).version,
                "new_address": d.address,
                "new_variant": d.variant.id,
                "new_locale": d.variant.locale,
                "new_slots": d.slots,
                "new_facts": d.person.facts,
                "new_run": flow_run,
                "new_at": now,
            }
            for d in drafts
        ],
        deliveries=[
            {
                "id": d.delivery_id,
                "message_id": d.message_id,
                "attempt": made.get(d.message_id, 0) + 1,
                "provider": job.desk.providers[d.channel].name,
                "status": DeliveryStatus.SENDING.value,
                "started_at": now,
            }
            for d in drafts
        ],
    )


def _decide_people(session: Session, job: Job, batch: Batch, now: datetime) -> None:
    """Write decisions, those that are alike in one statement; who has to wait comes back."""
    alike: dict[tuple[str, str, str | None, str], list[str]] = defaultdict(list)
    later: list[Later] = []
    for person in batch.people:
        if person.hold_until is not None:
            tried = bool(person.drafts)  # by another chain, which does not wait
            later.append(
                Later(person.root_id, person.hold_until, person.verdicts, person.side.arm, tried)
            )
            continue
        outcome, reason = _outcome(person)
        batch.count(person, outcome, reason)
        verdicts = json.dumps(person.verdicts) if person.verdicts else ""
        alike[outcome, reason, person.side.arm, verdicts].append(person.root_id)
    for (outcome, reason, arm, verdicts), people in alike.items():
        campaign_people.decide(
            session,
            campaign_run_id=job.run.id,
            people=people,
            outcome=outcome,
            reason=reason,
            arm=arm,
            verdicts=json.loads(verdicts) if verdicts else [],
            now=now,
        )
    campaign_people.come_back(session, campaign_run_id=job.run.id, people=later)


def _close_put_off(session: Session, batch: Batch, now: datetime) -> None:
    """Close messages of earlier rounds that will not go after all: they must not count as sent."""
    going = {draft.message_id for draft in batch.drafts if draft.again}
    left = [
        (row["id"], _outcome(person)[1])
        for person in batch.people
        if person.earlier and person.hold_until is None
        for row in person.earlier
        if row["status"] == MessageStatus.QUEUED and row["id"] not in going
    ]
    messages.close_unsent(session, rows=left, now=now)


def _outcome(person: Recipient) -> tuple[str, str]:
    if person.drafts or person.done:
        return "sent", "allowed"
    if person.failure is not None:
        return "set_aside", person.failure
    refused = [row for row in person.earlier if row["status"] == MessageStatus.REJECTED]
    if refused:
        return "set_aside", f"refused:{refused[0]['reason']}"
    if any(one["outcome"] == "held_out" for one in person.verdicts):
        return "held_out", person.side.ghost or ""
    return "skipped", person.verdicts[0]["reason"] if person.verdicts else "no_channel"
