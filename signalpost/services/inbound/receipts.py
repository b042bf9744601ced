"""Receipts: what providers say later, told apart from repeats and merged in any order.

The caller has checked the signature and commits; one webhook call is one transaction and a dozen
statements, whatever the number of receipts in it.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.domain import status
from signalpost.domain.delivery import Receipt
from signalpost.domain.fingerprints import Fingerprints
from signalpost.domain.vocabulary import Channel, MessageStatus, ReceiptKind
from signalpost.record import receipts
from signalpost.record.base import new_id
from signalpost.record.bulk import look_up_by_index
from signalpost.record.personal import held
from signalpost.services import forgotten
from signalpost.services.inbound import optouts
from signalpost.services.intake import consent

#: Suppressions that a kind of receipt means by itself; a bounce of a phone number is a bad address.
_MEANS: Mapping[ReceiptKind, str] = {
    ReceiptKind.BOUNCED: "hard_bounce",
    ReceiptKind.COMPLAINED: "complaint",
    ReceiptKind.UNSUBSCRIBED: "unsubscribe",
}
#: Complaints and unsubscribes are about marketing; everything else closes the address (C6).
_MARKETING_ONLY = frozenset({"complaint", "unsubscribe"})


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """What became of the receipts of one call."""

    new: int
    repeated: int
    unmatched: int  #: kept, though they name no message of ours


def record(
    session: Session,
    *,
    given: Sequence[Receipt],
    now: datetime,
    fingerprints: Fingerprints | None = None,
) -> Recorded:
    """Keep the receipts that are new, settle deliveries, move messages and note opt-outs.

    Of somebody who was erased only what happened is kept, not the raw words; ``fingerprints`` knows
    their address where a receipt names no message of ours.
    """
    look_up_by_index(session)
    new = _without_repeats(session, given)
    owner = _messages_of(session, new.values())
    message_ids = {message_id for message_id in owner.values() if message_id}
    # Deliveries before messages: the order in which settling a hand-over locks them too.
    open_deliveries = receipts.lock_open_deliveries(session, message_ids=message_ids)
    known = receipts.lock_messages(session, message_ids=message_ids)
    linked = {
        receipt_id: replace(
            receipt, message_id=found if (found := owner[receipt.keys]) in known else None
        )
        for receipt_id, receipt in new.items()
    }
    linked = _without_the_erased(session, linked, known, fingerprints)
    _keep(session, linked, now)
    _accept(session, open_deliveries, linked.values(), now)
    _move(session, known, linked.values(), now)
    _opt_out(session, known, linked.values(), now)
    unmatched = sum(receipt.message_id is None for receipt in linked.values())
    return Recorded(new=len(new), repeated=len(given) - len(new), unmatched=unmatched)


def _without_the_erased(
    session: Session,
    linked: Mapping[str, Receipt],
    known: Mapping[str, RowMapping],
    fingerprints: Fingerprints | None,
) -> dict[str, Receipt]:
    """Take the address and the raw words out of what is about somebody who was erased."""
    unmatched = {r.address for r in linked.values() if r.address and not r.message_id}
    gone: set[str] = set()
    if fingerprints is not None and unmatched:
        gone = forgotten.known(session, fingerprints=fingerprints, addresses=unmatched)
        gone -= held(session, addresses=gone)
    return {
        receipt_id: replace(receipt, address=None, raw={})
        if (receipt.message_id and known[receipt.message_id]["erased_at"])
        or (not receipt.message_id and receipt.address in gone)
        else receipt
        for receipt_id, receipt in linked.items()
    }


def _without_repeats(session: Session, given: Iterable[Receipt]) -> dict[str, Receipt]:
    """The receipts of which no key was seen before, by the id each one gets."""
    ids: dict[str, str] = {}  # key → the receipt that had it first in this call
    first: dict[str, Receipt] = {}
    for receipt in given:
        keys = [f"{receipt.provider}:{key}" for key in receipt.keys]
        seen = next((ids[key] for key in keys if key in ids), None)
        receipt_id = seen or new_id()
        for key in keys:
            ids.setdefault(key, receipt_id)
        if seen is None:
            first[receipt_id] = receipt
    owners = receipts.claim_keys(session, keys=ids)
    earlier = {ids[key]: owner for key, owner in owners.items() if owner != ids[key]}
    stray = {
        key: earlier[ids[key]]
        for key, owner in owners.items()
        if ids[key] in earlier and owner == ids[key]
    }
    receipts.rename_keys(session, keys=stray)
    return {i: receipt for i, receipt in first.items() if i not in earlier}


def _messages_of(session: Session, new: Iterable[Receipt]) -> dict[tuple[str, ...], str | None]:
    """The message each receipt is about: the one it names, else the one its provider's id names."""
    new = list(new)
    unnamed = {r.provider_id for r in new if not r.message_id and r.provider_id}
    by_id: dict[tuple[str, str], list[RowMapping]] = defaultdict(list)
    for row in receipts.deliveries_by_provider_id(session, provider_ids=unnamed):
        by_id[row["provider"], row["provider_id"]].append(row)
    return {
        r.keys: r.message_id or _only(by_id.get((r.provider, r.provider_id or ""), []), r.address)
        for r in new
    }


def _only(rows: Sequence[RowMapping], address: str | None) -> str | None:
    if len(rows) != 1:
        rows = [row for row in rows if address and row["address"].lower() == address.lower()]
    return rows[0]["message_id"] if len(rows) == 1 else None


def _keep(session: Session, new: Mapping[str, Receipt], now: datetime) -> None:
    receipts.add(
        session,
        rows=[
            {
                "id": receipt_id,
                "provider": receipt.provider,
                "kind": receipt.kind.value,
                "message_id": receipt.message_id,
                "provider_id": receipt.provider_id,
                "code": receipt.code,
                "machine": receipt.machine,
                "raw": dict(receipt.raw),
                "at": receipt.at,
                "received_at": now,
            }
            for receipt_id, receipt in new.items()
        ],
    )


def _accept(
    session: Session, deliveries: Sequence[RowMapping], new: Iterable[Receipt], now: datetime
) -> None:
    """Settle deliveries whose outcome nobody knew: whoever reports on them has taken them."""
    reported: dict[tuple[str, str], str | None] = {}
    for receipt in new:
        if receipt.message_id and receipt.kind in status.PROVES:
            key = receipt.message_id, receipt.provider
            reported[key] = reported.get(key) or receipt.provider_id
    receipts.accept_deliveries(
        session,
        provider_ids={
            row["id"]: row["provider_id"] or reported[row["message_id"], row["provider"]]
            for row in deliveries
            if (row["message_id"], row["provider"]) in reported
        },
        now=now,
    )


def _move(
    session: Session, known: Mapping[str, RowMapping], new: Iterable[Receipt], now: datetime
) -> None:
    """Move each message to the highest status proved (invariant I8)."""
    before = {message_id: MessageStatus(row["status"]) for message_id, row in known.items()}
    after = dict(before)
    for receipt in new:
        if receipt.message_id:
            after[receipt.message_id] = status.apply(after[receipt.message_id], receipt.kind)
    moved: dict[MessageStatus, list[str]] = defaultdict(list)
    for message_id, reached in after.items():
        if reached != before[message_id]:
            moved[reached].append(message_id)
    for reached, message_ids in moved.items():
        receipts.set_message_status(session, message_ids=message_ids, status=reached.value, now=now)


def _opt_out(
    session: Session, known: Mapping[str, RowMapping], new: Iterable[Receipt], now: datetime
) -> None:
    """Close addresses that bounced, and take a complaint or an unsubscribe at its word."""
    blocks: list[optouts.Block] = []
    denials: list[tuple[str, consent.Statement]] = []
    for receipt in new:
        message = known.get(receipt.message_id or "")
        address = message["address"] if message else receipt.address
        reason = _reason(receipt, address)
        if not reason or not address:
            continue
        channel = message["channel"] if message else _channel(address)
        scope = "marketing" if reason in _MARKETING_ONLY else "all"
        blocks.append(
            optouts.Block(
                channel=channel,
                address=address,
                scope=scope,
                reason=reason,
                source=receipt.provider,
            )
        )
        if message and scope == "marketing":
            denials.append((message["root_id"], _denied(channel, receipt, now)))
    optouts.block(session, blocks=blocks, now=now)
    consent.record_statements(session, said=denials, now=now)


def _denied(channel: str, receipt: Receipt, now: datetime) -> consent.Statement:
    return consent.Statement(
        channel=channel,
        topic="*",
        status="denied",
        source=receipt.provider,
        at=min(receipt.at, now),
        wording=receipt.kind.value,
    )


def _reason(receipt: Receipt, address: str | None) -> str | None:
    meant = _MEANS.get(receipt.kind)
    if meant == "hard_bounce" and "@" not in (address or ""):
        return receipt.suppress or "bad_address"
    return meant or receipt.suppress


def _channel(address: str) -> str:
    return (Channel.EMAIL if "@" in address else Channel.SMS).value
