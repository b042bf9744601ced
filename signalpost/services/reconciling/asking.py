"""Settling what nobody knows: by receipts on the record, then by asking the provider what it took.

An unknown delivery is asked about after 2, 10 and 60 minutes: a vendor's list may lag, and a callback
usually settles it before. When it is found it is settled like any other. When it is not found, it stays
unknown and says so; nothing is sent again (decision 0016). A hand-over of which nothing was heard since
is asked about too, where the vendor does not repeat a lost callback for long.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping
from sqlmodel import Session

from signalpost.crash_points import reach
from signalpost.domain import status
from signalpost.domain.delivery import Receipt, Sought, Tracer
from signalpost.domain.restoring import CODE, LostWindow
from signalpost.domain.text import parts_from_json
from signalpost.domain.vocabulary import Channel, MessageStatus, Purpose, ReceiptKind
from signalpost.record import lost_windows, messages, reconciling
from signalpost.record import receipts as kept
from signalpost.record.base import first_id_of
from signalpost.services.desk import Desk
from signalpost.services.inbound import receipts
from signalpost.services.protocol import transaction

#: After the attempt began. The last one is the horizon: what is not found by then was not taken.
UNKNOWN_AFTER = (timedelta(minutes=2), timedelta(minutes=10), timedelta(minutes=60))
SILENT_AFTER = (timedelta(minutes=15), timedelta(hours=2), timedelta(hours=24))
#: A provider that cannot be asked is tried again, so long.
_NOT_REACHED = timedelta(minutes=5)
_GIVE_UP_AFTER = timedelta(days=3)
#: Asked about in one round: the logs of an email vendor are made for single people, not for a list.
_MOST = 50
_AT_ONCE = 4
_ROUND = 20.0  #: seconds after which a round asks nobody more: the sweeper must come by again
_LOOK_BACK = timedelta(hours=25)


def note_unknown(desk: Desk, *, now: datetime, limit: int = 1_000) -> int:
    """Settle unknown deliveries of which we know ourselves; note the others, to be asked about.

    Gives how many were settled.
    """
    with desk.database.reading() as session:
        if not reconciling.open_unknown(session, limit=1):
            return 0  # the common case takes no write lock
    with desk.database.writing() as session:
        rows = reconciling.open_unknown(session, limit=limit)
        settled = _by_receipts(session, rows, now) | _in_our_inbox(session, rows, now)
        left = [row for row in rows if row["id"] not in settled]
        reconciling.ask(session, rows=[_lookup(row, "unknown", UNKNOWN_AFTER[0]) for row in left])
    return len(settled)


def _by_receipts(session: Session, rows: Sequence[RowMapping], now: datetime) -> set[str]:
    """Settle those of which a receipt is on the record already."""
    said = reconciling.kept_receipts(session, message_ids={row["message_id"] for row in rows})
    proofs = {
        (one["message_id"], one["provider"]): one
        for one in said
        if ReceiptKind(one["kind"]) in status.PROVES
    }
    proved = [row for row in rows if (row["message_id"], row["provider"]) in proofs]
    for row in proved:
        found = proofs[row["message_id"], row["provider"]]
        kind = ReceiptKind(found["kind"])
        _accept(session, row["message_id"], found["provider_id"], kind, now)
    return {row["id"] for row in proved}


def _in_our_inbox(session: Session, rows: Sequence[RowMapping], now: datetime) -> set[str]:
    """Put into the inbox what a dead sender did not: it is ours, and takes a message once.

    Not an offer: whether it still holds is for its journey to say.
    """
    ours = [
        row
        for row in rows
        if row["channel"] == Channel.IN_APP and row["purpose"] != Purpose.MARKETING
    ]
    messages.put_in_inbox(
        session,
        rows=[
            {"message_id": row["message_id"], "customer_id": row["root_id"], "created_at": now}
            for row in ours
        ],
    )
    for row in ours:
        _accept(session, row["message_id"], None, ReceiptKind.DELIVERED, now)
    return {row["id"] for row in ours}


def _lookup(row: RowMapping, why: str, after: timedelta) -> dict[str, object]:
    return {
        "delivery_id": row["id"],
        "message_id": row["message_id"],
        "provider": row["provider"],
        "why": why,
        "began_at": row["started_at"],
        "asked": 0,
        "due_at": row["started_at"] + after,
    }


@dataclass
class Silence:
    """Notes hand-overs of which nothing was heard; remembers up to where it has looked."""

    looked_to: str = ""

    def note(self, desk: Desk, *, now: datetime, limit: int = 5_000) -> int:
        """Look on from where the last look ended; gives how many are to be asked about."""
        forgetful = {one.name for one in desk.tracers if one.is_forgetful}
        if not forgetful:
            return 0
        after = self.looked_to or first_id_of(datetime.now(UTC) - _LOOK_BACK)
        with desk.database.reading() as session:
            rows = reconciling.attempts_after(
                session, after=after, before=now - SILENT_AFTER[0], limit=limit
            )
            theirs = {row["message_id"]: row for row in rows if row["provider"] in forgetful}
            silent = reconciling.still_handed_over(session, message_ids=list(theirs))
        if silent:
            new = [_lookup(theirs[one], "silent", SILENT_AFTER[0]) for one in sorted(silent)]
            with desk.database.writing() as session:
                reconciling.ask(session, rows=new)
        if rows:
            self.looked_to = rows[-1]["id"]
        return len(silent)


async def ask_providers(desk: Desk, *, now: datetime) -> Counter[str]:
    """Ask about those who are due; gives how many ended in which way."""
    with desk.database.reading() as session:
        rows = reconciling.due(session, now=now, limit=_MOST)
        lost = lost_windows.latest(session)
    tracers = {tracer.name: tracer for tracer in desk.tracers}
    slots = asyncio.Semaphore(_AT_ONCE)
    enough = time.monotonic() + _ROUND

    async def one(row: RowMapping) -> str:
        async with slots:
            if time.monotonic() > enough:  # whoever else waits for this round waits no longer
                return "next_round"
            sought = _sought(row, lost if row["code"] == CODE else None)
            return await _ask(desk, tracers.get(row["provider"]), row, sought, now)

    return Counter(await asyncio.gather(*(one(row) for row in rows)))


async def _ask(
    desk: Desk, tracer: Tracer | None, row: RowMapping, sought: Sought, now: datetime
) -> str:
    if not _is_open(row):  # a receipt came meanwhile
        return await asyncio.to_thread(_end, desk, row, "found", now)
    if tracer is None:
        return await asyncio.to_thread(_end, desk, row, "not_asked", now)
    found = await _in_time(tracer.trace(sought, now=now))
    reach("reconcile.listed")
    if found is None:
        return await asyncio.to_thread(_not_reached, desk, row, now)
    return await asyncio.to_thread(_settle, desk, row, found, now)


async def _in_time(
    answer: Coroutine[Any, Any, Sequence[Receipt] | None],
) -> Sequence[Receipt] | None:
    try:
        async with asyncio.timeout(_ROUND):
            return await answer
    except TimeoutError:
        return None


def _is_open(row: RowMapping) -> bool:
    open_ = MessageStatus.UNKNOWN if row["why"] == "unknown" else MessageStatus.HANDED_OVER
    return row["status"] == open_


def _sought(row: RowMapping, lost: LostWindow | None) -> Sought:
    return Sought(
        delivery_id=row["delivery_id"],
        message_id=row["message_id"],
        channel=Channel(row["channel"]),
        address=row["address"],
        parts=parts_from_json(row["parts"]),
        slots=row["slots"],
        since=lost.since if lost is not None else row["began_at"],
        until=lost.until if lost is not None else None,
        provider_id=row["provider_id"],
    )


def _settle(desk: Desk, row: RowMapping, found: Sequence[Receipt], now: datetime) -> str:
    with transaction(desk, writing="reconcile.settling", written="reconcile.settled") as session:
        mine = _which(session, row, found)
        if mine is None:
            return _not_found(session, row, now)
        receipts.record(session, given=[mine], now=now, fingerprints=desk.forgetting.fingerprints)
        # A receipt that was kept before counts as a repeat; what it proves holds all the same.
        reached = _accept(session, row["message_id"], mine.provider_id, mine.kind, now)
        if row["why"] == "silent" and reached is MessageStatus.HANDED_OVER:
            return _again(session, row, SILENT_AFTER, "found", now)
        reconciling.end(session, delivery_ids=[row["delivery_id"]], outcome="found", now=now)
        return "found"


def _which(session: Session, row: RowMapping, found: Sequence[Receipt]) -> Receipt | None:
    """Choose, of what may be ours, the first that is no other delivery's."""
    owners = reconciling.owners(
        session,
        provider_ids={one.provider_id for one in found if one.provider_id},
        address=row["address"],
    )
    for one in found:
        certain = one.message_id == row["message_id"]
        if certain or owners.get(one.provider_id or "", row["delivery_id"]) == row["delivery_id"]:
            return replace(one, message_id=row["message_id"])
    return None


def _accept(
    session: Session, message_id: str, provider_id: str | None, kind: ReceiptKind, now: datetime
) -> MessageStatus:
    """Settle a message's open deliveries as taken, and move it to what is proved; gives its status."""
    open_ = kept.lock_open_deliveries(session, message_ids=[message_id])
    kept.accept_deliveries(
        session,
        provider_ids={one["id"]: one["provider_id"] or provider_id for one in open_},
        now=now,
    )
    row = kept.lock_messages(session, message_ids=[message_id])[message_id]
    before = MessageStatus(row["status"])
    # Whatever the word, the provider has it.
    after = status.apply(status.merge(before, MessageStatus.HANDED_OVER), kind)
    if after is not before:
        kept.set_message_status(session, message_ids=[message_id], status=after.value, now=now)
    return after


def _not_found(session: Session, row: RowMapping, now: datetime) -> str:
    if row["why"] == "silent":
        return _again(session, row, SILENT_AFTER, "not_found", now)
    return _again(session, row, UNKNOWN_AFTER, "not_found", now)


def _again(
    session: Session, row: RowMapping, waits: Sequence[timedelta], last: str, now: datetime
) -> str:
    """Have it asked about again; after the last time it ends as ``last``."""
    asked = row["asked"] + 1
    if asked < len(waits):
        due = max(row["began_at"] + waits[asked], now + waits[0])
        reconciling.ask_again(session, delivery_id=row["delivery_id"], asked=asked, due_at=due)
        return "asked_again"
    return _close(session, row, last, now)


def _not_reached(desk: Desk, row: RowMapping, now: datetime) -> str:
    with desk.database.writing() as session:
        if now - row["began_at"] > _GIVE_UP_AFTER:
            return _close(session, row, "not_asked", now)
        reconciling.ask_again(
            session,
            delivery_id=row["delivery_id"],
            asked=row["asked"],
            due_at=now + _NOT_REACHED,
        )
        return "not_reached"


def _end(desk: Desk, row: RowMapping, outcome: str, now: datetime) -> str:
    with desk.database.writing() as session:
        return _close(session, row, outcome, now)


def _close(session: Session, row: RowMapping, outcome: str, now: datetime) -> str:
    reconciling.end(session, delivery_ids=[row["delivery_id"]], outcome=outcome, now=now)
    if outcome != "found" and row["why"] == "unknown":
        reconciling.give_reason(session, message_id=row["message_id"], reason=outcome, now=now)
    return outcome
