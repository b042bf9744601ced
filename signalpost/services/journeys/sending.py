"""The send protocol: intent before effect, settle after, ``unknown`` where nobody knows.

1. ``render``: this person's words for the slots; what breaks here concerns one person.
2. ``deliver``: the intent is committed, and only then the provider is called.
3. ``settle``: how it ended is committed. A sender that dies in between leaves the status ``sending``,
   which the next one to come by turns into ``unknown`` (``planning``), never into a second try.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import structlog
from sqlmodel import Session

from signalpost.content import MissingFact, RenderFailed
from signalpost.domain.delivery import Handover, Outgoing, Provider
from signalpost.domain.text import parts_to_json
from signalpost.domain.vocabulary import (
    Channel,
    DeliveryStatus,
    FaultClass,
    MessageStatus,
    Purpose,
)
from signalpost.record import consents, enrolments, messages
from signalpost.record.base import new_id
from signalpost.services.desk import Desk
from signalpost.services.journeys import claims
from signalpost.services.journeys.people import Draft, Group

log = structlog.get_logger(__name__)

#: What a hand-over makes of the message. RETRY leaves it queued, to be taken up again.
BECOMES = {
    DeliveryStatus.ACCEPTED: MessageStatus.HANDED_OVER,
    DeliveryStatus.REJECTED: MessageStatus.REJECTED,
    DeliveryStatus.RETRY: MessageStatus.QUEUED,
    DeliveryStatus.UNKNOWN: MessageStatus.UNKNOWN,
}


def render(desk: Desk, group: Group, *, now: datetime) -> None:
    """Render each message's slots; a person whose facts or template fail is set aside, alone."""
    for draft in group.drafts:
        try:
            _render_one(desk, draft, now)
        except (MissingFact, RenderFailed) as error:
            draft.failure = error.reason
        except Exception as error:
            draft.failure = f"render_failed:{type(error).__name__}"
        if draft.failure:
            draft.person.set_aside = draft.failure
            group.count(draft.proposal.message, draft.channel, "failed", draft.failure)


def _render_one(desk: Desk, draft: Draft, now: datetime) -> None:
    person, name = draft.person, draft.proposal.message
    standing_zone = person.zone or desk.default_zone
    draft.variant = desk.catalogue.variant(name, draft.channel, person.locale)
    known = desk.catalogue[name].facts
    draft.facts = {fact: person.facts[fact] for fact in known if fact in person.facts}
    links = desk.links.for_message(
        customer_id=person.root_id,
        message_id=draft.message_id,
        topic=draft.proposal.topic,
        website=desk.catalogue.brand["website"].rstrip("/"),
        order_id=str(order) if (order := person.facts.get("order_id")) is not None else None,
        now=now,
    )
    if draft.proposal.purpose is Purpose.MARKETING and draft.channel is Channel.EMAIL:
        draft.unsubscribe_url = links["unsubscribe"]
    context = desk.catalogue.context(
        name,
        facts=person.facts,
        customer=person.attributes,
        brand={},
        links=links,
        locale=person.locale,
        zone=standing_zone,
    )
    draft.slots = draft.variant.slots(context)


async def deliver(desk: Desk, group: Group, *, now: datetime) -> None:
    """Commit the intent, then hand the messages over, many to a call, providers side by side."""
    await asyncio.to_thread(_intend, desk, group, now)
    calls = [
        _hand_over(desk.providers[channel], drafts)
        for channel, drafts in _loads(desk, group.drafts)
    ]
    async with claims.renewed(desk.lease, partial(claims.renew, desk, group.claim_id)):
        await asyncio.gather(*calls)


def _intend(desk: Desk, group: Group, now: datetime) -> None:
    with desk.database.writing() as session:
        group.keep(enrolments.still_held(session, claim_id=group.claim_id, until=now + desk.lease))
        messages.close_unsent(
            session,
            rows=[(d.message_id, d.failure) for d in group.drafts if d.failure],
            now=now,
            status=MessageStatus.FAILED,
        )
        group.drafts = [draft for draft in group.drafts if not draft.failure]
        if not group.drafts:
            return
        variants = {d.variant.id: d.variant for d in group.drafts if d.variant}
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
                for variant in variants.values()
            ],
        )
        ids = [draft.message_id for draft in group.drafts]
        made = messages.attempts(session, message_ids=ids)
        for draft in group.drafts:
            draft.delivery_id = new_id()
        messages.intend(
            session,
            messages=[
                {
                    "row_id": d.message_id,
                    "new_version": desk.catalogue[d.proposal.message].version,
                    "new_address": d.address,
                    "new_variant": d.variant.id if d.variant else None,
                    "new_locale": d.variant.locale if d.variant else None,
                    "new_slots": d.slots,
                    "new_facts": d.facts,
                    "new_run": group.run_id,
                    "new_at": now,
                }
                for d in group.drafts
            ],
            deliveries=[
                {
                    "id": d.delivery_id,
                    "message_id": d.message_id,
                    "attempt": made.get(d.message_id, 0) + 1,
                    "provider": desk.providers[d.channel].name,
                    "status": DeliveryStatus.SENDING.value,
                    "started_at": now,
                }
                for d in group.drafts
            ],
        )


def _loads(desk: Desk, drafts: Sequence[Draft]) -> Iterator[tuple[Channel, list[Draft]]]:
    """Cut the messages into loads of one channel and wording that a provider takes in one call."""
    alike: dict[tuple[Channel, str], list[Draft]] = defaultdict(list)
    for draft in drafts:
        alike[draft.channel, draft.variant.id if draft.variant else ""].append(draft)
    for (channel, _), same in alike.items():
        size = desk.providers[channel].max_batch
        for start in range(0, len(same), size):
            yield channel, same[start : start + size]


async def _hand_over(provider: Provider, drafts: list[Draft]) -> None:
    try:
        handovers = await provider.hand_over([_outgoing(draft) for draft in drafts])
    except Exception as error:
        log.exception("delivery.provider_raised", provider=provider.name)
        handovers = [
            Handover(
                delivery_id=draft.delivery_id or "",
                status=DeliveryStatus.UNKNOWN,
                provider=provider.name,
                detail=f"the adapter raised {type(error).__name__}",
            )
            for draft in drafts
        ]
    by_delivery = {handover.delivery_id: handover for handover in handovers}
    for draft in drafts:
        draft.handover = by_delivery.get(draft.delivery_id or "")


def _outgoing(draft: Draft) -> Outgoing:
    variant, proposal = draft.variant, draft.proposal
    if variant is None or draft.delivery_id is None:
        raise RuntimeError("a message reached its provider before its intent was written")
    return Outgoing(
        delivery_id=draft.delivery_id,
        message_id=draft.message_id,
        customer_id=draft.person.root_id,
        channel=draft.channel,
        address=draft.address,
        variant_id=variant.id,
        parts=variant.parts,
        slots=draft.slots,
        message=proposal.message,
        purpose=proposal.purpose,
        sender=proposal.purpose.value,
        valid_for=SMS_VALID.get(proposal.purpose),
        unsubscribe_url=draft.unsubscribe_url,
    )


#: How long a mobile network may keep trying: an alert that arrives an hour late alarms for nothing.
SMS_VALID = {Purpose.SECURITY: timedelta(minutes=10), Purpose.TRANSACTIONAL: timedelta(hours=4)}


def settle(desk: Desk, group: Group, *, now: datetime) -> bool:
    """Commit how the hand-overs ended; say whether somebody needs another channel now."""
    with desk.database.writing() as session:
        rows = [_settled(group, draft, now) for draft in group.drafts]
        messages.settle(
            session,
            deliveries=[delivery for delivery, _ in rows],
            messages=[message for _, message in rows],
        )
        _fill_inboxes(session, group, now)
        _suppress(session, group, now)
    another = [draft.person for draft in group.drafts if _wants_another(draft)]
    group.drafts = []
    return bool(another)


def _settled(group: Group, draft: Draft, now: datetime) -> tuple[dict[str, Any], dict[str, Any]]:
    handover = draft.handover or Handover(
        delivery_id=draft.delivery_id or "",
        status=DeliveryStatus.UNKNOWN,
        provider="",
        detail="the provider gave no answer for this one",
    )
    draft.handover = handover
    person, status = draft.person, BECOMES[handover.status]
    if handover.fault is FaultClass.OURS or handover.status is DeliveryStatus.RETRY:
        status = _again_later(draft, handover, now)
    if status is MessageStatus.HANDED_OVER and draft.channel is Channel.IN_APP:
        status = MessageStatus.DELIVERED  # the inbox is ours: it is there
    reason = handover.code or (handover.status if status is MessageStatus.UNKNOWN else None)
    group.count(draft.proposal.message, draft.channel, status, reason or "")
    person.context["since"] = now.isoformat()
    delivery = {
        "row_id": draft.delivery_id,
        "new_status": handover.status.value,
        "new_provider_id": handover.provider_id,
        "new_fault": handover.fault,
        "new_code": handover.code,
        "new_detail": handover.detail,
        "new_at": now,
    }
    message = {
        "row_id": draft.message_id,
        "old_status": MessageStatus.SENDING.value,
        "new_status": status.value,
        "new_reason": reason,
        "new_at": now,
    }
    return delivery, message


def _again_later(draft: Draft, handover: Handover, now: datetime) -> MessageStatus:
    """Have the person come back, with growing gaps; after many tries they are set aside."""
    person = draft.person
    if person.attempts + 1 >= claims.SET_ASIDE_AFTER and handover.fault is not FaultClass.OURS:
        person.set_aside = f"provider_refuses:{handover.code or handover.status}"
        return MessageStatus.FAILED
    wait = handover.retry_after or claims.backoff(person.attempts + 1)
    person.hold_until = min(person.hold_until or now + wait, now + wait)
    person.retrying = True
    return MessageStatus.QUEUED


def _wants_another(draft: Draft) -> bool:
    """Whether another channel of the chain should be tried at once."""
    handover = draft.handover
    if handover is None or handover.fault is FaultClass.OURS:
        return False
    if handover.status is DeliveryStatus.UNKNOWN:
        return draft.proposal.purpose is Purpose.SECURITY
    return handover.status is DeliveryStatus.REJECTED


def _fill_inboxes(session: Session, group: Group, now: datetime) -> None:
    messages.put_in_inbox(
        session,
        rows=[
            {"message_id": d.message_id, "customer_id": d.person.root_id, "created_at": now}
            for d in group.drafts
            if d.channel is Channel.IN_APP
            and d.handover
            and d.handover.status is DeliveryStatus.ACCEPTED
        ],
    )


def _suppress(session: Session, group: Group, now: datetime) -> None:
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
            for d in group.drafts
            if d.handover and d.handover.suppress
        ],
    )
