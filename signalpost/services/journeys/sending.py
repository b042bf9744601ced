"""Sending to the people of a step, by the send protocol (``services.protocol``).

What is a journey's own: each person's words, the claim on enrolments, and what an answer means for
where the person goes on.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

from signalpost.content import MissingFact, RenderFailed
from signalpost.domain import retrying
from signalpost.domain.delivery import Handover
from signalpost.domain.gate import judge
from signalpost.domain.vocabulary import (
    Channel,
    Decision,
    DeliveryStatus,
    FaultClass,
    MessageStatus,
    Purpose,
)
from signalpost.record import enrolments, messages
from signalpost.services import protocol
from signalpost.services.desk import Desk
from signalpost.services.journeys import claims, planning
from signalpost.services.journeys.people import Draft, Group
from signalpost.services.protocol import Fence


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
    marketing_mail = draft.proposal.purpose is Purpose.MARKETING and draft.channel is Channel.EMAIL
    links = desk.links.for_message(
        customer_id=person.root_id,
        message_id=draft.message_id,
        topic=draft.proposal.topic,
        website=desk.catalogue.brand["website"].rstrip("/"),
        order_id=str(order) if (order := person.facts.get("order_id")) is not None else None,
        now=now,
        counted=marketing_mail,
    )
    if marketing_mail:
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
    fence = Fence(clock=desk.clock, lease=desk.lease, now=now)
    await asyncio.to_thread(_intend, desk, group, now)
    async with protocol.kept_alive(fence, partial(claims.extend, desk, group.claim_id)):
        await protocol.hand_over(
            desk, group.drafts, fence=fence, still_held=partial(_still_held, desk, group)
        )


def _intend(desk: Desk, group: Group, now: datetime) -> None:
    with protocol.transaction(desk, writing="send.intending", written="send.intended") as session:
        group.keep(enrolments.still_held(session, claim_id=group.claim_id, until=now + desk.lease))
        messages.close_unsent(
            session,
            rows=[(d.message_id, d.failure) for d in group.drafts if d.failure],
            now=now,
            status=MessageStatus.FAILED,
        )
        drafts = [draft for draft in group.drafts if not draft.failure]
        protocol.keep_variants(session, drafts, now=now)
        group.drafts = protocol.intend(session, desk, drafts, run_id=group.run_id, now=now)


def _still_held(desk: Desk, group: Group, drafts: Sequence[Draft]) -> list[Draft]:
    """Ask once more, since somebody may have left or been taken over after the intent."""
    with desk.database.reading() as session:
        held = enrolments.held(session, claim_id=group.claim_id, now=desk.clock())
    return [draft for draft in drafts if draft.person.id in held]


def settle(desk: Desk, group: Group, *, now: datetime) -> bool:
    """Commit how the hand-overs ended; say whether somebody needs another channel now."""
    elsewhere = {d.message_id for d in group.drafts if _by_another(desk, group, d, now)}
    given_up = elsewhere | {
        d.message_id for d in group.drafts if d.message_id not in elsewhere and _goes_on(d, now)
    }
    with protocol.transaction(desk, writing="send.settling", written="send.settled") as session:
        protocol.settle(session, group.drafts, now=now, given_up=given_up)
    for draft in group.drafts:
        _count(group, draft, given_up)
    another = [
        draft.person
        for draft in group.drafts
        if draft.message_id in elsewhere or _wants_another(draft)
    ]
    group.drafts = []
    return bool(another)


def _took(draft: Draft) -> Handover:
    if draft.handover is None:
        raise RuntimeError("a message was settled before it was handed over")
    return draft.handover


def _by_another(desk: Desk, group: Group, draft: Draft, now: datetime) -> bool:
    """Whether an alert that this channel surely did not take can be said by the next one at once.

    Anything else waits for its channel: the account may be mended, or less busy, in a minute.
    """
    took = _took(draft)
    again = protocol.becomes(took, draft.channel) is MessageStatus.QUEUED
    if draft.purpose is not Purpose.SECURITY or not again or not took.tried:
        return False
    chain = group.node.args["via"][int(draft.key.split(":")[2])]
    order = planning.in_order(chain, draft.person)
    standing = group.standings[draft.person.root_id]
    allowed = (
        judge(replace(draft.proposal, channel=channel), standing, desk.policy, now).decision
        for channel in order[order.index(draft.channel) + 1 :]
        if channel in desk.catalogue[draft.proposal.message].channels
    )
    return Decision.SEND in allowed


def _goes_on(draft: Draft, now: datetime) -> bool:
    """Say where the person goes on from here; true when their message is given up.

    What was surely not processed is tried again, with growing gaps; after many tries the person is
    set aside. An attempt that was not even made, as when the fence held it back, is not counted.
    """
    person, took = draft.person, _took(draft)
    person.context["since"] = now.isoformat()
    if protocol.becomes(took, draft.channel) is not MessageStatus.QUEUED:
        return False
    spent = person.attempts + took.tried
    if spent >= retrying.MOST_TRIES and took.fault is not FaultClass.OURS:
        person.set_aside = f"provider_refuses:{took.code or took.status}"
        return True
    wait = _wait(draft, took, spent)
    person.hold_until = min(person.hold_until or now + wait, now + wait)
    person.retrying |= took.tried
    return False


def _wait(draft: Draft, took: Handover, spent: int) -> timedelta:
    if not took.tried:
        return took.retry_after or timedelta()
    # What an operator has to mend works at once when it is mended: it is asked for again soon.
    tries = min(spent, _SOON) if took.fault is FaultClass.OURS else spent
    return retrying.wait(tries=tries, seed=draft.message_id, asked=took.retry_after)


_SOON = 2


def _count(group: Group, draft: Draft, given_up: set[str]) -> None:
    took = _took(draft)
    status = protocol.becomes(took, draft.channel)
    if draft.message_id in given_up:
        status = MessageStatus.FAILED
    reason = took.code or (took.status if status is MessageStatus.UNKNOWN else "")
    group.count(draft.proposal.message, draft.channel, status, reason)


def _wants_another(draft: Draft) -> bool:
    """Whether another channel of the chain should be tried at once."""
    took = _took(draft)
    if took.fault is FaultClass.OURS:
        return False
    if took.status is DeliveryStatus.UNKNOWN:
        return draft.purpose is Purpose.SECURITY
    return took.status is DeliveryStatus.REJECTED
