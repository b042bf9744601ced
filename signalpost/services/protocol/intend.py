"""Step 2: what is about to be handed over is on the record before any provider is called."""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlmodel import Session

from signalpost.content import Variant
from signalpost.domain.text import parts_to_json
from signalpost.domain.vocabulary import DeliveryStatus, MessageStatus
from signalpost.record import messages
from signalpost.record.base import new_id, table_of
from signalpost.record.bulk import insert_columns
from signalpost.services.desk import Desk
from signalpost.services.protocol.draft import Draft

_MESSAGES = table_of(messages.Message)
_DELIVERIES = table_of(messages.Delivery)

_D = TypeVar("_D", bound=Draft)


def keep_variants(
    session: Session, drafts: Sequence[Draft], *, now: datetime, known: Collection[str] = ()
) -> set[str]:
    """Keep the wordings that are not ``known`` to be on the record; gives which those are."""
    new = {v.id: v for d in drafts if (v := d.variant) is not None and v.id not in known}
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
    return set(new)


def intend(
    session: Session, desk: Desk, drafts: Sequence[_D], *, run_id: str | None, now: datetime
) -> list[_D]:
    """Write the next attempt of messages that are on the record; gives those that may go on.

    Only a ``queued`` message becomes ``sending``. Any other has been in somebody's hands since it was
    decided, and is not touched: it would be a second send.
    """
    made = messages.lock_queued(session, message_ids=[d.message_id for d in drafts])
    going = [d for d in drafts if d.message_id in made]
    for draft in going:
        draft.delivery_id = new_id()
    messages.mark_sending(
        session,
        rows=[
            {
                "row_id": d.message_id,
                "new_version": desk.catalogue[variant.message].version,
                "new_address": d.address,
                "new_variant": variant.id,
                "new_locale": variant.locale,
                "new_slots": d.slots,
                "new_facts": d.facts,
                "new_run": run_id,
                "new_at": now,
            }
            for d in going
            if (variant := wording(d))
        ],
    )
    attempts = [made[d.message_id] + 1 for d in going]
    _attempt(session, desk, going, attempts, now)
    return going


def intend_new(
    session: Session,
    desk: Desk,
    drafts: Sequence[_D],
    *,
    run_id: str | None,
    now: datetime,
    columns: Callable[[Sequence[_D]], Mapping[str, Any]],
) -> None:
    """Write messages that are decided and intended in one transaction, as campaigns do it.

    ``columns``: what the sender knows of some of them besides, by column (``record.bulk``). Their unique
    keys let no message be written, and so none be sent, a second time.
    """
    alike: dict[str, list[_D]] = defaultdict(list)
    for draft in drafts:
        alike[wording(draft).id].append(draft)
    for same in alike.values():  # most of a batch say the same: it is bound once
        variant = wording(same[0])
        spec = desk.catalogue[variant.message]
        insert_columns(
            session,
            _MESSAGES,
            rows=len(same),
            columns={
                "id": [d.message_id for d in same],
                "customer_id": [d.customer_id for d in same],
                "message": spec.name,
                "version": spec.version,
                "channel": str(variant.channel),
                "address": [d.address for d in same],
                "purpose": str(spec.purpose),
                "locale": variant.locale,
                "status": MessageStatus.SENDING.value,
                "variant_id": variant.id,
                "slots": [d.slots for d in same],
                "run_id": run_id,
                "created_at": now,
                "updated_at": now,
                **columns(same),
            },
        )
    _attempt(session, desk, drafts, 1, now)


def _attempt(
    session: Session, desk: Desk, drafts: Sequence[Draft], attempts: Any, now: datetime
) -> None:
    names = {channel: provider.name for channel, provider in desk.providers.items()}
    insert_columns(
        session,
        _DELIVERIES,
        rows=len(drafts),
        columns={
            "id": [d.delivery_id for d in drafts],
            "message_id": [d.message_id for d in drafts],
            "attempt": attempts,
            "provider": [names[d.channel] for d in drafts],
            "status": DeliveryStatus.SENDING.value,
            "started_at": now,
        },
    )


def wording(draft: Draft) -> Variant:
    """Give a draft's wording; a message without one must not come this far."""
    if draft.variant is None:
        raise RuntimeError("a message was to be sent before its words were made")
    return draft.variant
