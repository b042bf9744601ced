"""Steps 3 and 4: past the fence, the provider is called, many messages to a call."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from signalpost.crash_points import reach
from signalpost.domain.delivery import FENCED, STOPPED, Handover, Outgoing, Provider, withheld
from signalpost.domain.restoring import CODE
from signalpost.domain.vocabulary import Channel, DeliveryStatus, Purpose
from signalpost.services.desk import Desk
from signalpost.services.protocol.draft import Draft
from signalpost.services.protocol.fence import Fence
from signalpost.services.protocol.intend import wording
from signalpost.services.protocol.late_stops import LateStops
from signalpost.services.protocol.transaction import Beside

log = structlog.get_logger(__name__)

_D = TypeVar("_D", bound=Draft)

#: How long a mobile network may keep trying: an alert that arrives an hour late alarms for nothing.
SMS_VALID = {Purpose.SECURITY: timedelta(minutes=10), Purpose.TRANSACTIONAL: timedelta(hours=4)}


async def hand_over(
    desk: Desk,
    drafts: Sequence[_D],
    *,
    fence: Fence,
    still_held: Callable[[Sequence[_D]], Sequence[_D]],
    beside: Beside = asyncio.to_thread,
) -> None:
    """Hand intended messages over, providers side by side; each draft then knows how it ended.

    ``still_held`` asks the record whose claim is still ours at this moment, in a thread of ``beside``.
    """
    stops = LateStops(desk, drafts)
    try:
        await beside(stops.look)
        held = set(map(id, await beside(still_held, drafts)))
    except SQLAlchemyError as error:  # the record is away: what is not known to be ours stays here
        log.warning("delivery.record_away", error=type(error).__name__, messages=len(drafts))
        held = set()
    for draft in drafts:
        if id(draft) in held and draft.maybe_sent and draft.channel is not Channel.IN_APP:
            draft.handover = _lost(draft, desk.providers[draft.channel].name)
    going = [
        draft
        for draft in drafts
        if id(draft) in held and draft.handover is None and not stops.concern(draft)
    ]
    async with stops.heard():
        await asyncio.gather(
            *(
                _one_load(desk.providers[channel], load, fence, stops)
                for channel, load in _loads(desk, going)
            )
        )
    reach("send.answered")
    given = set(map(id, going))
    for draft in drafts:
        took, provider = draft.handover, desk.providers[draft.channel].name
        if took is None and id(draft) in given:
            draft.handover = _unknown(draft, provider, "the provider gave no answer for this one")
        elif took is None or (took.code == FENCED and stops.concern(draft)):
            why = STOPPED if stops.concern(draft) else FENCED
            draft.handover = withheld(draft.delivery_id, provider, code=why)


def _loads(desk: Desk, drafts: Sequence[_D]) -> Iterator[tuple[Channel, list[_D]]]:
    """Cut the messages into loads of one channel and wording that a provider takes in one call."""
    alike: dict[tuple[Channel, str], list[_D]] = defaultdict(list)
    for draft in drafts:
        alike[draft.channel, wording(draft).id].append(draft)
    for (channel, _), same in alike.items():
        size = desk.providers[channel].max_batch
        for start in range(0, len(same), size):
            yield channel, same[start : start + size]


async def _one_load(
    provider: Provider, drafts: Sequence[Draft], fence: Fence, stops: LateStops
) -> None:
    if not fence.holds():
        handovers = [withheld(draft.delivery_id, provider.name) for draft in drafts]
    else:
        handovers = await _call(provider, drafts, fence, stops)
    by_delivery = {handover.delivery_id: handover for handover in handovers}
    for draft in drafts:
        draft.handover = by_delivery.get(draft.delivery_id)


async def _call(
    provider: Provider, drafts: Sequence[Draft], fence: Fence, stops: LateStops
) -> list[Handover]:
    try:
        return await provider.hand_over([_outgoing(draft, fence, stops) for draft in drafts])
    except Exception as error:  # whatever broke, the bytes may have left
        log.exception("delivery.provider_raised", provider=provider.name)
        detail = f"the adapter raised {type(error).__name__}"
        return [_unknown(draft, provider.name, detail) for draft in drafts]


def _lost(draft: Draft, provider: str) -> Handover:
    """Nobody knows whether it went before the restore; the provider's own list is asked."""
    handover = _unknown(draft, provider, "it may have been sent before the record was restored")
    return replace(handover, code=CODE)


def _unknown(draft: Draft, provider: str, detail: str) -> Handover:
    return Handover(
        delivery_id=draft.delivery_id,
        status=DeliveryStatus.UNKNOWN,
        provider=provider,
        detail=detail,
    )


def _outgoing(draft: Draft, fence: Fence, stops: LateStops) -> Outgoing:
    variant = wording(draft)
    return Outgoing(
        delivery_id=draft.delivery_id,
        message_id=draft.message_id,
        customer_id=draft.customer_id,
        channel=draft.channel,
        address=draft.address,
        variant_id=variant.id,
        parts=variant.parts,
        slots=draft.slots,
        message=variant.message,
        purpose=draft.purpose,
        sender=str(draft.purpose),
        valid_for=SMS_VALID.get(draft.purpose),
        unsubscribe_url=draft.unsubscribe_url,
        may_leave=lambda: fence.holds() and not stops.concern(draft),
    )
