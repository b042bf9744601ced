"""Writing a batch down: the intents, everybody's decision, and the counts that progress is read from."""

from collections import defaultdict
from datetime import datetime

import orjson
from sqlmodel import Session

from signalpost.domain.vocabulary import MessageStatus
from signalpost.record import campaign_people, in_flight, messages
from signalpost.record.base import to_json
from signalpost.record.campaign_people import Later
from signalpost.services import protocol
from signalpost.services.campaigns.judging import why_not
from signalpost.services.campaigns.people import Batch, Job, Recipient, ShardClaim


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
    _intend(session, job, batch, now, flow_run)
    _decide_people(session, job, batch, now)
    _close_put_off(session, batch, now)
    campaign_people.add_counts(
        session, campaign_run_id=claim.campaign_run_id, number=claim.shard, counts=batch.counts
    )
    if not batch.drafts:
        return
    batch.in_flight = in_flight.together([draft.message_id for draft in batch.drafts])
    in_flight.set_off(
        session,
        campaign_run_id=claim.campaign_run_id,
        number=claim.shard,
        batch=batch.in_flight,
    )


def _intend(session: Session, job: Job, batch: Batch, now: datetime, flow_run: str | None) -> None:
    # Kept only once this is committed; until then a rolled-back batch writes them again.
    batch.kept = protocol.keep_variants(session, batch.drafts, now=now, known=job.kept_variants)
    new = [draft for draft in batch.drafts if not draft.again]
    protocol.intend_new(
        session,
        job.desk,
        new,
        run_id=flow_run,
        now=now,
        columns=lambda drafts: {
            "idempotency_key": [d.key for d in drafts],
            "campaign_run_id": job.run.id,
            "topic": job.campaign.topic,
            "facts": [d.person.facts for d in drafts] if job.personal else "{}",
            "expires_at": [d.expires_at for d in drafts],
        },
    )
    again = [draft for draft in batch.drafts if draft.again]
    if again:  # no provider has taken them yet
        going = protocol.intend(session, job.desk, again, run_id=flow_run, now=now)
        batch.drafts = [*new, *going]


def _decide_people(session: Session, job: Job, batch: Batch, now: datetime) -> None:
    """Write decisions, those that are alike in one statement; who has to wait comes back."""
    alike: dict[tuple[str, str, str, str | None, str], list[str]] = defaultdict(list)
    later: list[Later] = []
    for person in batch.people:
        if person.hold_until is not None:
            tried = bool(person.drafts)  # by another chain, which does not wait
            later.append(
                Later(person.root_id, person.hold_until, person.verdicts, person.side.arm, tried)
            )
            continue
        outcome, reason = _outcome(person)
        verdicts = to_json(person.verdicts) if person.verdicts else ""
        same = (outcome, person.channels, reason, person.side.arm, verdicts)
        alike[same].append(person.root_id)
    for (outcome, channels, reason, arm, verdicts), people in alike.items():
        batch.count_all(people, outcome, channels, reason)
        campaign_people.decide(
            session,
            campaign_run_id=job.run.id,
            people=people,
            outcome=outcome,
            reason=reason,
            arm=arm,
            verdicts=orjson.loads(verdicts) if verdicts else [],
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
    if person.drafts or person.reached:
        return "sent", "allowed"
    if person.failure is not None:
        return "set_aside", person.failure
    refused = [row for row in person.earlier if row["status"] == MessageStatus.REJECTED]
    if refused:
        return "set_aside", f"refused:{refused[0]['reason']}"
    given_up = [row for row in person.earlier if row["status"] == MessageStatus.EXPIRED]
    if given_up:  # while another chain waited
        return "set_aside", given_up[0]["reason"] or "expired"
    if person.is_held_out:
        return "held_out", person.side.ghost or ""
    return "skipped", why_not([one["reason"] for one in person.verdicts])
