"""Where a message stands, whatever the order in which the news arrives.

Receipts come late, twice and out of order. Each kind of receipt proves a status, statuses have a
rank, and the highest rank proved so far is the truth: any permutation and duplication of the same
receipts ends in the same status (invariant I8). Engagement (opened, clicked, read, complained,
unsubscribed) is kept beside the status, and proves that the message arrived.
"""

from collections.abc import Mapping

from signalpost.domain.vocabulary import DeliveryStatus, FaultClass, MessageStatus, ReceiptKind

RANK: Mapping[MessageStatus, int] = {
    MessageStatus.QUEUED: 0,
    MessageStatus.SENDING: 1,
    MessageStatus.UNKNOWN: 2,
    MessageStatus.EXPIRED: 3,
    MessageStatus.HANDED_OVER: 4,
    MessageStatus.DEFERRED: 5,
    MessageStatus.FAILED: 6,
    MessageStatus.REJECTED: 7,
    MessageStatus.DELIVERED: 8,
    MessageStatus.BOUNCED: 9,
}
"""The higher rank wins, whichever news came last."""

PROVES: Mapping[ReceiptKind, MessageStatus] = {
    ReceiptKind.QUEUED: MessageStatus.HANDED_OVER,
    ReceiptKind.SENT: MessageStatus.HANDED_OVER,
    ReceiptKind.DEFERRED: MessageStatus.DEFERRED,
    ReceiptKind.DELIVERED: MessageStatus.DELIVERED,
    ReceiptKind.BOUNCED: MessageStatus.BOUNCED,
    ReceiptKind.BLOCKED: MessageStatus.BOUNCED,
    ReceiptKind.REJECTED: MessageStatus.REJECTED,
    ReceiptKind.FAILED: MessageStatus.FAILED,
    ReceiptKind.OPENED: MessageStatus.DELIVERED,
    ReceiptKind.CLICKED: MessageStatus.DELIVERED,
    ReceiptKind.READ: MessageStatus.DELIVERED,
    ReceiptKind.COMPLAINED: MessageStatus.DELIVERED,
    ReceiptKind.UNSUBSCRIBED: MessageStatus.DELIVERED,
}
"""The status that each receipt proves; a kind that is missing here (``UNKNOWN``) proves nothing."""

ENGAGEMENT: frozenset[ReceiptKind] = frozenset(
    {
        ReceiptKind.OPENED,
        ReceiptKind.CLICKED,
        ReceiptKind.READ,
        ReceiptKind.COMPLAINED,
        ReceiptKind.UNSUBSCRIBED,
    }
)
"""What the customer did with the message: cumulative, kept beside the status."""

UNSENT: frozenset[MessageStatus] = frozenset(
    {
        MessageStatus.QUEUED,
        MessageStatus.EXPIRED,
        MessageStatus.REJECTED,
        MessageStatus.FAILED,
        MessageStatus.BOUNCED,
    }
)
"""Whose message nobody has. Of one that is unknown we cannot say so: somebody may have it."""

SETTLED: frozenset[MessageStatus] = frozenset(
    {
        MessageStatus.DELIVERED,
        MessageStatus.BOUNCED,
        MessageStatus.REJECTED,
        MessageStatus.FAILED,
        MessageStatus.EXPIRED,
    }
)
"""Nothing of ours is still to be done. A later receipt may still raise the rank."""

ODD: Mapping[tuple[MessageStatus, MessageStatus], str] = {
    (MessageStatus.DELIVERED, MessageStatus.BOUNCED): (
        "The receiving server took the message and sent it back later (asynchronous bounce)."
    ),
    (MessageStatus.QUEUED, MessageStatus.DELIVERED): (
        "The receipt overtook the provider's answer to our own call."
    ),
    (MessageStatus.SENDING, MessageStatus.DELIVERED): (
        "The receipt overtook the provider's answer to our own call."
    ),
    (MessageStatus.SENDING, MessageStatus.QUEUED): (
        "The provider certainly did not process the call, so it may be made again."
    ),
    (MessageStatus.UNKNOWN, MessageStatus.QUEUED): (
        "Its sender was taken for dead, came back, and knows that it never left."
    ),
    (MessageStatus.FAILED, MessageStatus.QUEUED): (
        "It failed before any provider had it, and an operator had it tried again."
    ),
    (MessageStatus.BOUNCED, MessageStatus.QUEUED): (
        "The provider took it and could not deliver it this time; it is tried once more."
    ),
    (MessageStatus.UNKNOWN, MessageStatus.HANDED_OVER): (
        "The answer to our call was lost; the receipt proves that the provider took the message."
    ),
    (MessageStatus.UNKNOWN, MessageStatus.DELIVERED): (
        "The answer to our call was lost; the receipt proves that the message arrived."
    ),
    (MessageStatus.EXPIRED, MessageStatus.HANDED_OVER): (
        "We gave the message up as too late, yet an earlier attempt had reached the provider."
    ),
    (MessageStatus.EXPIRED, MessageStatus.DELIVERED): (
        "We gave the message up as too late, yet an earlier attempt had arrived."
    ),
    (MessageStatus.FAILED, MessageStatus.DELIVERED): (
        "The provider first said that sending failed; a later receipt proves that it arrived."
    ),
    (MessageStatus.REJECTED, MessageStatus.DELIVERED): (
        "The provider first said that it refused; a later receipt proves that it arrived."
    ),
    (MessageStatus.DEFERRED, MessageStatus.DELIVERED): (
        "The provider kept trying; SendGrid does so for 72 hours."
    ),
}
"""Moves that surprise a reader of the timeline, each with its sentence."""

_SETTLES: Mapping[DeliveryStatus, MessageStatus] = {
    DeliveryStatus.SENDING: MessageStatus.SENDING,
    DeliveryStatus.ACCEPTED: MessageStatus.HANDED_OVER,
    DeliveryStatus.REJECTED: MessageStatus.REJECTED,
    DeliveryStatus.UNKNOWN: MessageStatus.UNKNOWN,
}


def merge(status: MessageStatus, proved: MessageStatus) -> MessageStatus:
    """The truth when ``status`` was known and ``proved`` is learnt: the higher rank."""
    return proved if RANK[proved] > RANK[status] else status


def apply(status: MessageStatus, kind: ReceiptKind) -> MessageStatus:
    """The message's status after a receipt: never lower, and the same in any order."""
    proved = PROVES.get(kind)
    return status if proved is None else merge(status, proved)


def settle(
    status: MessageStatus, delivery: DeliveryStatus, *, fault: FaultClass | None = None
) -> MessageStatus:
    """The message's status after a delivery attempt ended.

    A receipt may have come before our own call returned, so this never lowers the rank, except that
    an attempt that was certainly not processed puts a ``sending`` message back to ``queued``, also
    when it was called ``unknown`` meanwhile.
    """
    if delivery is DeliveryStatus.RETRY:
        open_ = (MessageStatus.SENDING, MessageStatus.UNKNOWN)
        return MessageStatus.QUEUED if status in open_ else status
    if delivery is DeliveryStatus.REJECTED and fault is FaultClass.OURS:
        return merge(status, MessageStatus.FAILED)
    return merge(status, _SETTLES[delivery])


_BACK = (MessageStatus.SENDING, MessageStatus.UNKNOWN, MessageStatus.FAILED, MessageStatus.BOUNCED)


def allowed(before: MessageStatus, after: MessageStatus) -> bool:
    """Whether a message may move so: upwards in rank, or back to the queue.

    Back from ``sending``, or ``unknown``, when the call was surely not processed; from ``failed`` when
    an operator resumes the person and no provider ever had it; from ``bounced`` and ``failed`` once,
    when the provider says that it did not arrive this time.
    """
    back = after is MessageStatus.QUEUED and before in _BACK
    return back or RANK[after] > RANK[before]


def explain(before: MessageStatus, after: MessageStatus) -> str | None:
    """The sentence for an odd move, or ``None`` when the move speaks for itself."""
    return ODD.get((before, after))
