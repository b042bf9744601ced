"""Step 5: how the hand-overs ended, those that ended alike in one statement."""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from signalpost.domain.delivery import Handover
from signalpost.domain.vocabulary import Channel, DeliveryStatus, FaultClass, MessageStatus
from signalpost.record import consents, messages
from signalpost.record.base import new_id
from signalpost.record.messages import Ending
from signalpost.services.protocol.draft import Draft

#: What a hand-over makes of the message. RETRY leaves it queued, to be taken up again.
BECOMES: Mapping[DeliveryStatus, MessageStatus] = {
    DeliveryStatus.ACCEPTED: MessageStatus.HANDED_OVER,
    DeliveryStatus.REJECTED: MessageStatus.REJECTED,
    DeliveryStatus.RETRY: MessageStatus.QUEUED,
    DeliveryStatus.UNKNOWN: MessageStatus.UNKNOWN,
}

_IN_APP = Channel.IN_APP  # asked of each message: through its class it takes ten times as long


def settle(
    session: Session,
    drafts: Sequence[Draft],
    *,
    now: datetime,
    given_up: Collection[str] = frozenset(),
) -> None:
    """Write how each draft's hand-over ended, fill inboxes, and keep what was learnt of addresses.

    ``given_up``: messages that would be queued again, and are failed instead.
    """
    # Thousands were told the same, and share what they were told: what follows is found once.
    alike: dict[tuple[int, Channel, bool], list[Draft]] = defaultdict(list)
    for draft in drafts:
        alike[id(draft.handover), draft.channel, draft.message_id in given_up].append(draft)
    endings: dict[Ending, list[tuple[str, str]]] = defaultdict(list)
    for (_, channel, is_given_up), same in alike.items():
        pairs = [(draft.delivery_id, draft.message_id) for draft in same]
        endings[_ending(_took(same[0]), channel, given_up=is_given_up)] += pairs
    messages.settle(session, endings=endings, now=now)
    _fill_inboxes(session, drafts, now)
    _suppress(session, drafts, now)


def becomes(handover: Handover, channel: Channel) -> MessageStatus:
    """Say where a message stands after its hand-over.

    One that surely was not processed, and with which nothing is wrong itself, is queued again.
    """
    if handover.fault is FaultClass.OURS:
        return MessageStatus.QUEUED
    if handover.status is DeliveryStatus.ACCEPTED and channel is Channel.IN_APP:
        return MessageStatus.DELIVERED  # the inbox is ours: it is there
    return BECOMES[handover.status]


def _took(draft: Draft) -> Handover:
    if draft.handover is None:
        raise RuntimeError("a message was settled before it was handed over")
    return draft.handover


def _ending(took: Handover, channel: Channel, *, given_up: bool) -> Ending:
    status = becomes(took, channel)
    if status is MessageStatus.QUEUED and given_up:
        status = MessageStatus.FAILED
    return Ending(
        str(took.status),
        took.provider_id,
        took.fault and str(took.fault),
        took.code,
        took.detail,
        took.account,
        str(status),
        took.code or (str(took.status) if status is MessageStatus.UNKNOWN else None),
    )


def _fill_inboxes(session: Session, drafts: Sequence[Draft], now: datetime) -> None:
    messages.put_in_inbox(
        session,
        rows=[
            {"message_id": d.message_id, "customer_id": d.customer_id, "created_at": now}
            for d in drafts
            if d.channel is _IN_APP and d.handover and d.handover.status is DeliveryStatus.ACCEPTED
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
