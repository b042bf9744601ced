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
from signalpost.domain.delivery import FENCED, STOPPED, Handover, Letter, Provider, withheld
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

_IN_APP = Channel.IN_APP  # asked of each message: through its class it takes ten times as long


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
    going = []
    for draft in drafts:
        if id(draft) not in held:
            continue
        if draft.maybe_sent and draft.channel is not _IN_APP:
            draft.handover = _lost(desk.providers[draft.channel].name)
        elif not stops.concern(draft):
            going.append(draft)
    async with stops.heard():
        await asyncio.gather(
            *(
                _one_load(desk.providers[channel], load, fence, stops)
                for channel, load in _loads(desk, going)
            )
        )
    reach("send.answered")
    for draft in drafts:
        took = draft.handover
        if took is None or (took.code == FENCED and stops.concern(draft)):
            why = STOPPED if stops.concern(draft) else FENCED
            draft.handover = withheld(desk.providers[draft.channel].name, code=why)


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
    if fence.holds():
        handovers = await _call(provider, drafts, fence, stops)
    else:
        handovers = [withheld(provider.name)] * len(drafts)
    for draft, handover in zip(drafts, handovers, strict=True):
        draft.handover = handover


async def _call(
    provider: Provider, drafts: Sequence[Draft], fence: Fence, stops: LateStops
) -> list[Handover]:
    try:
        handovers = await provider.hand_over(_letter(drafts[0], fence, stops), drafts)
    except Exception as error:  # whatever broke, the bytes may have left
        log.exception("delivery.provider_raised", provider=provider.name)
        why = f"the adapter raised {type(error).__name__}"
    else:
        if len(handovers) == len(drafts):
            return handovers
        log.error("delivery.answers_missing", provider=provider.name, answers=len(handovers))
        why = "the provider gave no answer for each of them, so nobody knows which is whose"
    return [_unknown(provider.name, why)] * len(drafts)


def _lost(provider: str) -> Handover:
    """Nobody knows whether it went before the restore; the provider's own list is asked."""
    handover = _unknown(provider, "it may have been sent before the record was restored")
    return replace(handover, code=CODE)


def _unknown(provider: str, detail: str) -> Handover:
    return Handover(status=DeliveryStatus.UNKNOWN, provider=provider, detail=detail)


def _letter(draft: Draft, fence: Fence, stops: LateStops) -> Letter:
    """Give what a load shares; any of its drafts says it."""
    variant = wording(draft)
    return Letter(
        channel=draft.channel,
        message=variant.message,
        purpose=draft.purpose,
        parts=variant.parts,
        valid_for=SMS_VALID.get(draft.purpose),
        kept_back=lambda attempts: stops.among(attempts) if fence.holds() else attempts,
    )
