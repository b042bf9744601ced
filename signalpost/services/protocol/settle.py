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
    alike: dict[Ending, list[tuple[str, str]]] = defaultdict(list)
    for draft in drafts:
        ending = _ending(draft, given_up)
        alike[ending].append((draft.delivery_id, draft.message_id))
    messages.settle(session, endings=alike, now=now)
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


def _ending(draft: Draft, given_up: Collection[str]) -> Ending:
    took = draft.handover
    if took is None:
        raise RuntimeError("a message was settled before it was handed over")
    status = becomes(took, draft.channel)
    if status is MessageStatus.QUEUED and draft.message_id in given_up:
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
